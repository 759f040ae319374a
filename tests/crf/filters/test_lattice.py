"""The lattice filter: the dictionary lattice's values, its transpose, and how near it comes to the exact sum."""

from __future__ import annotations

import numpy as np
import pytest

from segfield.crf.features import bilateral_features
from segfield.crf.filters import lattice as module
from segfield.crf.filters.exact import ExactFilter
from segfield.crf.filters.filter import Normalized
from segfield.crf.filters.lattice import LatticeFilter, band_boundaries, lattice_factor, padded_planes
from segfield.errors import DataError
from tests.crf.exact_mean_field import scene

from .dilated_lattice import filtered
from .photos import clusters, probabilities


@pytest.mark.parametrize("dimensions", [1, 2, 3, 4, 5, 6, 12])
def test_equals_the_dictionary_lattice(dimensions: int) -> None:
    features, values = clusters(130, dimensions), probabilities(130, 3)
    expected = filtered(features, values) / (1 + 2.0**-dimensions)
    np.testing.assert_allclose(LatticeFilter(features)(values), expected, rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize(("spread", "rounds", "dilations"), [(1.0, 2, 1), (0.05, 3, 2)])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_the_fine_lattice_equals_the_dictionarys(dimensions: int, spread: float, rounds: int, dilations: int) -> None:
    features, values = clusters(150, dimensions) * np.float32(spread), probabilities(150, 3)
    filter_ = LatticeFilter(features, fine=True)
    assert filter_.lattice.rounds == rounds
    expected = filtered(features, values, rounds, dilations) * lattice_factor(dimensions, rounds)
    np.testing.assert_allclose(filter_(values), expected, rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize("fine", [False, True])
@pytest.mark.parametrize("parts", [2, 3, 7])
def test_bands_change_nothing(parts: int, fine: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    features, values = clusters(700, 4), probabilities(700, 3)
    whole = LatticeFilter(features, fine, threads=1)(values)
    monkeypatch.setattr(module, "_PIXELS_A_THREAD", 50)
    filter_ = LatticeFilter(features, fine, threads=parts)
    assert len(filter_.lattice.bands) == parts and len(filter_.lattice.copies) > 0
    np.testing.assert_allclose(filter_(values), whole, atol=1e-5, rtol=1e-5)
    np.testing.assert_array_equal(filter_(values), filter_(values))


@pytest.mark.parametrize("fine", [False, True])
@pytest.mark.parametrize("parts", [1, 3])
def test_the_transpose_is_the_adjoint(parts: int, fine: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PIXELS_A_THREAD", 50)
    filter_ = LatticeFilter(clusters(300, 5), fine, threads=parts)
    x, y = np.random.default_rng(4).normal(size=(2, 300, 3)).astype(np.float32)
    forth, back = float((filter_(x) * y).sum()), float((x * filter_.transposed(y)).sum())
    size = np.linalg.norm(filter_(x)) * np.linalg.norm(y)
    assert abs(forth - back) < 1e-6 * size
    if not fine:  # the axes' order shows, so that the test tells K from its transpose
        assert abs(float((x * filter_(y)).sum()) - forth) > 1e-4 * size


@pytest.mark.parametrize(("sxy", "srgb"), [(12.0, 15.0), (12.0, 60.0)])
def test_the_fine_lattice_is_nearer_to_exact(sxy: float, srgb: float) -> None:
    features = bilateral_features(scene(4, 40, 60)[0], sxy, srgb)
    values = probabilities(len(features), 3)
    exact = Normalized(ExactFilter(features))(values.astype(np.float64))
    plain, fine = (abs(Normalized(LatticeFilter(features, fine))(values) - exact).mean() for fine in (False, True))
    assert fine < plain / 1.4
    assert plain < 0.1 * exact.mean()


def test_channels_do_not_mix() -> None:
    features, values = clusters(200, 3), probabilities(200, 21)
    filter_ = LatticeFilter(features)
    apart = np.concatenate([filter_(values[:, n : n + 3]) for n in range(0, 21, 3)], axis=1)
    np.testing.assert_allclose(filter_(values), apart, atol=1e-6)
    assert filter_(values).dtype == np.float32 and filter_(values).shape == (200, 21)


def test_normalised_constants_stay() -> None:
    for fine in (False, True):
        kernel = Normalized(LatticeFilter(clusters(300, 5), fine), "after")
        np.testing.assert_allclose(kernel(np.full((300, 2), 0.25, np.float32)), 0.25, atol=1e-6)


def test_the_sum_is_linear_and_takes_negative_values() -> None:
    filter_ = LatticeFilter(clusters(100, 3))
    x, y = np.random.default_rng(0).normal(size=(2, 100, 3)).astype(np.float32)
    np.testing.assert_allclose(filter_(2 * x - y), 2 * filter_(x) - filter_(y), atol=2e-4)


@pytest.mark.parametrize("pixels", range(1, 41))
def test_any_number_of_pixels(pixels: int) -> None:
    features, values = clusters(pixels, 2, seed=pixels), probabilities(pixels, 3)
    expected = filtered(features, values) / (1 + 2.0**-2)
    np.testing.assert_allclose(LatticeFilter(features)(values), expected, rtol=2e-4, atol=1e-5)


def test_one_pixel_keeps_a_share_of_its_value() -> None:
    filter_ = LatticeFilter(np.array([[0.3, -0.2, 4.0]], np.float32))
    kept = filter_(np.array([[1.0, -2.0]], np.float32))
    assert kept[0, 1] == pytest.approx(-2 * kept[0, 0]) and 0 < kept[0, 0] <= 1


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_the_fine_kernel_has_the_gaussians_mass_and_variance(dimensions: int) -> None:
    """Pixels around one in the middle, so densely that the sum over them is an integral."""
    rng = np.random.default_rng(dimensions)
    points = rng.uniform(-5, 5, (4000, dimensions)).astype(np.float32)
    points[:200] = rng.uniform(-0.3, 0.3, (200, dimensions))
    marked = np.zeros((4000, 1), np.float32)
    marked[:200] = 1 / 200
    found = LatticeFilter(points, fine=True)(marked)[:, 0].astype(np.float64)
    found[:200] = 0
    density = 3800 / 10.0**dimensions
    assert found.sum() / density == pytest.approx((2 * np.pi) ** (dimensions / 2), rel=0.15)
    variance = (found[:, None] * points**2).sum(0) / found.sum()
    np.testing.assert_allclose(variance, 1.03, rtol=0.2)  # 1, and 0.03 of the marked pixels


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_features_that_are_not_finite_are_refused(bad: float) -> None:
    features = clusters(50, 3)
    features[17, 2] = bad
    with pytest.raises(DataError, match="NaN or infinite"):
        LatticeFilter(features)


def test_huge_features_are_refused() -> None:
    with pytest.raises(DataError, match="give a larger bandwidth"):
        LatticeFilter(clusters(50, 3) + np.float32(1e9))


@pytest.mark.parametrize("shape", [(5,), (0, 3), (4, 0), (2, 3, 4)])
def test_features_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"give \(N, D\)"):
        LatticeFilter(np.zeros(shape, np.float32))


@pytest.mark.parametrize("shape", [(49, 2), (50,), (2, 50), (50, 2, 1)])
def test_values_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    filter_ = LatticeFilter(clusters(50, 3))
    for product in (filter_, filter_.transposed):
        with pytest.raises(DataError, match=r"give \(50, C\)"):
            product(np.zeros(shape, np.float32))


def test_features_and_values_of_other_types_and_layouts() -> None:
    features, values = clusters(80, 3), probabilities(80, 3)
    expected = LatticeFilter(features)(values)
    other = LatticeFilter(np.asfortranarray(features.astype(np.float64)))(values.astype(np.float64)[::-1][::-1])
    np.testing.assert_array_equal(other, expected)


def test_bands_are_equal_shares_of_whole_units() -> None:
    assert band_boundaries(100_000, 2) == [0, 50_000, 100_000]
    assert band_boundaries(100_000, 3, 30) == [0, 33_330, 66_660, 100_000]
    assert band_boundaries(9000, 8) == [0, 9000]  # too few pixels for two threads to pay
    assert band_boundaries(100_000, 64, 60_000) == [0, 100_000]
    assert band_boundaries(1, 4, 2) == [0, 1]


def test_planes_have_room_for_a_whole_vector_after_the_last_pixel() -> None:
    planes = padded_planes(np.arange(6.0).reshape(2, 3), 3)
    assert planes.dtype == np.float32 and planes.shape == (2, 11) and planes.flags.c_contiguous
    assert planes[:, :3].tolist() == [[0, 1, 2], [3, 4, 5]]
