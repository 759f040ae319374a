"""The permutohedral lattice over a set of pixels: who touches which vertex, and the chains the blur runs along."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from segfield.classes import Array
from segfield.crf.filters.key_table import EMPTY
from segfield.crf.filters.lattice_chains import chain_cuts, chains_along, dilate, merge_band
from segfield.crf.filters.lattice_embedding import embed
from segfield.crf.threads import together
from segfield.errors import DataError

_LARGEST = 1e6
_FEW_COPIES = 0.25  # of the vertices


@dataclass(frozen=True)
class Band:
    """Neighbouring pixels that one thread works on: start … stop − 1, and the rows that belong to it."""

    start: int
    stop: int
    first_row: int
    touched: Array  # rows touched before each block of pixels, counted from first_row


@dataclass(frozen=True)
class Lattice:
    """Pixels, vertices, chains.

    A vertex touched by several bands has a row in each; the first is its primary row, on which the blur runs.
    """

    corners: int  # D + 1
    rows: int
    ids: Array  # (N·corners,) int32 rows
    weights: Array  # (N·corners,) float32
    bands: tuple[Band, ...]
    copies: Array  # (S,) int32 rows that repeat `primaries`
    primaries: Array
    order: Array  # int32 rows along the chains, axis after axis, see chains_along
    cuts: Array  # (corners, threads + 1) where in `order` each thread's share of an axis begins
    copy_cuts: Array  # (bands + 1,) where in `copies` each band's begin
    rounds: int  # how often the axes are blurred
    extra_row: int  # rows from here on are touched by no pixel

    @property
    def vertices(self) -> int:
        """M: how many there are, untouched neighbours of the finer lattice included."""
        return self.rows - len(self.copies)


def build_lattice(
    planes: Array, pixels: int, boundaries: Sequence[int], rounds: int = 1, dilations: int = 0,
    into: tuple[Array, Array] | None = None, joins: bool = False,
) -> Lattice:  # fmt: skip
    """Embed the pixels, with a thread for each band.

    Args:
        planes: (D, N + 7 or more) float32 features, divided by their bandwidths; what lies beyond N is ignored.
        pixels: N.
        boundaries: pixels at which bands begin, and N at the end.
        rounds: how often the axes are blurred; the more, the finer the lattice and the rounder its kernel.
        dilations: how many rings of untouched neighbours to add, so that the blur does not stop where no pixel is.
        into: memory for ids and weights, (N·(D + 1),) int32 and float32.
        joins: make all bands one where they touch the same vertices, as those of points in no order do; `boundaries` are
            then multiples of a block.

    Raises:
        DataError: if a feature is not finite, or too large for float32 to tell pixels apart.
    """
    dimensions = len(planes)
    corners = dimensions + 1
    parts = len(boundaries) - 1
    scale = lattice_scale(dimensions, rounds)
    multipliers = key_multipliers(planes[:, :pixels], scale)
    if into is None:
        into = np.empty(pixels * corners, np.int32), np.empty(pixels * corners, np.float32)
    ids, weights = into
    found: list[Any] = [None] * parts

    def embed_part(part: int) -> None:
        of_band = embed(planes, boundaries[part], boundaries[part + 1], scale, multipliers, ids, weights)
        found[part] = of_band if part == 0 else (None, None, 0, *of_band[3:])  # one table is enough to merge with

    together(parts, embed_part)
    table, bands, copies, primaries = _merged(found, boundaries, ids, corners)
    vertex_keys = np.concatenate([band[3] for band in found])
    remainders = np.concatenate([band[4] for band in found])
    found.clear()
    is_copy = np.zeros(len(vertex_keys), np.bool_)
    for part in copies:
        is_copy[part] = True
    if joins and sum(map(len, copies)) > _FEW_COPIES * len(vertex_keys):
        bands = [_joined(bands, is_copy, copies, primaries, table[1], ids)]
        vertex_keys, remainders, is_copy = vertex_keys[~is_copy], remainders[~is_copy], np.zeros(table[3], np.bool_)
        copies, primaries = [], []
    touched_rows = len(vertex_keys)
    for _ in range(dilations):
        keys, ids_of_keys, bits, vertex_keys, remainders = dilate(
            table[0], table[1], table[2], len(vertex_keys), vertex_keys, remainders, multipliers, is_copy
        )
        table = (keys, ids_of_keys, bits, table[3])
        is_copy = np.concatenate([is_copy, np.zeros(len(vertex_keys) - len(is_copy), np.bool_)])
    chains: list[Any] = [None] * corners

    def chain_part(part: int) -> None:
        for axis in range(part, corners, parts):
            chains[axis] = chains_along(
                axis, table[0], table[1], table[2], vertex_keys, remainders, multipliers, is_copy
            )

    together(parts, chain_part)
    starts = np.cumsum([0, *map(len, chains)])
    cuts = np.stack([chain_cuts(order, parts) + start for order, start in zip(chains, starts)])
    copy_cuts = np.cumsum([0, 0, *map(len, copies)])
    return Lattice(
        corners, len(vertex_keys), ids, weights, tuple(bands), np.concatenate([*copies, np.empty(0, np.int32)]),
        np.concatenate([*primaries, np.empty(0, np.int32)]), np.concatenate(chains), cuts, copy_cuts, rounds, touched_rows,
    )  # fmt: skip


def _merged(
    found: Sequence[Any], boundaries: Sequence[int], ids: Array, corners: int
) -> tuple[tuple[Array, Array, int, int], list[Band], list[Array], list[Array]]:
    """Number the rows of all bands, and find the vertices that several touch.

    Returns:
        the table of all vertices with their number, the bands, and for each band but the first its copies and their primaries.
    """
    keys, table_ids, bits, _, _, _, count = found[0]
    rows = 0
    bands, copies, primaries = [], [], []
    for part, (_, _, _, vertex_keys, _, touched, amount) in enumerate(found):
        bands.append(Band(boundaries[part], boundaries[part + 1], rows, touched))
        if part:
            ids[boundaries[part] * corners : boundaries[part + 1] * corners] += rows
            own, other = np.empty(amount, np.int32), np.empty(amount, np.int32)
            keys, table_ids, bits, count, shared = merge_band(
                keys, table_ids, bits, count, vertex_keys, rows, own, other
            )
            copies.append(own[:shared])
            primaries.append(other[:shared])
        rows += amount
    return (keys, table_ids, bits, count), bands, copies, primaries


def _joined(
    bands: Sequence[Band],
    is_copy: Array,
    copies: Sequence[Array],
    primaries: Sequence[Array],
    table_ids: Array,
    ids: Array,
) -> Band:
    """One band of all: rows that are copies fall away, in `ids` and the table, and the others close ranks."""
    before = np.concatenate([[0], np.cumsum(~is_copy)])  # rows that stay, before each
    number = before[:-1].astype(np.int32)
    for own, primary in zip(copies, primaries):
        number[own] = number[primary]
    np.take(number, ids, out=ids, mode="clip")
    filled = table_ids != EMPTY
    table_ids[filled] = number[table_ids[filled]]
    touched = [before[band.first_row + band.touched] for band in bands]
    whole = np.concatenate([*(part[:-1] for part in touched[:-1]), touched[-1]])
    return Band(bands[0].start, bands[-1].stop, 0, whole)


def lattice_scale(dimensions: int, rounds: int = 1) -> Array:
    """(D,) float32: features of unit bandwidth → lattice coordinates divided by D + 1 (Adams 2010, section 3.2).

    Splatting and slicing are a linear interpolation each; with the blur they add up to unit variance if the lattice is
    scaled by (D + 1)·√(1/6 + rounds/2).
    """
    i = np.arange(dimensions)
    return (math.sqrt(1 / 6 + rounds / 2) / np.sqrt((i + 1.0) * (i + 2.0))).astype(np.float32)


def key_multipliers(features: Array, scale: Array) -> Array:
    """(D + 2,) int64 multipliers of the coordinates and of the remainder: packed fields, or a fingerprint if they do not fit."""
    dimensions = len(scale)
    smallest, greatest = features.min(axis=1).astype(np.float64), features.max(axis=1).astype(np.float64)
    furthest = max(-smallest.min(), greatest.max())
    if not np.isfinite(furthest):
        raise DataError(
            "a feature is NaN or infinite; every feature must be a finite number divided by a bandwidth above 0"
        )
    if furthest > _LARGEST:
        raise DataError(
            f"a feature is {furthest:.3g} bandwidths from zero; float32 tells pixels apart up to "
            f"{_LARGEST:g}, give a larger bandwidth or scale the image"
        )
    low, high = smallest * scale, greatest * scale
    spans = []
    for i in range(dimensions):  # interval of the elevated coordinate i, with room for neighbours
        upper, lower = high[i:].sum(), low[i:].sum()
        if i:
            upper, lower = upper - i * low[i - 1], lower - i * high[i - 1]
        spans.append(upper - lower + 16)
    widths = [max(1, math.ceil(math.log2(span))) for span in spans]
    remainder = math.ceil(math.log2(dimensions + 1))
    if sum(widths) + remainder <= 62:
        shifts = np.cumsum([remainder, *widths])[:-1]
        return np.array([*(1 << int(shift) for shift in shifts), 0, 1], np.int64)
    odd = np.random.default_rng(20100601).integers(1 << 61, size=dimensions + 1) * 4 + 1
    return np.array([*odd[:-1], 0, odd[-1]], np.int64)
