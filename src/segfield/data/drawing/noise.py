"""Texture noise: a small tileable table of fractal noise, and how surfaces sample it."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Floats = npt.NDArray[np.float32]
SIDE = 256


@lru_cache(maxsize=1)
def fractal_table() -> Floats:
    """Tileable noise of eight octaves, (256, 256) float32 in 0..1, mean about one half.

    The values are multiples of 1/256, so that a last-bit difference between platforms cannot show.
    """
    generator = np.random.default_rng(20)
    total = np.zeros((SIDE, SIDE))
    for octave in range(7):
        layer = ndimage.gaussian_filter(generator.random((SIDE, SIDE)) - 0.5, 0.5 * 2**octave, mode="wrap")
        total += layer / layer.std() * 1.55**octave
    ranks = np.argsort(np.argsort(total.ravel(), kind="stable"), kind="stable").reshape(SIDE, SIDE)
    return np.asarray(np.floor(ranks * (256 / SIDE**2)) / 256, dtype=np.float32)


@lru_cache(maxsize=1)
def grain_table() -> Floats:
    """Tileable fine-grained noise, (256, 256) float32 in 0..1: what asphalt, plaster and leaves look like close by."""
    generator = np.random.default_rng(21)
    white = generator.random((SIDE, SIDE))
    total = white + 2 * ndimage.gaussian_filter(generator.random((SIDE, SIDE)), 1.2, mode="wrap") * 2.0
    ranks = np.argsort(np.argsort(total.ravel(), kind="stable"), kind="stable").reshape(SIDE, SIDE)
    return np.asarray(np.floor(ranks * (256 / SIDE**2)) / 256, dtype=np.float32)


def sample(table: Floats, u: Floats, v: Floats) -> Floats:
    """Bilinear samples of a tileable table at (u, v), in cells of the table; any real coordinates.

    Args:
        table: (256, 256).
        u, v: equal shapes.

    Returns:
        Samples of that shape, in the table's range.
    """
    u_floor, v_floor = np.floor(u), np.floor(v)
    fu, fv = u - u_floor, v - v_floor
    i, j = u_floor.astype(np.int32) & (SIDE - 1), v_floor.astype(np.int32) & (SIDE - 1)
    i_next, j_next = (i + 1) & (SIDE - 1), ((j + 1) & (SIDE - 1)) * SIDE
    j *= SIDE
    flat = table.ravel()
    low = flat.take(j + i)
    low += fu * (flat.take(j + i_next) - low)
    high = flat.take(j_next + i)
    high += fu * (flat.take(j_next + i_next) - high)
    return np.asarray(low + fv * (high - low), dtype=np.float32)


def texture(u: Floats, v: Floats, cell: float, footprint: Floats) -> Floats:
    """Grain of `cell` metres on a surface, −0.5..0.5, fading out where a pixel covers more than a cell.

    Args:
        u, v: metres on the surface.
        cell: metres of one grain.
        footprint: metres that one pixel covers.
    """
    grain = sample(grain_table(), u / np.float32(cell), v / np.float32(cell)) - np.float32(0.5)
    return np.asarray(grain * np.minimum(1, np.float32(cell) / footprint), dtype=np.float32)


def blotches(u: Floats, v: Floats, cell: float) -> Floats:
    """Large soft patches, −0.5..0.5: 256 cells of `cell` metres make one repeat."""
    return sample(fractal_table(), u / np.float32(cell), v / np.float32(cell)) - np.float32(0.5)


def scatter(*keys: npt.NDArray[np.int32] | int) -> Floats:
    """One even-spread number in 0..1 for each combination of keys (which window is lit, which tile is dark)."""
    state = np.uint32(2166136261)
    mixed: npt.NDArray[np.uint32] = np.asarray(state)
    for key in keys:
        mixed = (mixed ^ np.asarray(key).astype(np.int64).astype(np.uint32)) * np.uint32(0x9E3779B1)
        mixed = mixed ^ (mixed >> np.uint32(15))
    mixed = (mixed * np.uint32(0x85EBCA6B)) >> np.uint32(8)
    return mixed.astype(np.float32) * np.float32(1 / 2**24)


def stripe(x: Floats, low: Floats | float, high: Floats | float, footprint: Floats) -> Floats:
    """How much of a pixel at `x` lies within low..high, 0..1: lines thin out with distance instead of flickering."""
    half = footprint * np.float32(0.5)
    covered = np.minimum(x + half, high) - np.maximum(x - half, low)
    return np.asarray(np.clip(covered / footprint, 0, 1), dtype=np.float32)
