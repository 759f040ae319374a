"""A cheap start saves work and stays near the full run; short runs, small images and exactness asked for do without."""

from __future__ import annotations

import numpy as np
import pytest

from segfield.crf.dense_crf import DenseCRF
from segfield.crf.image_crf import ImageCRF
from segfield.crf.image_stages import cheap_iterations
from tests.crf import exact_mean_field

SHAPE = (200, 210)


def scene(shape: tuple[int, int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    image, _, logits = exact_mean_field.scene(9, *shape, seed=seed)
    return image, -logits


@pytest.fixture(scope="module")
def case() -> tuple[np.ndarray, np.ndarray]:
    image, unary = scene(SHAPE, 3)
    return image, unary


@pytest.mark.parametrize(
    ("iterations", "fine", "classes", "shape", "cheap"),
    [(10, False, 9, SHAPE, 6), (20, False, 21, SHAPE, 12), (5, False, 21, SHAPE, 0), (10, False, 21, (40, 500), 0),
     (10, False, 8, SHAPE, 0), (10, True, 2, SHAPE, 6), (10, True, 21, (40, 500), 6), (5, True, 21, SHAPE, 0),
     (0, False, 21, SHAPE, 0)],
)  # fmt: skip
def test_how_many_are_cheap(iterations: int, fine: bool, classes: int, shape: tuple[int, int], cheap: int) -> None:
    assert cheap_iterations(iterations, fine, classes, shape) == cheap


@pytest.mark.parametrize("fine", [False, True])
def test_result_stays_near_the_full_run(case, fine: bool) -> None:
    image, unary = case
    crf = ImageCRF(image, bilateral_sxy=20, bilateral_srgb=10, gaussian_sxy=3, fine=fine, threads=1)
    weights = {"bilateral_weight": 4.0, "gaussian_weight": 3.0}
    full = crf.run(unary, **weights)
    cheap = crf.run(unary, **weights, cheap_start=True)
    assert (full != cheap).any()  # other work was done
    early_off = crf.run(unary, **weights, iterations=4)
    change = np.abs(full - cheap).sum(axis=0).mean()
    assert change < 0.01
    assert change < np.abs(full - early_off).sum(axis=0).mean()  # the cheap iterations did bring it forward
    assert (full.argmax(axis=0) != cheap.argmax(axis=0)).mean() < 0.01


@pytest.mark.parametrize("shape", [(201, 203), (200, 203), (201, 202)])
def test_odd_sizes(shape: tuple[int, int]) -> None:
    image, unary = scene(shape, 4)
    crf = ImageCRF(image, bilateral_sxy=20, bilateral_srgb=10, gaussian_sxy=3, threads=1)
    full, cheap = (
        crf.run(unary, bilateral_weight=4.0, gaussian_weight=3.0, cheap_start=start) for start in (False, True)
    )
    np.testing.assert_allclose(cheap.sum(axis=0), 1, atol=1e-5)
    edges = np.s_[:, [0, -1], :], np.s_[:, :, [0, -1]]
    for edge in edges:
        assert np.abs(full[edge] - cheap[edge]).mean() < 0.01


def test_damping_and_tolerance_run_in_full(case) -> None:
    image, unary = case
    crf = ImageCRF(image, bilateral_sxy=20, bilateral_srgb=10, gaussian_sxy=3, threads=1)
    weights = {"bilateral_weight": 4.0, "gaussian_weight": 3.0}
    for setting in ({"damping": 0.2}, {"tolerance": 1e-6}):
        one, other = (crf.run(unary, **weights, **setting, cheap_start=start) for start in (False, True))
        np.testing.assert_array_equal(one, other)


def test_start_is_where_the_iterations_begin(case) -> None:
    image, unary = case
    crf = ImageCRF(image, bilateral_sxy=20, bilateral_srgb=10, gaussian_sxy=3, threads=1)
    weights = {"bilateral_weight": 4.0, "gaussian_weight": 3.0}
    half_way = crf.run(unary, **weights, iterations=3)
    np.testing.assert_allclose(
        crf.run(unary, **weights, iterations=2, start=half_way), crf.run(unary, **weights, iterations=5), atol=1e-5
    )
    np.testing.assert_allclose(crf.run(unary, **weights, iterations=0, start=half_way), half_way, atol=1e-7)


def test_exact_has_it_when_asked_alone() -> None:
    image, unary = scene((24, 32), 5)
    exact, unasked, asked = (
        DenseCRF(2, 8, 30, accuracy="exact", iterations=7, cheap_start=start)(image, unary=unary)
        for start in (False, None, True)
    )
    np.testing.assert_array_equal(exact, unasked)
    assert (exact != asked).any()
    assert np.abs(exact - asked).mean() < 0.01
