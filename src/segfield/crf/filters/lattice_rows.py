"""Splat, blur and slice on the rows of a permutohedral lattice: one row of channels per vertex."""

from __future__ import annotations

import numpy as np

from segfield.classes import Array
from segfield.crf.filters.compiled import compiled_lean
from segfield.crf.filters.lattice_embedding import BLOCK
from segfield.crf.filters.simd import (
    Scalar,
    Width,
    add,
    broadcast,
    item,
    load,
    multiply,
    prefetch,
    scale_add,
    store,
)

_AHEAD = 24  # rows


@compiled_lean
def clear_rows(rows: Array, first: int, last: int, width: Width, stride: int) -> None:
    """Set rows first … last − 1 to zero."""
    zero = broadcast(np.float32(0), width)
    for row in range(first, last):
        store(rows, row * stride, zero)


@compiled_lean
def splat(values: Array, ids: Array, weights: Array, corners: int, rows: Array, start: int, stop: int, first_row: int,
          touched: Array, width: Width, stride: int) -> None:  # fmt: skip
    """Add the pixels start … stop − 1 to the rows of their vertices; a row is cleared when its first pixel comes.

    Args:
        values: (N·stride,) float32.
        ids, weights: (N·corners,) of each pixel.
        rows: (R·stride,) float32 out.
        first_row: of this band, whose rows are numbered in order of first touch.
        touched: rows touched before each block of pixels.
    """
    for pixel in range(start, stop):
        if (pixel - start) % BLOCK == 0:
            block = (pixel - start) // BLOCK
            clear_rows(rows, first_row + touched[block], first_row + touched[block + 1], width, stride)
        value = load(values, pixel * stride, width)
        for corner in range(pixel * corners, (pixel + 1) * corners):
            row = np.int64(item(ids, corner)) * stride
            store(rows, row, scale_add(item(weights, corner), value, load(rows, row, width)))


@compiled_lean
def blur_chains(rows: Array, order: Array, first: int, last: int, width: Width, stride: int) -> None:
    """Blur along one axis with taps ½ 1 ½, in place, the chains at first … last − 1 of `order` (see `chains_along`)."""
    zero = broadcast(np.float32(0), width)
    half = broadcast(np.float32(0.5), width)
    previous = zero
    here = zero
    following = np.int64(-1)
    for place in range(first, last):
        row = np.int64(item(order, place))
        if row < 0:
            row = -1 - row
            previous = zero
            here = load(rows, row * stride, width)
        ahead = np.int64(item(order, min(place + _AHEAD, last - 1)))
        soon = (-1 - ahead if ahead < 0 else ahead) * stride
        prefetch(rows, soon)
        prefetch(rows, soon + stride - 1)
        following = np.int64(item(order, place + 1)) if place + 1 < last else np.int64(-1)
        if following >= 0:
            after = load(rows, following * stride, width)
            store(rows, row * stride, add(here, multiply(half, add(previous, after))))
            previous = here
            here = after
        else:
            store(rows, row * stride, add(here, multiply(half, previous)))


@compiled_lean
def gather_copies(
    rows: Array, copies: Array, primaries: Array, part: int, parts: int, width: Width, stride: int
) -> None:
    """Add each copy's row to its primary's, if that is one of the primaries of this thread of several: every `parts`-th row."""
    for n in range(copies.size):
        primary = np.int64(item(primaries, n))
        if primary % parts == part:
            copy = load(rows, np.int64(item(copies, n)) * stride, width)
            store(rows, primary * stride, add(load(rows, primary * stride, width), copy))


@compiled_lean
def spread_copies(
    rows: Array, copies: Array, primaries: Array, first: int, last: int, width: Width, stride: int
) -> None:
    """Give the copies first … last − 1 their primaries' rows."""
    for n in range(first, last):
        primary = load(rows, np.int64(item(primaries, n)) * stride, width)
        store(rows, np.int64(item(copies, n)) * stride, primary)


@compiled_lean
def slice_rows(rows: Array, ids: Array, weights: Array, corners: int, values: Array, start: int, stop: int,
               factor: Scalar, width: Width, stride: int) -> None:  # fmt: skip
    """values[pixel] = factor · Σ weight · row of vertex, for the pixels start … stop − 1."""
    for pixel in range(start, stop):
        found = broadcast(np.float32(0), width)
        for corner in range(pixel * corners, (pixel + 1) * corners):
            row = np.int64(item(ids, corner)) * stride
            found = scale_add(item(weights, corner), load(rows, row, width), found)
        store(values, pixel * stride, multiply(broadcast(factor, width), found))
