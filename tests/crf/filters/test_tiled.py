"""The tiled sum against the exact one: within its bound at every ε, and the bound neither absurd nor empty."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segfield.crf.filters.exact import ExactFilter
from segfield.crf.filters.filter import Normalization, Normalized
from segfield.crf.filters.tiled import TiledFilter, normalized_bound
from segfield.errors import DataError, SettingError
from tests.crf.filters.photos import clusters, photo_features, probabilities

ROUNDING = 5e-6  # of the positive sum: float32 distances, kernel values and sums


@pytest.mark.parametrize(("dtype", "rounding"), [(np.float32, ROUNDING), (np.float64, 1e-12)])
@pytest.mark.parametrize("epsilon", [1e-1, 1e-2, 1e-3, 1e-4])
def test_the_error_stays_within_the_bound(epsilon: float, dtype: type, rounding: float) -> None:
    features, values = clusters(1200, 2), probabilities(1200, 5)
    tiled = TiledFilter(features, epsilon, dtype=dtype)
    exact = ExactFilter(features)(values)
    error, bound = exact - tiled(values), tiled.neglected(values)
    assert (np.abs(error) <= bound[:, None] + rounding * exact).all()
    assert (bound <= tiled.bound).all()
    assert error.min() >= -rounding * exact.max(), "what is left out is positive"
    assert error.max() > epsilon, "nothing was left out, so nothing was tested"
    assert bound.max() < 20 * error.max(), "a bound that says nothing"


def test_the_bound_covers_values_of_both_signs() -> None:
    features = clusters(800, 3)
    values = np.random.default_rng(2).normal(size=(800, 6))
    tiled = TiledFilter(features, 0.05)
    error = np.abs(ExactFilter(features)(values) - tiled(values))
    assert (error <= tiled.neglected(values)[:, None] + 1e-3).all() and error.max() > 0.01


@pytest.mark.parametrize("dimensions", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("pixels", [1, 15, 16, 333])
def test_all_pairs_at_epsilon_zero_equal_the_exact_sum(dimensions: int, pixels: int) -> None:
    features, values = clusters(pixels, dimensions), probabilities(pixels, 3)
    tiled = TiledFilter(features, 0)
    np.testing.assert_allclose(tiled(values), ExactFilter(features)(values), rtol=5e-6)
    assert tiled.kept_pairs == 1 and not tiled.bound.any()


@pytest.mark.parametrize("channels", [1, 8, 21, 60])
@pytest.mark.parametrize("tile", [16, 64])
def test_any_number_of_channels_and_pixels_a_tile(channels: int, tile: int) -> None:
    features, values = clusters(300, 5), probabilities(300, channels)
    tiled = TiledFilter(features, 1e-6, tile)
    exact = ExactFilter(features)(values)
    allowed = tiled.neglected(values)[:, None] + ROUNDING * exact
    assert (np.abs(tiled(values) - exact) <= allowed).all()


def test_float64_is_exact_to_its_own_rounding() -> None:
    features = clusters(200, 5).astype(np.float64) * np.pi
    values = np.random.default_rng(0).uniform(size=(200, 4))
    sums = TiledFilter(features, 0, dtype=np.float64)(values)
    assert sums.dtype == np.float64
    np.testing.assert_allclose(sums, ExactFilter(features)(values), rtol=1e-13)


def test_threads_do_not_change_a_bit() -> None:
    features, values = clusters(2000, 5), probabilities(2000, 4)
    one, three = (TiledFilter(features, 1e-2, threads=threads) for threads in (1, 3))
    np.testing.assert_array_equal(one(values), three(values))
    np.testing.assert_array_equal(one.bound, three.bound)


def test_the_operator_is_symmetric_and_its_rows_are_positive() -> None:
    tiled = TiledFilter(clusters(150, 3), 0.02)
    matrix = tiled(np.eye(150, dtype=np.float32))
    assert 0.1 < (matrix == 0).mean() < 0.9, "some pairs kept, some left out"
    np.testing.assert_allclose(matrix, matrix.T, rtol=3e-6, atol=1e-7)
    np.testing.assert_allclose(np.diag(matrix), 1, atol=3e-7)
    np.testing.assert_array_equal(tiled.transposed(np.eye(150, dtype=np.float32)), matrix)
    assert (matrix.sum(axis=1) >= 1 - 1e-6).all()


def test_a_constant_image_sums_all_pixels() -> None:
    tiled = TiledFilter(np.full((500, 5), 3.25, np.float32), 0.5)
    np.testing.assert_allclose(tiled(np.ones((500, 1))), 500, rtol=1e-6)
    assert tiled.kept_pairs == 1


def test_kept_pairs_are_counted_pixel_by_pixel() -> None:
    tiled = TiledFilter(clusters(205, 2), 0.1)
    matrix = tiled(np.eye(205, dtype=np.float32))
    assert tiled.kept_pairs == pytest.approx((matrix > 0).mean(), abs=1e-12)


@pytest.mark.parametrize("kind", ["none", "before", "after", "symmetric"])
def test_normalised_outputs_stay_within_their_bound(kind: Normalization) -> None:
    features = clusters(900, 2)
    values = (features[:, :1] > [-2, 0, 2]).astype(np.float32)  # far pixels differ, so what is left out shows
    tiled = TiledFilter(features, 0.05)
    error = np.abs(Normalized(ExactFilter(features), kind)(values) - Normalized(tiled, kind)(values)).max(axis=1)
    bound = normalized_bound(tiled, kind)
    scale = Normalized(ExactFilter(features), kind)(np.ones((900, 1)))[:, 0]
    assert (error <= bound + ROUNDING * scale).all()
    assert error.max() > 100 * ROUNDING * scale.max() and bound.max() < 40 * error.max()


@pytest.mark.shared
@pytest.mark.parametrize(("sxy", "srgb"), [(67.0, 3.0), (80.0, 13.0)])
def test_a_real_photo_stays_within_the_bound(shared_data: Path, sxy: float, srgb: float) -> None:
    features = photo_features(shared_data, sxy, srgb)
    values = probabilities(len(features), 4)
    tiled = TiledFilter(features, 1e-2)
    exact = ExactFilter(features)(values)
    error = np.abs(tiled(values) - exact)
    assert (error <= tiled.neglected(values)[:, None] + ROUNDING * exact).all()
    assert tiled.kept_pairs < 1 and error.max() > 1e-4
    assert np.median(tiled.bound) < 0.1 * np.median(exact.sum(axis=1))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"epsilon": 1.5}, "epsilon: 1.5"),
        ({"tile": 24}, "multiple of 16"),
        ({"threads": 0}, "at least 1"),
        ({"dtype": np.float16}, "give float32 or float64"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, float], said: str) -> None:
    with pytest.raises(SettingError, match=said):
        TiledFilter(clusters(20, 2), **settings)  # type: ignore[arg-type]


def test_bad_features_values_and_names_are_refused() -> None:
    with pytest.raises(DataError, match=r"1 of 3 pixels.*NaN"):
        TiledFilter(np.array([[0.0], [np.nan], [1.0]]))
    tiled = TiledFilter(clusters(20, 2))
    with pytest.raises(DataError, match=r"give \(20, C\)"):
        tiled(np.zeros((19, 3)))
    with pytest.raises(SettingError, match="did you mean symmetric"):
        normalized_bound(tiled, "symetric")  # type: ignore[arg-type]
