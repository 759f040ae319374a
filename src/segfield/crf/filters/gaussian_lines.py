"""The Gaussian of position on the pixel grid, exp(−Δx²/2σ_x² − Δy²/2σ_y²), as loops over lines of rows of channels.

Wide kernels run at half resolution: down with [1 3 3 1]/8, a Gaussian of the remaining variance, up with the transpose.
"""

from __future__ import annotations

import math

import numpy as np

from segfield.classes import Array
from segfield.crf.filters.compiled import compiled_lean
from segfield.crf.filters.simd import Scalar, Width, add, broadcast, item, load, multiply, scale_add, store

HALVING_VARIANCE = 1.5  # pixels²: of [1 3 3 1] down (¾) and up (¾)


def taps(sigma: float, halved: bool) -> Array:
    """(r + 1,) float32 taps 0 … r of one axis, cut at 4 standard deviations, at half resolution at 3.

    Args:
        sigma: pixels of the full image.
        halved: for the half-resolution grid, with what down and up need to make the whole kernel's sum σ√(2π).
    """
    if not halved:
        distances = np.arange(max(1, math.ceil(4 * sigma)) + 1) / sigma
        values: Array = np.exp(-0.5 * distances**2).astype(np.float32)
        return values
    narrow = math.sqrt((sigma**2 - HALVING_VARIANCE) / 4)
    shape = np.exp(-0.5 * (np.arange(max(1, math.ceil(3 * narrow)) + 1) / narrow) ** 2)
    shaped: Array = (shape * (sigma * math.sqrt(2 * math.pi) / (shape[0] + 2 * shape[1:].sum()))).astype(np.float32)
    return shaped


def axis_sums(length: int, weights: Array, halved: bool) -> Array:
    """(length,) float64: along one axis, what the kernel makes of ones."""
    full = np.concatenate([weights[:0:-1], weights]).astype(np.float64)
    radius = len(weights) - 1
    if not halved:
        return np.convolve(np.ones(length), full)[radius : radius + length]
    half = (length + 1) // 2
    index = np.arange(length)
    near, far = index // 2, index // 2 + np.where(index % 2, 1, -1)
    inside = (far >= 0) & (far < half)
    small: Array = np.bincount(near, np.full(length, 0.375), half)
    small += np.bincount(far[inside], np.full(int(inside.sum()), 0.125), half)
    small = np.convolve(small, full)[radius : radius + half]
    widened: Array = 0.75 * small[near] + np.where(inside, 0.25 * small[np.clip(far, 0, half - 1)], 0)
    return widened


@compiled_lean
def convolve_line(line: Array, out: Array, place: int, columns: int, weights: Array, lanes: Width, stride: int) -> None:
    """out[place …] = line * taps along a line of rows; nothing lies beyond its ends."""
    radius = weights.size - 1
    for x in range(columns):
        found = multiply(broadcast(item(weights, 0), lanes), load(line, x * stride, lanes))
        left, right = min(radius, x), min(radius, columns - 1 - x)
        both = min(left, right)
        for k in range(1, both + 1):
            pair = add(load(line, (x - k) * stride, lanes), load(line, (x + k) * stride, lanes))
            found = scale_add(item(weights, k), pair, found)
        for k in range(both + 1, left + 1):
            found = scale_add(item(weights, k), load(line, (x - k) * stride, lanes), found)
        for k in range(both + 1, right + 1):
            found = scale_add(item(weights, k), load(line, (x + k) * stride, lanes), found)
        store(out, place + x * stride, found)


@compiled_lean
def convolve_across(lines: Array, y: int, height: int, length: int, out: Array, place: int, weights: Array, lanes: Width,
                    stride: int) -> None:  # fmt: skip
    """out[place …] = Σ_k taps[|k|] · line y + k, of an image of `height` lines of `length` floats."""
    radius = weights.size - 1
    above, below = min(radius, y), min(radius, height - 1 - y)
    both = min(above, below)
    for at in range(0, length, stride):
        here = y * length + at
        found = multiply(broadcast(item(weights, 0), lanes), load(lines, here, lanes))
        for k in range(1, both + 1):
            pair = add(load(lines, here - k * length, lanes), load(lines, here + k * length, lanes))
            found = scale_add(item(weights, k), pair, found)
        for k in range(both + 1, above + 1):
            found = scale_add(item(weights, k), load(lines, here - k * length, lanes), found)
        for k in range(both + 1, below + 1):
            found = scale_add(item(weights, k), load(lines, here + k * length, lanes), found)
        store(out, place + at, found)


@compiled_lean
def halve_line(line: Array, place: int, scale: Array, first: int, out: Array, columns: int, lanes: Width,
               stride: int) -> None:  # fmt: skip
    """[1 3 3 1]/8 along line[place …], each pixel times its scale[first + x]: `columns` → (columns + 1) // 2 rows."""
    for x in range((columns + 1) // 2):
        here, left, right, beyond = 2 * x, max(2 * x - 1, 0), min(2 * x + 1, columns - 1), min(2 * x + 2, columns - 1)
        found = multiply(
            broadcast(np.float32(0.375) * item(scale, first + here), lanes), load(line, place + here * stride, lanes)
        )
        weight = np.float32(0.375) * item(scale, first + right) if right > here else np.float32(0)
        found = scale_add(weight, load(line, place + right * stride, lanes), found)
        weight = np.float32(0.125) * item(scale, first + left) if left < here else np.float32(0)
        found = scale_add(weight, load(line, place + left * stride, lanes), found)
        weight = np.float32(0.125) * item(scale, first + beyond) if beyond > right else np.float32(0)
        store(out, x * stride, scale_add(weight, load(line, place + beyond * stride, lanes), found))


@compiled_lean
def scale_line(line: Array, place: int, scale: Array, first: int, out: Array, lanes: Width, stride: int) -> None:
    """out = line[place …], each pixel times scale[first + x]."""
    for x in range(out.size // stride):
        store(
            out, x * stride, multiply(broadcast(item(scale, first + x), lanes), load(line, place + x * stride, lanes))
        )


@compiled_lean
def add_line(line: Array, line_place: int, factor: Scalar, out: Array, place: int, length: int, is_first: bool,
             lanes: Width, stride: int) -> None:  # fmt: skip
    """out[place …] += factor · line[line_place …], or = for the first."""
    for at in range(0, length, stride):
        before = broadcast(np.float32(0), lanes) if is_first else load(out, place + at, lanes)
        store(out, place + at, scale_add(factor, load(line, line_place + at, lanes), before))
