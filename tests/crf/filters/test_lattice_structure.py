"""Whole lattices: vertices and neighbours of the dictionary lattice, whatever the number of bands."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from segfield.crf.filters.lattice import padded_planes
from segfield.crf.filters.lattice_embedding import BLOCK
from segfield.crf.filters.lattice_structure import Lattice, build_lattice, key_multipliers, lattice_scale
from segfield.errors import DataError

from .dilated_lattice import corners_of, vertices_of
from .hashed_lattice import Vertex, elevated, neighbour
from .photos import clusters


def lattice_over(features: np.ndarray, parts: int = 1, rounds: int = 1, dilations: int = 0) -> Lattice:
    pixels = len(features)
    boundaries = [pixels * part // parts for part in range(parts + 1)]
    return build_lattice(padded_planes(features.T, pixels), pixels, boundaries, rounds, dilations)


def links(lattice: Lattice, axis: int) -> list[tuple[int, int]]:
    """(row, next row) along an axis."""
    order = lattice.order[lattice.cuts[axis, 0] : lattice.cuts[axis, -1]].tolist()
    rows = [-1 - row if row < 0 else row for row in order]
    return [(rows[n - 1], rows[n]) for n in range(1, len(rows)) if order[n] >= 0]


def named_rows(lattice: Lattice, features: np.ndarray) -> dict[int, Vertex]:
    """The vertices of the rows that pixels touch."""
    ids = lattice.ids.reshape(len(features), -1)
    corners = corners_of(features, lattice.rounds)
    return {
        int(row): vertex for held, rows in zip(corners, ids) for vertex, row in zip(held, rows, strict=True)
    }  # the dictionary's vertices come by rising remainder, as the ids do


@pytest.mark.parametrize("parts", [1, 2, 5])
@pytest.mark.parametrize("dimensions", [1, 2, 3, 4, 5, 6, 12])
def test_vertices_and_neighbours_are_the_dictionarys(dimensions: int, parts: int) -> None:
    features = clusters(120, dimensions)
    lattice = lattice_over(features, parts)
    vertices = vertices_of(corners_of(features))
    assert lattice.vertices == len(vertices)
    names = named_rows(lattice, features)
    assert set(names.values()) == vertices and len(names) == lattice.rows
    primaries = {row: vertex for row, vertex in names.items() if row not in set(lattice.copies.tolist())}
    for axis in range(dimensions + 1):
        found = {(primaries[here], primaries[there]) for here, there in links(lattice, axis)}
        expected = {(v, neighbour(v, axis, 1)) for v in vertices if neighbour(v, axis, 1) in vertices}
        assert found == expected
    for copy, primary in zip(lattice.copies.tolist(), lattice.primaries.tolist()):
        assert names[copy] == names[primary] and primary in primaries


@pytest.mark.parametrize("parts", [2, 3])
def test_bands_of_points_in_no_order_are_joined(parts: int) -> None:
    """The joined lattice is the one that a single band gives: rows in the order of first touch, the same chains."""
    features = np.random.default_rng(0).uniform(0, 4, (parts * BLOCK + 100, 2)).astype(np.float32)
    pixels = len(features)
    planes, boundaries = padded_planes(features.T, pixels), [*range(0, parts * BLOCK, BLOCK), pixels]
    ids, weights = np.empty(pixels * 3, np.int32), np.empty(pixels * 3, np.float32)
    joined = build_lattice(planes, pixels, boundaries, into=(ids, weights), joins=True)
    whole = build_lattice(planes, pixels, [0, pixels])
    assert joined.ids is ids and joined.weights is weights and len(joined.bands) == 1 and len(joined.copies) == 0
    assert joined.rows == whole.rows == joined.extra_row and joined.cuts.shape == (3, parts + 1)
    np.testing.assert_array_equal(ids, whole.ids)
    np.testing.assert_array_equal(joined.order, whole.order)
    np.testing.assert_array_equal(joined.bands[0].touched, whole.bands[0].touched)


def test_bands_that_share_little_stay_apart() -> None:
    features = np.sort(np.random.default_rng(0).uniform(0, 900, (2 * BLOCK, 1)), axis=0).astype(np.float32)
    lattice = build_lattice(padded_planes(features.T, 2 * BLOCK), 2 * BLOCK, [0, BLOCK, 2 * BLOCK], joins=True)
    assert len(lattice.bands) == 2


def test_many_dimensions_do_not_fit_packed_keys() -> None:
    few, many = clusters(120, 6), clusters(120, 12)
    packed, fingerprints = (key_multipliers(f.T, lattice_scale(f.shape[1])).tolist() for f in (few, many))
    assert all(multiplier.bit_count() <= 1 for multiplier in packed)
    assert max(multiplier.bit_count() for multiplier in fingerprints) > 10


@pytest.mark.parametrize(("rounds", "dilations"), [(2, 1), (3, 2)])
@pytest.mark.parametrize("parts", [1, 3])
def test_rings_of_neighbours_are_added(rounds: int, dilations: int, parts: int) -> None:
    features = clusters(60, 3)
    lattice = lattice_over(features, parts, rounds, dilations)
    vertices = vertices_of(corners_of(features, rounds), dilations)
    assert lattice.vertices == len(vertices)
    assert lattice.extra_row == lattice.ids.max() + 1 < lattice.rows
    for axis in range(4):
        assert len(links(lattice, axis)) == sum(neighbour(v, axis, 1) in vertices for v in vertices)


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_bands_own_the_rows_they_touch(parts: int) -> None:
    features = clusters(700, 3)
    lattice = lattice_over(features, parts)
    ids = lattice.ids.reshape(700, 4)
    ends = [band.first_row + band.touched[-1] for band in lattice.bands]
    assert ends[-1] == lattice.rows == lattice.extra_row
    for band, end in zip(lattice.bands, ends):
        assert ids[band.start : band.stop].min() == band.first_row and ids[band.start : band.stop].max() == end - 1
    for before, after in pairwise(lattice.bands):
        assert before.stop == after.start and after.first_row == before.first_row + before.touched[-1]


def test_shares_of_chains_and_copies_cover_all() -> None:
    lattice = lattice_over(clusters(300, 4), 3)
    assert lattice.cuts.shape == (5, 4) and lattice.cuts[0, 0] == 0 and lattice.cuts[-1, -1] == len(lattice.order)
    np.testing.assert_array_equal(lattice.cuts[1:, 0], lattice.cuts[:-1, -1])
    starts = [cut for cut in lattice.cuts.reshape(-1).tolist() if cut < len(lattice.order)]
    assert (lattice.order[starts] < 0).all()
    assert lattice.copy_cuts.tolist()[:2] == [0, 0] and lattice.copy_cuts[-1] == len(lattice.copies) > 0


@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_the_scale_is_that_of_the_elevation(rounds: int) -> None:
    point = np.array([0.3, -1.2, 2.0])
    scaled = point * lattice_scale(3, rounds)
    expected = elevated(point, np.sqrt(1 / 6 + rounds / 2) * 4) / 4
    found = [sum(scaled[i:]) - (i * scaled[i - 1] if i else 0) for i in range(4)]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("offset", [0.0, -9e5, 9e5])
@pytest.mark.parametrize("dimensions", [2, 5])
def test_keys_differ_wherever_the_pixels_lie(dimensions: int, offset: float) -> None:
    features = clusters(200, dimensions) + np.float32(offset)
    # float32 rounds the coordinates there, so that single vertices differ; keys that collide would merge many
    assert lattice_over(features).vertices == pytest.approx(len(vertices_of(corners_of(features))), rel=0.03)


def test_features_too_large_for_float32_are_refused() -> None:
    features = clusters(20, 3)
    features[4, 1] = 1e9
    with pytest.raises(DataError, match=r"1e\+09 bandwidths from zero"):
        lattice_over(features)
