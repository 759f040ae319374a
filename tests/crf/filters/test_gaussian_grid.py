"""The Gaussian on the grid against scipy's and the exact sum."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from segfield.crf.features import position_features
from segfield.crf.filters.exact import ExactFilter
from segfield.crf.filters.gaussian_grid import GridGaussian
from segfield.errors import DataError, SettingError

from .photos import probabilities

SHAPES = [(13, 18), (14, 17), (1, 25), (25, 1), (1, 1), (2, 3)]


@pytest.mark.parametrize("sxy", [1.5, 3.0, (2.0, 0.75)])
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_scipys_filter(shape: tuple[int, int], sxy: float | tuple[float, float]) -> None:
    values = probabilities(shape[0] * shape[1], 3)
    sx, sy = np.broadcast_to(sxy, 2)
    whole = [np.exp(-0.5 * (np.arange(-4 * sigma, 4 * sigma + 1) / sigma) ** 2).sum() for sigma in (sx, sy)]
    planes = values.astype(np.float64).reshape(*shape, 3)
    expected = gaussian_filter(planes, (sy, sx), mode="constant", truncate=4, axes=(0, 1)) * whole[0] * whole[1]
    found = GridGaussian(shape, sxy)(values)
    assert found.dtype == np.float32 and found.shape == values.shape
    np.testing.assert_allclose(found.reshape(*shape, 3), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("sxy", [0.4, 1.7, 3.3, (1.2, 4.0)])
@pytest.mark.parametrize("shape", SHAPES)
def test_comes_near_the_exact_sum(shape: tuple[int, int], sxy: float | tuple[float, float]) -> None:
    values = probabilities(shape[0] * shape[1], 3)
    exact = ExactFilter(position_features(shape, sxy))(values)
    # at most 6.4e-5 of the kernel's mass lies beyond four deviations along each axis
    mass = 2 * np.pi * float(np.prod(np.broadcast_to(sxy, 2)))
    np.testing.assert_allclose(GridGaussian(shape, sxy)(values), exact, rtol=1e-5, atol=1.3e-4 * max(mass, 1))


def test_threads_change_nothing() -> None:
    values = probabilities(30 * 22, 3)
    expected = GridGaussian((30, 22), 2.5, threads=1)(values)
    for threads in (2, 3, 64):
        np.testing.assert_array_equal(GridGaussian((30, 22), 2.5, threads=threads)(values), expected)


def test_is_its_own_transpose() -> None:
    filter_ = GridGaussian((12, 15), (1.0, 2.0))
    x, y = np.random.default_rng(1).normal(size=(2, 180, 3)).astype(np.float32)
    assert (filter_(x) * y).sum() == pytest.approx((x * filter_.transposed(y)).sum(), rel=1e-4)


def test_values_are_left_alone_and_may_have_any_type_and_layout() -> None:
    values = probabilities(60, 20)
    before = values.copy()
    filter_ = GridGaussian((6, 10), 1.0)
    expected = filter_(values)
    np.testing.assert_array_equal(values, before)
    np.testing.assert_array_equal(filter_(np.asfortranarray(values.astype(np.float64))), expected)


@pytest.mark.parametrize("sxy", [0, -1.0, (3.0, 0.0), float("nan")])
def test_a_bandwidth_must_be_above_zero(sxy: float | tuple[float, float]) -> None:
    with pytest.raises(SettingError, match="bandwidth above 0"):
        GridGaussian((4, 5), sxy)


@pytest.mark.parametrize("shape", [(19, 2), (20,), (2, 20)])
def test_values_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"give \(20, C\)"):
        GridGaussian((4, 5), 1.0)(np.zeros(shape, np.float32))
