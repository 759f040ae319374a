"""The kernels as the engine's loop applies them: one iteration from chosen probabilities tells K·v.

With two classes, U = 0 and Potts, log(Q₀/Q₁) after one iteration is w·K(q₀ − q₁).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from segfield.crf.filters import lattice as lattice_module
from segfield.crf.filters.filter import Normalized
from segfield.crf.filters.lattice import LatticeFilter
from segfield.crf.image_crf import ImageCRF
from segfield.crf.image_kernels import bilateral_planes

from .exact_mean_field import scene
from .filters.axis_operators import MatrixFilter, on_the_grid

SHAPES = [(13, 18), (14, 17), (1, 21), (21, 1), (1, 1), (2, 2), (3, 40), (17, 3)]
NORMALIZATIONS = ["none", "before", "after", "symmetric"]


def applied(crf: ImageCRF, values: np.ndarray, weight: str) -> np.ndarray:
    """K·values for values (H, W) in −1 … 1, by one iteration."""
    first = (1 + values) / 2
    start = np.stack([first, 1 - first]).astype(np.float32)
    scale = 1.0
    for _ in range(2):  # the second time so scaled that the largest message is 4: neither Q is lost to rounding
        found = crf.run(np.zeros_like(start), iterations=1, start=start, **{weight: scale})
        message = np.log(found[0].astype(np.float64) / found[1])
        scale *= 4 / max(abs(message).max(), 1e-3)
        last = message / (scale * max(abs(message).max(), 1e-3) / 4)
    return last


@pytest.fixture(autouse=True)
def _bands_in_small_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lattice_module, "_PIXELS_A_THREAD", 1)


@pytest.mark.parametrize("sxy", [(1.5, 1.5), (0.7, 3.0), (2.0, 2.0), (3.0, 3.0), (2.5, 4.0)])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("parts", [1, 3])
def test_the_position_kernel(shape: tuple[int, int], sxy: tuple[float, float], parts: int) -> None:
    crf = ImageCRF(
        np.zeros((1, *shape), np.uint8), bilateral_sxy=None, gaussian_sxy=sxy, normalization="none", threads=parts
    )
    values = np.random.default_rng(0).uniform(-0.8, 0.8, shape)
    expected = on_the_grid(shape, sxy, min(sxy) >= 2.5) @ values.reshape(-1)
    found = applied(crf, values, "gaussian_weight").reshape(-1)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-5 * max(1, abs(expected).max()))


@pytest.mark.parametrize(("sigma", "of_the_peak"), [(1.5, 1e-3), (2.4, 1e-3), (2.5, 0.045), (3.0, 0.027), (5.0, 0.008)])
def test_its_distance_from_the_gaussian(sigma: float, of_the_peak: float) -> None:
    """Half resolution, used from 2.5 pixels on, is off by 2.2 % of the peak there along each axis, and 1.3 % at 3 pixels."""
    size = int(11 * sigma)
    crf = ImageCRF(np.zeros((1, size, size), np.uint8), bilateral_sxy=None, gaussian_sxy=sigma, normalization="none")
    impulse = np.zeros((size, size))
    impulse[size // 2, size // 2 - 1] = 0.9
    found = applied(crf, impulse, "gaussian_weight") / 0.9
    y, x = np.mgrid[:size, :size] - np.array([size // 2, size // 2 - 1])[:, None, None]
    assert abs(found - np.exp(-0.5 * (x**2 + y**2) / sigma**2)).max() < of_the_peak
    for along in (x, y):
        assert (found * along**2).sum() / found.sum() == pytest.approx(sigma**2, rel=0.01)
    assert found.sum() == pytest.approx(2 * np.pi * sigma**2, rel=2e-3)


@pytest.mark.parametrize("fine", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("parts", [1, 3])
def test_the_appearance_kernel(shape: tuple[int, int], parts: int, fine: bool) -> None:
    image = np.random.default_rng(2).normal(100, 15, (3, *shape))
    crf = ImageCRF(image, bilateral_sxy=7.0, bilateral_srgb=20.0, gaussian_sxy=None, normalization="none", fine=fine,
                   threads=parts)  # fmt: skip
    values = np.random.default_rng(0).uniform(-0.8, 0.8, shape)
    features = bilateral_planes(image, 7.0, 20.0)[:, : values.size].T
    expected = LatticeFilter(features, fine, threads=1)(values.reshape(-1, 1).astype(np.float32))[:, 0]
    found = applied(crf, values, "bilateral_weight").reshape(-1)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=3e-5 * max(1, abs(expected).max()))


@pytest.mark.parametrize("kind", NORMALIZATIONS)
@pytest.mark.parametrize("parts", [1, 2])
def test_both_are_normalised(kind: Any, parts: int) -> None:
    shape = (12, 15)
    image = scene(3, *shape)[0]
    crf = ImageCRF(
        image, bilateral_sxy=6.0, bilateral_srgb=40.0, gaussian_sxy=(3.0, 2.5), normalization=kind, threads=parts
    )
    values = np.random.default_rng(0).uniform(-0.8, 0.8, shape)
    column = values.reshape(-1, 1)
    near = Normalized(MatrixFilter(on_the_grid(shape, (3.0, 2.5), True)), kind)(column)[:, 0]
    similar = Normalized(LatticeFilter(bilateral_planes(image, 6.0, 40.0)[:, : values.size].T), kind)(
        column.astype(np.float32)
    )[:, 0]
    for weight, expected in (("gaussian_weight", near), ("bilateral_weight", similar)):
        found = applied(crf, values, weight).reshape(-1)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=3e-5 * max(1, abs(expected).max()))
