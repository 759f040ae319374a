"""Pixels into the permutohedral lattice: enclosing simplex, barycentric weights, vertex numbers in order of first touch.

Adams, Baek & Davis 2010, section 3. A vertex with remainder r has the coordinates (d+1)·a_i + r with whole a_i; its key is
Σ a_i·m_i + r·m with fixed multipliers, so that a neighbour's key is the vertex's own plus a constant.
"""

from __future__ import annotations

import numpy as np

from segfield.classes import Array
from segfield.crf.filters.compiled import compiled
from segfield.crf.filters.key_table import EMPTY, doubled, insert, new_table, slot_of
from segfield.crf.filters.simd import (
    EIGHT,
    add,
    broadcast,
    is_greater,
    load,
    multiply,
    nearest_integer,
    prefetch,
    scale_add,
    store,
    subtract,
)

BLOCK = 256  # pixels; how many vertices were touched before each block is kept
_EIGHT = EIGHT.lanes
_AHEAD = 48  # keys


@compiled
def simplices(planes: Array, first: int, scale: Array, rounded: Array, offset: Array, rank: Array) -> None:
    """The simplices around eight pixels; three outputs with a row of eight float32 for each of the D + 1 coordinates.

    Args:
        planes: (D, N) float32 features; the pixels are first … first + 7.
        scale: (D,) float32: from features to lattice coordinates divided by D + 1.
        rounded: the nearest remainder-0 vertex, divided by D + 1.
        offset: the pixel's distance from it, divided by D + 1.
        rank: 0 for the coordinate with the largest offset … D for the smallest.
    """
    dimensions, length = planes.shape
    plane = planes.reshape(-1)
    above = broadcast(np.float32(0), EIGHT)
    for i in range(dimensions, 0, -1):
        scaled = multiply(load(plane, (i - 1) * length + first, EIGHT), broadcast(scale[i - 1], EIGHT))
        store(offset, i * _EIGHT, scale_add(np.float32(-i), scaled, above))
        above = add(above, scaled)
    store(offset, 0, above)
    excess = broadcast(np.float32(0), EIGHT)
    for i in range(dimensions + 1):
        elevated = load(offset, i * _EIGHT, EIGHT)
        nearest = nearest_integer(elevated)
        store(rounded, i * _EIGHT, nearest)
        store(offset, i * _EIGHT, subtract(elevated, nearest))
        excess = add(excess, nearest)
    for i in range(dimensions + 1):
        mine = load(offset, i * _EIGHT, EIGHT)
        place = excess
        for j in range(i):  # of equal offsets the one with the smaller index comes first
            place = add(
                place, subtract(broadcast(np.float32(1), EIGHT), is_greater(mine, load(offset, j * _EIGHT, EIGHT)))
            )
        for j in range(i + 1, dimensions + 1):
            place = add(place, is_greater(load(offset, j * _EIGHT, EIGHT), mine))
        store(rank, i * _EIGHT, place)
    for i in range(dimensions + 1):
        # rounded coordinates must sum to zero: the coordinates whose place falls off an end step to the next multiple
        place = load(rank, i * _EIGHT, EIGHT)
        step = subtract(
            is_greater(place, broadcast(np.float32(dimensions + 0.5), EIGHT)),
            is_greater(broadcast(np.float32(-0.5), EIGHT), place),
        )
        store(rank, i * _EIGHT, scale_add(np.float32(-(dimensions + 1)), step, place))
        store(rounded, i * _EIGHT, subtract(load(rounded, i * _EIGHT, EIGHT), step))
        store(offset, i * _EIGHT, add(load(offset, i * _EIGHT, EIGHT), step))


@compiled
def corners_of(
    lane: int,
    rounded: Array,
    offset: Array,
    rank: Array,
    multipliers: Array,
    inverse: Array,
    keys: Array,
    weights: Array,
    place: int,
    weights_place: int,
) -> None:
    """Keys and barycentric weights of one pixel's D + 1 vertices, in the order of their remainders."""
    corners = multipliers.size - 1
    key = np.int64(0)
    for i in range(corners):
        inverse[np.int64(rank[i * _EIGHT + lane])] = i
        key += np.int64(rounded[i * _EIGHT + lane]) * multipliers[i]
    smallest = offset[inverse[corners - 1] * _EIGHT + lane]
    weights[weights_place] = smallest + np.float32(1) - offset[inverse[0] * _EIGHT + lane]
    keys[place] = key
    for k in range(1, corners):
        i = inverse[corners - k]
        key += multipliers[corners] - multipliers[i]
        keys[place + k] = key
        weights[weights_place + k] = offset[inverse[corners - 1 - k] * _EIGHT + lane] - offset[i * _EIGHT + lane]


