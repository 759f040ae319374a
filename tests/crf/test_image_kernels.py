"""The kernels of an image and their normalisation, against features and filters in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from segfield.crf.features import bilateral_features
from segfield.crf.filters import lattice as lattice_module
from segfield.crf.filters.lattice import LatticeFilter, band_boundaries, lattice_of
from segfield.crf.image_kernels import (
    appearance_kernel,
    bilateral_planes,
    halved_image,
    normalising,
    position_kernel,
    scratch,
)
from segfield.errors import DataError

from .exact_mean_field import scene
from .filters.axis_operators import on_the_grid

IMAGE = scene(3, 14, 19)[0]
NORMALIZATIONS = ["none", "before", "after", "symmetric"]


@pytest.mark.parametrize(("sxy", "srgb"), [(10.0, 20.0), ((4.0, 8.0), (3.0, 30.0, 7.0))])
@pytest.mark.parametrize("kind", [np.uint8, np.float32, np.float64, np.uint16])
def test_planes_are_the_bilateral_features(kind: Any, sxy: Any, srgb: Any) -> None:
    planes = bilateral_planes(IMAGE.astype(kind), sxy, srgb)
    assert planes.dtype == np.float32 and planes.shape == (5, 14 * 19 + 8)
    np.testing.assert_allclose(planes[:, : 14 * 19].T, bilateral_features(IMAGE, sxy, srgb), rtol=1e-6)


@pytest.mark.parametrize("bands", [1, 4, 7])
def test_planes_of_any_bands_and_layout(bands: int) -> None:
    image = np.random.default_rng(0).normal(size=(6, 5, bands)).transpose(2, 0, 1)
    np.testing.assert_allclose(
        bilateral_planes(image, 3.0, 0.5)[:, :30].T, bilateral_features(image, 3, 0.5), rtol=1e-6
    )


def test_an_image_that_is_not_finite_is_refused() -> None:
    image = IMAGE.astype(np.float32)
    image[1, 3, 4] = np.nan
    with pytest.raises(DataError, match="NaN or infinite"):
        lattice_of(bilateral_planes(image, 10, 10), 14 * 19, [0, 14 * 19], False)


@pytest.mark.parametrize("kind", NORMALIZATIONS)
def test_the_normalisation_is_split_into_before_and_after(kind: Any) -> None:
    sums = np.random.default_rng(0).uniform(0.5, 9, 30).astype(np.float32)
    before, after = normalising(sums, 30, kind)
    expected = {"none": (1, 1), "before": (1 / sums, 1), "after": (1, 1 / sums), "symmetric": (sums**-0.5, sums**-0.5)}
    for found, wanted in zip((before, after), expected[kind]):
        assert found.dtype == np.float32 and found.shape == (30,)
        np.testing.assert_allclose(found, np.broadcast_to(wanted, 30), rtol=1e-6)
    assert not np.shares_memory(before, after)


@pytest.mark.parametrize("kind", ["before", "after", "symmetric"])
def test_row_sums_of_nothing_do_not_divide_by_zero(kind: Any) -> None:
    before, after = normalising(np.zeros(3, np.float32), 3, kind)
    assert np.isfinite(before).all() and np.isfinite(after).all()


@pytest.mark.parametrize("kind", NORMALIZATIONS)
@pytest.mark.parametrize("fine", [False, True])
@pytest.mark.parametrize("parts", [1, 3])
def test_the_appearance_kernel_carries_the_lattices_row_sums(
    kind: Any, fine: bool, parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lattice_module, "_PIXELS_A_THREAD", 38)
    pixels = 14 * 19
    planes = bilateral_planes(IMAGE, 8.0, 30.0)
    kernel = appearance_kernel(lattice_of(planes, pixels, band_boundaries(pixels, parts, 38), fine), kind)
    assert len(kernel.first_row) == len(kernel.touched_start) == parts
    filter_ = LatticeFilter(planes[:, :pixels].T, fine, threads=1)
    before, after = normalising(filter_(np.ones((pixels, 1), np.float32))[:, 0], pixels, kind)
    np.testing.assert_allclose(kernel.before, before, rtol=1e-4)
    np.testing.assert_allclose(kernel.after, after * filter_.factor, rtol=1e-4)


@pytest.mark.parametrize(
    ("sxy", "halved"), [((1.9, 5.0), False), ((3.0, 2.4), False), ((2.5, 2.5), True), ((3.0, 6.0), True)]
)
@pytest.mark.parametrize("shape", [(14, 19), (1, 7), (8, 1), (1, 1), (15, 20)])
def test_the_position_kernel_carries_the_grids_row_sums(
    shape: tuple[int, int], sxy: tuple[float, float], halved: bool
) -> None:
    kernel = position_kernel(shape, sxy, "after")
    assert kernel.halved == halved, "both deviations must be 2.5 pixels for the half resolution"
    sums = on_the_grid(shape, sxy, halved).sum(1)
    np.testing.assert_allclose(kernel.after, 1 / sums, rtol=1e-5)
    assert (kernel.before == 1).all()


@pytest.mark.parametrize("shape", [(6, 8), (7, 8), (6, 9), (7, 9), (1, 1), (1, 4), (5, 1)])
@pytest.mark.parametrize("kind", [np.uint8, np.float64])
def test_half_an_image_has_the_means_of_two_by_two_pixels(shape: tuple[int, int], kind: Any) -> None:
    image = np.random.default_rng(0).integers(0, 256, (3, *shape)).astype(kind)
    before = image.copy()
    padded = np.pad(image.astype(np.float64), ((0, 0), (0, shape[0] % 2), (0, shape[1] % 2)), mode="edge")
    expected = padded.reshape(3, padded.shape[1] // 2, 2, padded.shape[2] // 2, 2).mean((2, 4))
    found = halved_image(image)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_array_equal(image, before)


def test_scratch_has_room_for_a_line() -> None:
    full, half = (scratch(7, 4, position_kernel((5, 7), sxy, "none"), False) for sxy in (1.0, 3.0))
    assert (full.line.size, full.smooth.size, full.smaller.size) == (28, 28, 28)
    assert (half.line.size, half.smooth.size, half.smaller.size, half.across.size) == (28, 16, 16, 48)
    assert full.nothing.size == 0 and (half.across_at == -1).all()
