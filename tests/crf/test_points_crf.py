"""Mean field over any points: as the plain iteration over the same lattices, near the exact sum, in steps and in bands."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from segfield.crf.filters import lattice as lattice_module
from segfield.crf.filters.exact import ExactFilter
from segfield.crf.filters.filter import Normalized
from segfield.crf.filters.lattice import LatticeFilter, padded_planes
from segfield.crf.mean_field import Kernel, mean_field
from segfield.crf.points_crf import PointsCRF
from segfield.crf.points_kernels import PointKernel
from segfield.errors import DataError

from .filters.photos import clusters

Kind = Any
NORMALIZATIONS = ("none", "before", "after", "symmetric")


def kernel(features: np.ndarray, kind: Kind = "symmetric") -> PointKernel:
    return PointKernel(features.shape[1], lambda: padded_planes(features.T, len(features)), kind)


def energies(classes: int, points: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).gamma(1.5, size=(classes, points)).astype(np.float32)


def plain(
    unary: np.ndarray, parts: list[tuple[np.ndarray, Kind, Any]], iterations: int, form: Any = LatticeFilter
) -> np.ndarray:
    kernels = [Kernel(Normalized(form(features), kind), np.float32(weight)) for features, kind, weight in parts]
    found = mean_field(np.ascontiguousarray(unary.T), kernels, iterations=iterations).probabilities.T
    return np.asarray(found)


def ours(unary: np.ndarray, parts: list[tuple[np.ndarray, Kind, Any]], iterations: int, threads: int = 1) -> np.ndarray:
    crf = PointsCRF(unary.shape[1], [kernel(features, kind) for features, kind, _ in parts], threads)
    return crf.run(unary, [np.float32(weight) for *_, weight in parts], iterations)


@pytest.mark.parametrize("classes", [1, 2, 4, 5, 8, 11, 21])
@pytest.mark.parametrize("kind", NORMALIZATIONS)
def test_as_the_plain_iteration(classes: int, kind: Kind) -> None:
    """Points that fill no block, nor eights; a number, one a class and a table as weights; one to six features."""
    points = 601
    rng = np.random.default_rng(classes)
    table = rng.normal(size=(classes, classes))
    weight = 0.02 if kind == "none" else 1.0
    parts = [
        (clusters(points, 3), kind, 2.0 * weight),
        (clusters(points, 1, seed=1), kind, weight * np.linspace(-1, 3, classes)),
        (clusters(points, 6, seed=2), kind, weight * (table + table.T)),
    ]
    unary = energies(classes, points)
    np.testing.assert_allclose(ours(unary, parts, 4), plain(unary, parts, 4), atol=2e-5)


@pytest.mark.parametrize("in_order", [True, False], ids=["bands_apart", "bands_mixed"])
@pytest.mark.parametrize("threads", [2, 3])
def test_bands_change_nothing(threads: int, in_order: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bands that share few vertices keep their own rows; of points in no order the lattice is one piece."""
    points = 3000
    features = np.random.default_rng(0).uniform(0, 12, (points, 2)).astype(np.float32)
    if in_order:
        features = features[np.argsort(features[:, 0])]
    mixed = np.random.default_rng(1).permutation(features)
    parts = [(features, "symmetric", 3.0), (mixed, "after", [[3, 0, -1], [0, 2, 0], [-1, 0, 3]])]
    unary = energies(3, points)
    whole = ours(unary, parts, 4, threads=1)
    monkeypatch.setattr(lattice_module, "_PIXELS_A_THREAD", 500)
    crf = PointsCRF(points, [kernel(values, kind) for values, kind, _ in parts], threads)
    assert len(crf._bounds) == threads + 1
    assert (crf._kernels.starts[0, 1] < points) == in_order and crf._kernels.starts[1, 1] == points
    weights = [np.float32(weight) for *_, weight in parts]
    np.testing.assert_allclose(crf.run(unary, weights, 4), whole, atol=1e-5)
    assert crf.divergence(unary, weights, whole) == pytest.approx(
        PointsCRF(points, [kernel(values, kind) for values, kind, _ in parts], 1).divergence(unary, weights, whole)
    )


@pytest.mark.parametrize("dimensions", [1, 2, 3, 5])
def test_near_the_exact_sum(dimensions: int) -> None:
    """Points on a path through their space, dense beside the kernel: what the lattice is good at."""
    points = 900
    features = np.cumsum(np.random.default_rng(0).normal(0, 0.15, (points, dimensions)), axis=0).astype(np.float32)
    unary, parts = energies(4, points), [(features, "symmetric", 3.0)]
    exact = plain(unary.astype(np.float64), parts, 5, form=ExactFilter)
    found = ours(unary, parts, 5)
    assert abs(found - exact).mean() < 0.02 and (found.argmax(0) != exact.argmax(0)).mean() < 0.03


def test_steps_come_to_what_a_run_gives_in_place() -> None:
    unary, weights = energies(5, 400), [np.float32(2.0)]
    crf = PointsCRF(400, [kernel(clusters(400, 4))])
    probabilities = crf.run(unary, weights, 0)
    exponentials = np.exp(-unary)
    np.testing.assert_allclose(probabilities, exponentials / exponentials.sum(0), rtol=1e-5)
    same = probabilities
    for _ in range(3):
        crf.step(unary, weights, probabilities)
    assert same is probabilities
    np.testing.assert_array_equal(probabilities, crf.run(unary, weights, 3))


def test_the_divergence_is_the_sum() -> None:
    features, unary = clusters(300, 3), energies(5, 300)
    table = np.random.default_rng(0).normal(size=(5, 5)).astype(np.float32)
    crf = PointsCRF(300, [kernel(features, "after"), kernel(features * 2)])
    q = crf.run(unary, [np.float32(1), table], 2)
    q[:, 7] = 0
    messages = Normalized(LatticeFilter(features), "after")(np.ascontiguousarray(q.T)).T
    messages = messages + table @ Normalized(LatticeFilter(features * 2))(np.ascontiguousarray(q.T)).T
    expected = (q * (np.log(np.maximum(q, 1e-20)) + unary - messages)).sum(dtype=np.float64)
    assert crf.divergence(unary, [np.float32(1), table], q) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("points", [1, 2, 7, 8, 9, 255, 256, 257])
def test_any_number_of_points(points: int) -> None:
    unary, parts = energies(9, points), [(clusters(points, 2, seed=points), "symmetric", 2.0)]
    np.testing.assert_allclose(ours(unary, parts, 3), plain(unary, parts, 3), atol=2e-5)


def test_energies_far_apart_and_far_below_zero() -> None:
    unary = np.array([[1e9, -500.0, 3.0], [2.0, 400.0, 3.0]], np.float32)
    found = ours(unary, [(clusters(3, 2), "symmetric", -4.0)], 3)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[:, :2], [[0, 1], [1, 0]], atol=1e-6)


def test_features_that_are_not_finite() -> None:
    features = clusters(20, 2)
    features[3, 1] = np.nan
    with pytest.raises(DataError, match="NaN or infinite"):
        PointsCRF(20, [kernel(features)])
