"""The two kernels of an image with their normalisation, as the compiled loops take them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segfield.classes import Array
from segfield.crf.buffers import aligned, borrow, give_back
from segfield.crf.filters.filter import Normalization
from segfield.crf.filters.gaussian_lines import axis_sums, taps
from segfield.crf.filters.lattice import blur_axes, lattice_factor, slice_bands, splat_and_blur, with_padding
from segfield.crf.filters.lattice_structure import Lattice
from segfield.crf.image_terms import Appearance, Position, Scratch

HALVED_FROM = 2.5  # pixels: narrower kernels keep the full resolution
NOTHING = np.empty(0, np.float32)


def bilateral_planes(image: Array, sxy: float | Sequence[float], srgb: float | Sequence[float]) -> Array:
    """(2 + C, N + padding) float32: x and y by their bandwidths, then each band by its own."""
    bands, height, width = image.shape
    scale = np.broadcast_to(np.asarray(srgb, np.float64), (bands,))
    sx, sy = np.broadcast_to(np.asarray(sxy, np.float64), (2,))
    planes = with_padding(2 + bands, height * width)
    features = [plane[: height * width].reshape(height, width) for plane in planes]
    features[0][:] = np.arange(width) / sx
    features[1][:] = (np.arange(height) / sy)[:, None]
    for band in range(bands):
        np.multiply(image[band], np.float32(1 / scale[band]), out=features[2 + band], casting="unsafe")
    return planes


def halved_image(image: Array) -> Array:
    """(C, H, W) → (C, ⌈H/2⌉, ⌈W/2⌉) float32 means of 2 × 2 pixels; beyond the rim the last counts twice."""
    upper, lower = image[:, ::2].astype(np.float32), image[:, 1::2]
    upper[:, : lower.shape[1]] += lower
    upper[:, lower.shape[1] :] *= 2
    left, right = upper[:, :, ::2].copy(), upper[:, :, 1::2]
    left[:, :, : right.shape[2]] += right
    left[:, :, right.shape[2] :] *= 2
    return left * np.float32(0.25)


def appearance_kernel(lattice: Lattice, normalization: Normalization) -> Appearance:
    """The bilateral kernel on its lattice, whose bands begin at whole lines of the image."""
    starts = np.cumsum([0, *(len(band.touched) for band in lattice.bands)])[:-1]
    kernel = Appearance(
        lattice.corners, lattice.ids, lattice.weights, np.concatenate([band.touched for band in lattice.bands]),
        starts, np.array([band.first_row for band in lattice.bands]), lattice.copies, lattice.primaries,
        lattice.copy_cuts, lattice.order, lattice.cuts, lattice.rounds, lattice.extra_row, NOTHING, NOTHING,
    )  # fmt: skip
    factor = np.float32(lattice_factor(lattice.corners - 1, lattice.rounds))
    sums = factor * _row_sums(lattice) if normalization != "none" else NOTHING
    before, after = normalising(sums, lattice.bands[-1].stop, normalization)
    return kernel._replace(before=before, after=after * factor)


def position_kernel(shape: tuple[int, int], sxy: float | Sequence[float], normalization: Normalization) -> Position:
    """The Gaussian's taps and normalisation; its row sums are a product of a number for each line and each column."""
    sx, sy = (float(sigma) for sigma in np.broadcast_to(np.asarray(sxy, np.float64), (2,)))
    halved = min(sx, sy) >= HALVED_FROM
    taps_x, taps_y = taps(sx, halved), taps(sy, halved)
    sums = np.outer(axis_sums(shape[0], taps_y, halved), axis_sums(shape[1], taps_x, halved)).reshape(-1)
    before, after = normalising(sums.astype(np.float32), len(sums), normalization)
    return Position(taps_x, taps_y, halved, before, after)


def normalising(sums: Array, pixels: int, normalization: Normalization) -> tuple[Array, Array]:
    """What values are multiplied by before and after a kernel with these row sums: two (N,) float32."""
    ones = np.ones(pixels, np.float32)
    if normalization == "none":
        return ones, ones.copy()
    if normalization == "symmetric":
        root = 1 / np.sqrt(sums + np.float32(1e-20))
        return root, root.copy()
    inverse = 1 / (sums + np.float32(1e-20))
    return (inverse, ones) if normalization == "before" else (ones, inverse)


def _row_sums(lattice: Lattice) -> Array:
    """The lattice's sums of ones, without its factor: (N,) float32."""
    stride = 4
    pixels = lattice.bands[-1].stop
    values, rows = borrow(pixels * stride), borrow(lattice.rows * stride)
    values[:] = 1
    splat_and_blur(lattice, values, rows, stride, blur_axes(lattice))
    slice_bands(lattice, rows, values, stride, 1.0)
    sums = values[::stride].copy()
    give_back(values)
    give_back(rows)
    return sums


def scratch(columns: int, stride: int, position: Position, mixes: bool) -> Scratch:
    """One thread's own lines."""
    line = ((columns + 1) // 2 if position.halved else columns) * stride
    messages = aligned(columns * stride if mixes else 0)
    return Scratch(
        aligned(columns * stride), messages, aligned(line), aligned(3 * line if position.halved else stride),
        np.full(3, -1, np.int64), aligned(line), NOTHING,
    )  # fmt: skip


def _no_appearance() -> Appearance:
    ints, longs, table = np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros((0, 0), np.int64)
    return Appearance(
        0, ints, NOTHING, longs, longs, longs, ints, ints, longs, ints, table, 1, 0, NOTHING, NOTHING
    )  # fmt: skip


NO_APPEARANCE = _no_appearance()
NO_POSITION = Position(NOTHING, NOTHING, False, NOTHING, NOTHING)
