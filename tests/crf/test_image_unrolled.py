"""The image engine with gradients: memory that does not grow with the iterations, and finite differences."""

from __future__ import annotations

import numpy as np
import pytest

from segfield.crf.image_crf import ImageCRF
from segfield.crf.image_unrolled import KEPT_MAPS, UnrolledImage

SIZE, CLASSES = (13, 18), 3
RNG = np.random.default_rng(0)
IMAGE = RNG.uniform(0, 255, (3, *SIZE)).astype(np.float32)
SCORES = RNG.normal(0, 1.5, (CLASSES, *SIZE)).astype(np.float32)


def unrolled(
    iterations: int, scores: np.ndarray = SCORES, sets: int = 1, sxy: float = 3.0, keep: bool = True
) -> UnrolledImage:
    kernels = ImageCRF(
        IMAGE, bilateral_sxy=6.0, bilateral_srgb=60.0, gaussian_sxy=sxy, normalization="after", threads=1
    )
    random = np.random.default_rng(1)
    tables = [(-2 * np.eye(CLASSES) + 0.3 * random.normal(size=(sets, CLASSES, CLASSES))) for _ in range(2)]
    return UnrolledImage(kernels, scores, *(table.astype(np.float32) for table in tables), iterations, keep)


def scored(run: UnrolledImage) -> np.ndarray:
    out = np.full_like(SCORES, np.nan)
    run.forward(out)
    return out


@pytest.mark.parametrize("iterations", [1, 4, 5, 10, 23])
def test_few_maps_are_kept_whatever_the_iterations(iterations: int) -> None:
    run = unrolled(iterations)
    scored(run)
    assert 1 <= len(run._kept) <= KEPT_MAPS
    run.backward(np.ones_like(SCORES), np.empty_like(SCORES))
    assert run._kept == []
    without = unrolled(iterations, keep=False)
    np.testing.assert_array_equal(scored(without), scored(unrolled(iterations)))
    assert without._kept == []


@pytest.mark.parametrize(("iterations", "sets"), [(3, 1), (3, 3), (8, 1)])
@pytest.mark.parametrize("sxy", [1.0, 3.0])  # at full and at half resolution
def test_gradients_are_those_of_finite_differences(iterations: int, sets: int, sxy: float) -> None:
    target = np.random.default_rng(2).normal(size=SCORES.shape)
    run = unrolled(iterations, sets=sets, sxy=sxy)
    scored(run)
    to_scores = np.full_like(SCORES, np.nan)
    run.backward(target.astype(np.float32), to_scores)
    direction = np.random.default_rng(3).normal(size=SCORES.shape)
    values = [
        float((scored(unrolled(iterations, (SCORES + step * direction).astype(np.float32), sets, sxy)) * target).sum())
        for step in (1e-2, -1e-2)
    ]
    assert float((to_scores * direction).sum()) == pytest.approx((values[0] - values[1]) / 2e-2, rel=5e-3)
