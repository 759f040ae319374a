"""Neighbours along the axes, on keys made by hand and on whole lattices (see test_lattice_structure for those)."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from segfield.crf.filters.key_table import find, insert, new_table
from segfield.crf.filters.lattice_chains import chain_cuts, chains_along, dilate, merge_band, neighbour_steps

from .hashed_lattice import Vertex, neighbour
from .test_lattice_embedding import key_of

PACKED = np.array([4, 4 << 6, 4 << 12, 0, 1], np.int64)  # D = 3: three fields of 6 bits above 2 bits of remainder
ORIGIN: Vertex = (0, 0, 0, 0)


def remainder_of(vertex: Vertex) -> int:
    return vertex[0] % len(vertex)


def table_of(vertices: list[Vertex], bits: int = 8) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The table's keys and ids, and keys and remainders of the vertices, numbered as listed."""
    keys, ids = new_table(bits)
    vertex_keys = np.array([key_of(vertex, remainder_of(vertex), PACKED) for vertex in vertices], np.int64)
    for n, key in enumerate(vertex_keys):
        insert(keys, ids, bits, key, n)
    return keys, ids, vertex_keys, np.array([remainder_of(vertex) for vertex in vertices], np.uint8)


def walk(start: Vertex, axis: int, steps: int) -> list[Vertex]:
    walked = [start]
    for _ in range(steps):
        walked.append(neighbour(walked[-1], axis, 1))
    return walked


@pytest.mark.parametrize("multipliers", [PACKED, np.array([(1 << 61) + 5, -77, 2**62 + 9, 0, 12345], np.int64)])
def test_a_step_on_the_key_is_a_step_on_the_lattice(multipliers: np.ndarray) -> None:
    for axis in range(4):
        wrap, step = neighbour_steps(multipliers, axis)
        for here, there in pairwise(walk(ORIGIN, axis, 6)):
            # the next vertex has D more on the axis, one less elsewhere
            remainder, after = remainder_of(here), remainder_of(there)
            moved = key_of(here, remainder, multipliers) + int(wrap if remainder == 0 else step)
            assert (moved + 2**63) % 2**64 - 2**63 == key_of(there, after, multipliers)


@pytest.mark.parametrize("axis", range(4))
def test_vertices_in_a_row_make_one_chain(axis: int) -> None:
    line = walk(ORIGIN, axis, 5)
    shuffled = [line[n] for n in (3, 0, 5, 1, 4, 2)]
    keys, ids, vertex_keys, remainders = table_of(shuffled)
    order = chains_along(axis, keys, ids, 8, vertex_keys, remainders, PACKED, np.zeros(6, np.bool_))
    assert [-1 - order[0], *order[1:]] == [shuffled.index(vertex) for vertex in line]
    for other in {0, 1, 2, 3} - {axis}:
        assert chains_along(other, keys, ids, 8, vertex_keys, remainders, PACKED, np.zeros(6, np.bool_)).size == 0


def test_a_gap_parts_a_chain_and_lone_vertices_are_left_out() -> None:
    line = walk(ORIGIN, 0, 9)
    present = [line[n] for n in (0, 1, 2, 4, 6, 7)]
    keys, ids, vertex_keys, remainders = table_of(present)
    order = chains_along(0, keys, ids, 8, vertex_keys, remainders, PACKED, np.zeros(6, np.bool_))
    assert order.tolist() == [-1, 1, 2, -1 - 4, 5]


def test_copies_are_in_no_chain() -> None:
    line = walk(ORIGIN, 2, 2)
    keys, ids, vertex_keys, remainders = table_of(line)
    vertex_keys, remainders = np.append(vertex_keys, vertex_keys[1]), np.append(remainders, remainders[1])
    order = chains_along(2, keys, ids, 8, vertex_keys, remainders, PACKED, np.array([False] * 3 + [True]))
    assert order.tolist() == [-1, 1, 2]


def test_merging_a_band_numbers_new_vertices_and_finds_shared_ones() -> None:
    line = walk(ORIGIN, 1, 9)
    keys, ids, _, _ = table_of(line[:6])
    second = np.array([key_of(line[n], remainder_of(line[n]), PACKED) for n in (8, 2, 9, 5, 6)], np.int64)
    copies, primaries = np.empty(5, np.int32), np.empty(5, np.int32)
    keys, ids, bits, count, shared = merge_band(keys, ids, 8, 6, second, 6, copies, primaries)
    assert (count, shared) == (9, 2)
    assert copies[:2].tolist() == [7, 9] and primaries[:2].tolist() == [2, 5]
    assert [find(keys, ids, bits, key) for key in second] == [6, 2, 8, 5, 10]


def test_merging_makes_room() -> None:
    keys, ids, _, _ = table_of([ORIGIN], bits=3)
    many = np.arange(100, 160, dtype=np.int64)
    none = np.empty(60, np.int32)
    keys, ids, bits, count, shared = merge_band(keys, ids, 3, 1, many, 1, none, none.copy())
    assert (count, shared) == (61, 0) and keys.size == 1 << bits >= 122
    assert [find(keys, ids, bits, key) for key in many] == list(range(1, 61))


@pytest.mark.parametrize("start", [ORIGIN, *walk(ORIGIN, 3, 3)[1:]], ids=["r0", "r3", "r2", "r1"])
def test_dilation_adds_the_neighbours_along_every_axis(start: Vertex) -> None:
    keys, ids, vertex_keys, remainders = table_of([start])
    *_, all_keys, all_remainders = dilate(keys, ids, 8, 1, vertex_keys, remainders, PACKED, np.zeros(1, np.bool_))
    around = [neighbour(start, axis, sign) for axis in range(4) for sign in (1, -1)]
    expected = [(key_of(vertex, remainder_of(vertex), PACKED), remainder_of(vertex)) for vertex in [start, *around]]
    assert list(zip(all_keys.tolist(), all_remainders.tolist())) == expected


def test_cuts_fall_between_chains_and_cover_all() -> None:
    order = np.array([-1, 1, 2, -4, 4, 5, 6, 7, 8, -10, 10], np.int32)
    for parts in range(1, 8):
        cuts = chain_cuts(order, parts)
        assert len(cuts) == parts + 1 and cuts[0] == 0 and cuts[-1] == len(order)
        assert (np.diff(cuts) >= 0).all() and set(cuts.tolist()) <= {0, 3, 9, 11}
    assert chain_cuts(order, 2).tolist() == [0, 9, 11]
    assert chain_cuts(order[:0], 3).tolist() == [0, 0, 0, 0]
