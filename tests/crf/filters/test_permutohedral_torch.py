"""The lattice's geometry: simplices that hold their points, keys that tell vertices apart, known variances."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from segfield.crf.filters.permutohedral_torch import COARSE_SCALE, Simplices, enclosing_simplices
from tests.crf.filters.hashed_lattice import elevated, neighbour, simplex


def points(count: int, dimensions: int, spread: float = 2.0, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, count, dimensions, generator=generator, dtype=torch.float64) * spread


def vertices_by_brute_force(position: np.ndarray) -> dict[tuple[int, ...], float]:
    """The enclosing simplex by trying every corner nearby and every order of the axes, and solving for the weights."""
    size = len(position)
    floor = np.floor(position / size).astype(int)
    for offset in itertools.product((0, 1), repeat=size):
        corner = (floor + offset) * size
        if corner.sum() != 0:
            continue
        for order in itertools.permutations(range(size)):
            vertices = [corner + r - size * np.isin(np.arange(size), order[:r]) for r in range(size)]
            system = np.concatenate([np.stack(vertices, axis=1), np.ones((1, size))])
            weights = np.linalg.lstsq(system, np.append(position, 1.0), rcond=None)[0]
            if (weights > -1e-12).all():
                return {tuple(v.tolist()): w for v, w in zip(vertices, weights, strict=True)}
    raise AssertionError("no simplex holds the point")


@pytest.mark.parametrize("dimensions", [1, 2, 3, 4])
def test_simplices_are_those_found_by_trying_all(dimensions: int) -> None:
    given = points(12, dimensions)
    found = enclosing_simplices(given, COARSE_SCALE)
    known: dict[tuple[int, ...], int] = {}
    for point, keys, weights in zip(given[0].numpy(), found.keys.tolist(), found.weights.tolist(), strict=True):
        expected = vertices_by_brute_force(elevated(point, COARSE_SCALE * (dimensions + 1)))
        for remainder, (key, weight) in enumerate(zip(keys, weights, strict=True)):
            (vertex,) = [v for v in expected if v[0] % (dimensions + 1) == remainder]
            assert weight == pytest.approx(expected[vertex], abs=1e-9)
            assert known.setdefault(vertex, key) == key
    assert len(set(known.values())) == len(known), "two vertices share a key"
    check_steps(known, found)


def check_steps(known: dict[tuple[int, ...], int], found: Simplices) -> None:
    """The neighbour along an axis has the key + that axis's step; a vertex that is not there has nobody's key."""
    met = 0
    for vertex, key in known.items():
        for axis, step in enumerate(found.steps.tolist()):
            ahead = neighbour(vertex, axis, 1)
            if ahead in known:
                met += 1
                assert known[ahead] == key + step
            else:
                assert key + step not in known.values()
    assert met


@pytest.mark.parametrize("dimensions", range(1, 9))
def test_weights_are_barycentric(dimensions: int) -> None:
    weights = enclosing_simplices(points(500, dimensions), COARSE_SCALE).weights
    assert weights.shape == (500, dimensions + 1)
    assert weights.min() > -1e-12
    torch.testing.assert_close(weights.sum(1), torch.ones(500, dtype=torch.float64))


@pytest.mark.parametrize("dimensions", [1, 2, 3, 5])
def test_splatting_has_the_variance_that_the_scale_counts_on(dimensions: int) -> None:
    """(D + 1)²/12 in each dimension of the plane: the scale for n rounds is √(2/12 + n/2) (D + 1)."""
    generator = torch.Generator().manual_seed(1)
    given = torch.rand(1, 60_000, dimensions, generator=generator, dtype=torch.float64) * 200
    found = enclosing_simplices(given, COARSE_SCALE)
    # A point's distances to its vertices follow from the sorted gaps alone: the vertex of remainder r lies at r ones
    # less (D + 1) on the r highest ranks from the corner; in ranks' order the point is the weights' cumulated sum.
    size = dimensions + 1
    ranks = torch.arange(size, dtype=torch.float64)
    corners = torch.stack([r - size * (ranks >= size - r) for r in range(size)]).to(torch.float64)  # (vertex, rank)
    mean = found.weights @ corners
    spread = (found.weights[:, :, None] * (corners - mean[:, None]) ** 2).sum((1, 2)).mean()
    assert spread.item() / dimensions == pytest.approx(size**2 / 12, rel=0.02)


def test_points_of_different_images_share_no_vertex() -> None:
    same = points(50, 3).expand(4, 50, 3)
    found = enclosing_simplices(same, COARSE_SCALE)
    keys = [set(part.flatten().tolist()) for part in found.keys.view(4, -1)]
    assert len(set.union(*keys)) == sum(len(part) for part in keys)
    reached = {key + sign * step for key in keys[0] for step in found.steps.tolist() for sign in (-1, 1)}
    assert not reached & set.union(*keys[1:])
    torch.testing.assert_close(found.weights[:50], found.weights[150:])


@pytest.mark.parametrize("dimensions", [8, 12])
def test_fingerprints_tell_the_same_vertices_apart(dimensions: int) -> None:
    """Too many places for an exact key: as many different fingerprints as there are different vertices."""
    given = points(400, dimensions, spread=200.0)
    length = COARSE_SCALE * (dimensions + 1)
    positions = np.stack([elevated(point, length) for point in given[0].numpy()])
    assert math.prod(np.ptp(positions, axis=0)[:-1]) > 2**63
    found = enclosing_simplices(torch.cat([given, given], dim=1), COARSE_SCALE)
    assert torch.equal(found.keys[:400], found.keys[400:])
    vertices = {vertex for position in positions for vertex in simplex(position)}
    assert len(found.keys.unique()) == len(vertices)
