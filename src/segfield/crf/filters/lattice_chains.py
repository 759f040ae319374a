"""Neighbours in the permutohedral lattice, laid out as chains: along one axis every vertex has at most one next vertex."""

from __future__ import annotations

import numpy as np

from segfield.classes import Array
from segfield.crf.filters.compiled import compiled
from segfield.crf.filters.key_table import EMPTY, doubled, find, insert, slot_of
from segfield.crf.filters.simd import prefetch

_AHEAD = 16


@compiled
def neighbour_steps(multipliers: Array, axis: int) -> tuple[int, int]:
    """What to add to a vertex's key for the next vertex along `axis`: if its remainder is 0, and otherwise.

    The next vertex has D more on the axis's coordinate and one less on each other; with remainder 0 the others borrow.
    """
    dimensions = multipliers.size - 2
    borrowed = np.int64(0)
    for i in range(dimensions):
        borrowed += multipliers[i]
    remainder = multipliers[dimensions + 1]
    return dimensions * remainder - borrowed + multipliers[axis], multipliers[axis] - remainder


@compiled
def merge_band(
    keys: Array, ids: Array, bits: int, count: int, vertex_keys: Array, first_row: int, copies: Array, primaries: Array
) -> tuple[Array, Array, int, int, int]:
    """Add a band's vertices to the table of all; those already there are copies of the earlier band's row.

    Returns:
        the table (keys, ids, bits), its entries, and how many copies there are: rows `copies[i]` of `primaries[i]`.
    """
    shared = 0
    while 3 * (count + vertex_keys.size) > 2 * keys.size:  # fuller than while embedding: it is not searched as often
        keys, ids = doubled(keys, ids, bits)
        bits += 1
    for n in range(vertex_keys.size):
        if n + _AHEAD < vertex_keys.size:
            slot = slot_of(vertex_keys[n + _AHEAD], bits)
            prefetch(ids, slot)
            prefetch(keys, slot)
        row = insert(keys, ids, bits, vertex_keys[n], first_row + n)
        if row == first_row + n:
            count += 1
        else:
            copies[shared] = first_row + n
            primaries[shared] = row
            shared += 1
    return keys, ids, bits, count, shared


@compiled
def dilate(
    keys: Array, ids: Array, bits: int, rows: int, vertex_keys: Array, remainders: Array, multipliers: Array,
    is_copy: Array,
) -> tuple[Array, Array, int, Array, Array]:  # fmt: skip
    """Add both neighbours along every axis of the vertices there are.

    Returns:
        the table (keys, ids, bits), and keys and remainders of all rows with the new ones after the `rows` there were.
    """
    corners = multipliers.size - 1
    capacity = 2 * rows + 1024
    all_keys, all_remainders = np.empty(capacity, np.int64), np.empty(capacity, np.uint8)
    all_keys[:rows], all_remainders[:rows] = vertex_keys, remainders
    new = rows
    wraps, steps = np.empty(corners, np.int64), np.empty(corners, np.int64)
    for axis in range(corners):
        wraps[axis], steps[axis] = neighbour_steps(multipliers, axis)
    for row in range(rows):
        if is_copy[row]:
            continue
        while 2 * (new + 2 * corners) > keys.size:
            keys, ids = doubled(keys, ids, bits)
            bits += 1
        if new + 2 * corners > capacity:
            capacity = 2 * capacity
            more_keys, more_remainders = np.empty(capacity, np.int64), np.empty(capacity, np.uint8)
            more_keys[:new], more_remainders[:new] = all_keys[:new], all_remainders[:new]
            all_keys, all_remainders = more_keys, more_remainders
        key, remainder = all_keys[row], np.int64(all_remainders[row])
        for axis in range(corners):  # all axes of a row at once, so that new rows lie near the rows they belong to
            forward = key + (wraps[axis] if remainder == 0 else steps[axis])
            backward = key - (wraps[axis] if remainder == corners - 1 else steps[axis])
            for direction in range(2):
                if insert(keys, ids, bits, backward if direction else forward, new) == new:
                    all_keys[new] = backward if direction else forward
                    all_remainders[new] = (remainder + (1 if direction else -1)) % corners
                    new += 1
    return keys, ids, bits, all_keys[:new], all_remainders[:new]


@compiled
def chains_along(
    axis: int,
    keys: Array,
    ids: Array,
    bits: int,
    vertex_keys: Array,
    remainders: Array,
    multipliers: Array,
    is_copy: Array,
) -> Array:
    """Rows in the order of the chains along one axis, the first row of each chain as −1 − row; lone vertices left out."""
    wrap, step = neighbour_steps(multipliers, axis)
    rows = vertex_keys.size
    following, has_previous = np.full(rows, np.int32(EMPTY), np.int32), np.zeros(rows, np.uint8)
    for row in range(rows):
        if row + _AHEAD < rows:
            ahead = vertex_keys[row + _AHEAD] + (wrap if remainders[row + _AHEAD] == 0 else step)
            slot = slot_of(ahead, bits)
            prefetch(ids, slot)
            prefetch(keys, slot)
        if is_copy[row]:
            has_previous[row] = 1
            continue
        neighbour = find(keys, ids, bits, vertex_keys[row] + (wrap if remainders[row] == 0 else step))
        if neighbour != EMPTY:
            following[row] = neighbour
            has_previous[neighbour] = 1
    order = np.empty(rows, np.int32)
    place = 0
    for row in range(rows):
        if has_previous[row] == 0 and following[row] != EMPTY:
            order[place] = -1 - row
            place += 1
            link = following[row]
            while link != EMPTY:
                order[place] = link
                place += 1
                link = following[link]
    return order[:place].copy()  # lone vertices may be most: their room is given back


@compiled
def chain_cuts(order: Array, parts: int) -> Array:
    """(parts + 1,) places that cut the chains into parts of about equal length, never inside a chain."""
    cuts = np.empty(parts + 1, np.int64)
    for part in range(parts + 1):
        place = order.size * part // parts
        while place < order.size and order[place] >= 0:
            place += 1
        cuts[part] = place
    return cuts
