"""Splat, blur and slice on rows, against the same sums in NumPy."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from segfield.crf.filters.lattice_embedding import BLOCK
from segfield.crf.filters.lattice_rows import blur_chains, clear_rows, gather_copies, slice_rows, splat, spread_copies
from segfield.crf.filters.simd import Width

RNG = np.random.default_rng(0)
WIDTHS = [4, 24]


def random_rows(count: int, width: int) -> np.ndarray:
    return RNG.normal(size=(count, width)).astype(np.float32)


def first_touch(pixels: int, corners: int, rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N, corners) ids in order of first touch, weights, and how many rows were touched before each block."""
    ids = np.empty((pixels, corners), np.int32)
    for place in range(pixels * corners):
        seen = ids.reshape(-1)[:place].max(initial=-1) + 1
        ids.reshape(-1)[place] = seen if place % 5 == 0 and seen < rows else RNG.integers(max(1, seen))
    touched = [ids[: n * BLOCK].max(initial=-1) + 1 for n in range(-(-pixels // BLOCK))] + [ids.max() + 1]
    return ids, RNG.random((pixels, corners)).astype(np.float32), np.array(touched, np.int64)


@pytest.mark.parametrize("width", WIDTHS)
def test_splat_clears_and_adds(width: int) -> None:
    pixels, corners, first_row = BLOCK + 30, 3, 4
    ids, weights, touched = first_touch(pixels, corners, 150)
    values = random_rows(pixels, width)
    rows = np.full((first_row + touched[-1] + 2, width), np.nan, np.float32)
    splat(values.reshape(-1), (ids + first_row).reshape(-1), weights.reshape(-1), corners, rows.reshape(-1), 0, pixels,
          first_row, touched, Width(width), width)  # fmt: skip
    expected = np.zeros((touched[-1], width))
    np.add.at(expected, ids, weights[..., None] * values[:, None])
    np.testing.assert_allclose(rows[first_row:-2], expected, atol=1e-5)
    assert np.isnan(rows[:first_row]).all() and np.isnan(rows[-2:]).all(), "rows of other bands stay"


@pytest.mark.parametrize("width", WIDTHS)
def test_slice_is_the_weighted_sum_of_a_pixels_rows(width: int) -> None:
    rows, ids = random_rows(20, width), RNG.integers(0, 20, (30, 4)).astype(np.int32)
    weights = RNG.random((30, 4)).astype(np.float32)
    values = np.full((30, width), 9, np.float32)
    slice_rows(rows.reshape(-1), ids.reshape(-1), weights.reshape(-1), 4, values.reshape(-1), 3, 29, np.float32(0.5),
               Width(width), width)  # fmt: skip
    expected = 0.5 * np.einsum("pc,pck->pk", weights, rows[ids])
    np.testing.assert_allclose(values[3:29], expected[3:29], atol=1e-5)
    assert (values[[0, 2, 29]] == 9).all()


@pytest.mark.parametrize("width", WIDTHS)
def test_blur_weighs_half_one_half_within_chains(width: int) -> None:
    rows = random_rows(12, width)
    chains = [[3, 0, 7, 5], [1, 2], [9, 4, 11]]
    order = np.array([-1 - row if n == 0 else row for chain in chains for n, row in enumerate(chain)], np.int32)
    expected = rows.astype(np.float64)
    for chain in chains:
        for before, after in pairwise(chain):
            expected[before] += 0.5 * rows[after]
            expected[after] += 0.5 * rows[before]
    blur_chains(rows.reshape(-1), order, 0, len(order), Width(width), width)
    np.testing.assert_allclose(rows, expected, atol=1e-6)


def test_blur_keeps_to_its_share_of_the_chains() -> None:
    rows = random_rows(8, 4)
    order = np.array([-1, 1, -3, 3, 4, -6, 6], np.int32)
    before, whole = rows.copy(), rows.copy()
    blur_chains(rows.reshape(-1), order, 2, 5, Width(4), 4)
    blur_chains(whole.reshape(-1), order, 0, 7, Width(4), 4)
    np.testing.assert_array_equal(rows[[0, 1, 5, 6, 7]], before[[0, 1, 5, 6, 7]])
    np.testing.assert_array_equal(rows[2:5], whole[2:5])
    blur_chains(rows.reshape(-1), order, 3, 3, Width(4), 4)  # an empty share
    np.testing.assert_array_equal(rows[2:5], whole[2:5])


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_copies_are_added_to_their_primaries_and_get_the_sums_back(parts: int) -> None:
    rows = random_rows(9, 4)
    copies, primaries = np.array([5, 6, 8], np.int32), np.array([1, 1, 6], np.int32)
    primaries[2] = 2
    expected = rows.copy()
    expected[1] += rows[5] + rows[6]
    expected[2] += rows[8]
    for part in range(parts):
        gather_copies(rows.reshape(-1), copies, primaries, part, parts, Width(4), 4)
    np.testing.assert_allclose(rows[[1, 2]], expected[[1, 2]], atol=1e-6)
    np.testing.assert_array_equal(rows[[0, 3, 4, 5, 6, 7, 8]], expected[[0, 3, 4, 5, 6, 7, 8]])
    spread_copies(rows.reshape(-1), copies, primaries, 1, 3, Width(4), 4)
    np.testing.assert_array_equal(rows[6], rows[1])
    np.testing.assert_array_equal(rows[8], rows[2])
    np.testing.assert_array_equal(rows[5], expected[5])  # not in the share


def test_clearing_keeps_to_its_rows() -> None:
    rows = random_rows(6, 4)
    before = rows.copy()
    clear_rows(rows.reshape(-1), 2, 5, Width(4), 4)
    assert (rows[2:5] == 0).all()
    np.testing.assert_array_equal(rows[[0, 1, 5]], before[[0, 1, 5]])
