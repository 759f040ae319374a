"""How many vertices a permutohedral lattice will have, without building it: distinct keys counted on a random share of them.

Flajolet & Martin's idea in its plainest form: a key is counted if its hash falls into the share, so that each distinct key counts
once or never, and the share of the count tells the whole.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from segfield.classes import Array
from segfield.crf.filters.compiled import compiled
from segfield.crf.filters.key_table import doubled, insert, new_table, slot_of
from segfield.crf.filters.lattice_embedding import BLOCK, corners_of, simplices
from segfield.crf.filters.lattice_structure import key_multipliers, lattice_scale
from segfield.crf.filters.simd import EIGHT

_EIGHT = EIGHT.lanes
_ALL_COUNTED = 50_000  # pixels: of smaller images every key is counted
_SHARE_BITS = 4  # of larger ones a sixteenth, so that the error stays below two per cent


def count_vertices(planes: Array, pixels: int, boundaries: Sequence[int], rounds: int = 1) -> int:
    """Rows of the lattice over `planes`, a vertex counted for each band that touches it; untouched neighbours not.

    Args:
        planes: (D, N + 7 or more) float32 features, divided by their bandwidths.
        pixels: N.
        boundaries: as for `build_lattice`.
        rounds: as for `build_lattice`.

    Raises:
        DataError: as `build_lattice`.
    """
    scale = lattice_scale(len(planes), rounds)
    multipliers = key_multipliers(planes[:, :pixels], scale)
    bits = 0 if pixels <= _ALL_COUNTED else _SHARE_BITS
    counted = sum(
        _distinct(planes, first, last, scale, multipliers, bits) for first, last in itertools.pairwise(boundaries)
    )
    return int(counted) << bits


@compiled
def _distinct(planes: Array, start: int, stop: int, scale: Array, multipliers: Array, share_bits: int) -> int:
    """Distinct keys of the pixels start … stop − 1 whose hash begins with `share_bits` zeros."""
    corners = multipliers.size - 1
    rounded, offset = np.empty(corners * _EIGHT, np.float32), np.empty(corners * _EIGHT, np.float32)
    rank, inverse = np.empty(corners * _EIGHT, np.float32), np.empty(corners, np.int64)
    keys, weights = np.empty(BLOCK * corners, np.int64), np.empty(BLOCK * corners, np.float32)
    bits = 14
    table_keys, table_ids = new_table(bits)
    count = 0
    for first in range(start, stop, BLOCK):
        last = min(first + BLOCK, stop)
        while 2 * (count + BLOCK * corners) > table_keys.size:
            table_keys, table_ids = doubled(table_keys, table_ids, bits)
            bits += 1
        for eight in range(first, last, _EIGHT):
            simplices(planes, eight, scale, rounded, offset, rank)
            for lane in range(min(_EIGHT, last - eight)):
                place = (eight + lane - first) * corners
                corners_of(lane, rounded, offset, rank, multipliers, inverse, keys, weights, place, place)
        for n in range((last - first) * corners):
            if share_bits and slot_of(keys[n] ^ np.int64(0x5DEECE66D), share_bits) != 0:
                continue
            if insert(table_keys, table_ids, bits, keys[n], count) == count:
                count += 1
    return count