@compiled
def embed(
    planes: Array, start: int, stop: int, scale: Array, multipliers: Array, ids: Array, weights: Array
) -> tuple[Array, Array, int, Array, Array, Array, int]:
    """Embed the pixels start … stop − 1.

    Args:
        planes: (D, at least stop + 7) float32 features.
        scale: (D,) float32, see `simplices`.
        multipliers: (D + 2,) int64: of the coordinates, the last coordinate's being 0, and of the remainder.
        ids: (N·(D + 1),) int32 out: vertices of each pixel, numbered from 0 in order of first touch.
        weights: (N·(D + 1),) float32 out: barycentric weights.

    Returns:
        the hash table (keys, ids, bits), the vertices' keys and remainders, how many were touched before each block of
        pixels (and after the last), and their number.
    """
    corners = multipliers.size - 1
    rounded, offset = np.empty(corners * _EIGHT, np.float32), np.empty(corners * _EIGHT, np.float32)
    rank, inverse = np.empty(corners * _EIGHT, np.float32), np.empty(corners, np.int64)
    block_keys = np.empty(BLOCK * corners, np.int64)
    previous_key, previous_id = np.zeros(corners, np.int64), np.full(corners, EMPTY, np.int64)
    bits = 12
    while (1 << bits) < max(stop - start, 4 * BLOCK * corners):
        bits += 1
    table_keys, table_ids = new_table(bits)
    vertex_keys, remainders = np.empty(1 << (bits - 1), np.int64), np.empty(1 << (bits - 1), np.uint8)
    touched = np.empty((stop - start + BLOCK - 1) // BLOCK + 1, np.int64)
    count = 0
    for block in range(touched.size - 1):
        touched[block] = count
        first = start + block * BLOCK
        last = min(first + BLOCK, stop)
        while 2 * (count + BLOCK * corners) > table_keys.size:
            table_keys, table_ids = doubled(table_keys, table_ids, bits)
            bits += 1
            more_keys, more_remainders = np.empty(1 << (bits - 1), np.int64), np.empty(1 << (bits - 1), np.uint8)
            more_keys[:count], more_remainders[:count] = vertex_keys[:count], remainders[:count]
            vertex_keys, remainders = more_keys, more_remainders
        for eight in range(first, last, _EIGHT):
            simplices(planes, eight, scale, rounded, offset, rank)
            for lane in range(min(_EIGHT, last - eight)):
                pixel = eight + lane
                corners_of(
                    lane, rounded, offset, rank, multipliers, inverse, block_keys, weights,
                    (pixel - first) * corners, pixel * corners,
                )  # fmt: skip
        amount = (last - first) * corners
        for n in range(min(_AHEAD, amount)):
            slot = slot_of(block_keys[n], bits)
            prefetch(table_ids, slot)
            prefetch(table_keys, slot)
        remainder = 0
        for n in range(amount):
            if n + _AHEAD < amount:
                slot = slot_of(block_keys[n + _AHEAD], bits)
                prefetch(table_ids, slot)
                prefetch(table_keys, slot)
            key = block_keys[n]
            if previous_id[remainder] != EMPTY and previous_key[remainder] == key:
                vertex = previous_id[remainder]
            else:
                vertex = insert(table_keys, table_ids, bits, key, count)
                if vertex == count:
                    vertex_keys[count] = key
                    remainders[count] = remainder
                    count += 1
                previous_key[remainder] = key
                previous_id[remainder] = vertex
            ids[first * corners + n] = vertex
            remainder += 1
            if remainder == corners:
                remainder = 0
    touched[-1] = count
    vertex_keys, remainders = vertex_keys[:count].copy(), remainders[:count].copy()
    return table_keys, table_ids, bits, vertex_keys, remainders, touched, count
