"""Mean field over any points, as compiled functions that every thread runs on its own band of points.

Krähenbühl & Koltun 2011, algorithm 1. Probabilities lie class by class in the caller's own array, and are worked on in place.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from segfield.classes import Array
from segfield.crf.barrier import wait_for_all
from segfield.crf.filters.compiled import compiled_inner, compiled_lean
from segfield.crf.filters.lattice_embedding import BLOCK
from segfield.crf.filters.lattice_rows import blur_chains, clear_rows, gather_copies, spread_copies
from segfield.crf.filters.simd import (
    Scalar,
    Width,
    broadcast,
    item,
    load,
    multiply,
    multiply_add,
    prefetch,
    scale_add,
    store,
    subtract,
    transpose,
)
from segfield.crf.image_pass import line_to_planes, mix_line, softmax
from segfield.crf.points_kernels import Kernels

_AHEAD = 8  # points


class PointModel(NamedTuple):
    """Energies of N points for K classes, in rows of `stride` channels."""

    unary: Array  # (K·N,) float32
    classes: int
    lowest: Array  # (stride,) float32: 0, and far below for channels that are no class
    weights: Array  # (T·stride,) float32: what is subtracted from a class's energy for a neighbour of the class
    mixes: Array  # (T,) bool: which kernels have a table instead
    tables: Array  # (T·K·stride,) float32: row m says what each class gains from neighbours of class m


class PointWorkspace(NamedTuple):
    """What the threads share."""

    rows: Array  # (R·stride,) float32: the lattices' sums
    barrier: Array
    lines: Array  # (bands·2·BLOCK·stride + 8,) float32, finite: each thread's own two blocks


@compiled_lean
def run_points(part: int, bounds: Array, start: bool, iterations: int, kernels: Kernels, model: PointModel, found: Array,
               work: PointWorkspace, lanes: Width, stride: int) -> None:  # fmt: skip
    """Mean field on the points bounds[part] … bounds[part + 1] − 1, in step with the other threads.

    Args:
        start: begin with softmax(−U), not with what `found` holds.
        found: (K·N,) float32 probabilities.
    """
    own = part * 2 * BLOCK * stride
    if start:
        for first in range(bounds[part], bounds[part + 1], BLOCK):
            count = min(BLOCK, bounds[part + 1] - first)
            fill_line(model.unary, first, count, model.classes, work.lines, own, stride)
            finish_line(first, count, model, found, work.lines, own, lanes, stride)
        wait_for_all(work.barrier, bounds.size - 1)  # a lattice in one piece is splatted by one thread from all points
    for _ in range(iterations):
        filter_points(part, bounds.size - 1, kernels, model.classes, found, work, own, lanes, stride)
        for first in range(bounds[part], bounds[part + 1], BLOCK):
            count = min(BLOCK, bounds[part + 1] - first)
            energies_of(first, count, bounds[-1], kernels, model, work, own, lanes, stride)
            finish_line(first, count, model, found, work.lines, own, lanes, stride)
        wait_for_all(work.barrier, bounds.size - 1)


@compiled_lean
def divergence_of(part: int, bounds: Array, kernels: Kernels, model: PointModel, found: Array, sums: Array,
                  work: PointWorkspace, lanes: Width, stride: int) -> None:  # fmt: skip
    """Add up Σ q·(log q + U − messages) over the thread's points: into sums[part], float64."""
    own = part * 2 * BLOCK * stride
    filter_points(part, bounds.size - 1, kernels, model.classes, found, work, own, lanes, stride)
    total = 0.0
    for first in range(bounds[part], bounds[part + 1], BLOCK):
        count = min(BLOCK, bounds[part + 1] - first)
        energies_of(first, count, bounds[-1], kernels, model, work, own, lanes, stride)
        for k in range(model.classes):
            for x in range(count):
                q = item(found, k * bounds[-1] + first + x)
                energy = np.log(max(q, np.float32(1e-20))) + item(work.lines, own + x * stride + k)
                total += np.float64(q) * np.float64(energy)
    sums[part] = total


@compiled_lean
def row_sums_of(part: int, bounds: Array, kernels: Kernels, ones: Array, work: PointWorkspace, lanes: Width,
                stride: int) -> None:  # fmt: skip
    """What each kernel, not yet normalised, makes of ones (N,) at the thread's points: into kernels.scales."""
    own = part * 2 * BLOCK * stride
    filter_points(part, bounds.size - 1, kernels, 1, ones, work, own, lanes, stride)
    for term in range(kernels.corners.size):
        for point in range(bounds[part], bounds[part + 1]):
            filtered = filtered_row(point, term, bounds[-1], kernels, work.rows, lanes, stride)
            store(work.lines, own, filtered)
            kernels.scales[term * bounds[-1] + point] = work.lines[own]


@compiled_inner
def filter_points(part: int, parts: int, kernels: Kernels, classes: int, found: Array, work: PointWorkspace, own: int,
                  lanes: Width, stride: int) -> None:  # fmt: skip
    """Splat the probabilities `found` to all lattices, and blur these."""
    for term in range(kernels.corners.size):
        splat_points(part, term, kernels, classes, found, work, own, lanes, stride)
    wait_for_all(work.barrier, parts)
    if kernels.copies.size > 0:
        gather_copies(work.rows, kernels.copies, kernels.primaries, part, parts, lanes, stride)
        wait_for_all(work.barrier, parts)
    for axis in range(kernels.cuts.shape[1]):
        for term in range(kernels.corners.size):
            cuts = kernels.cuts[term, axis]
            blur_chains(work.rows, kernels.order, cuts[part], cuts[part + 1], lanes, stride)
        wait_for_all(work.barrier, parts)
    if kernels.copies.size > 0:
        begin, end = kernels.copy_cuts[part], kernels.copy_cuts[part + 1]
        spread_copies(work.rows, kernels.copies, kernels.primaries, begin, end, lanes, stride)
        wait_for_all(work.barrier, parts)


@compiled_inner
def splat_points(part: int, term: int, kernels: Kernels, classes: int, found: Array, work: PointWorkspace, own: int,
                 lanes: Width, stride: int) -> None:  # fmt: skip
    """Add a band's probabilities to the rows of one kernel, which are cleared when their first point comes."""
    corners, pixels = kernels.corners[term], found.size // classes
    begin, end = kernels.starts[term, part], kernels.starts[term, part + 1]
    row, block = kernels.first_row[term, part], kernels.touched_at[term, part]
    for first in range(begin, end, BLOCK):
        count = min(BLOCK, end - first)
        clear_rows(work.rows, row + kernels.touched[block], row + kernels.touched[block + 1], lanes, stride)
        block += 1
        fill_line(found, first, count, classes, work.lines, own, stride)
        for x in range(count):
            value = load(work.lines, own + x * stride, lanes)
            if kernels.before[term]:
                value = multiply(value, broadcast(item(kernels.scales, term * pixels + first + x), lanes))
            at = kernels.first[term] + (first + x) * corners
            for corner in range(at, at + corners):
                place = np.int64(item(kernels.ids, corner)) * stride
                store(work.rows, place, scale_add(item(kernels.weights, corner), value, load(work.rows, place, lanes)))


@compiled_inner
def energies_of(first: int, count: int, pixels: int, kernels: Kernels, model: PointModel, work: PointWorkspace, own: int,
                lanes: Width, stride: int) -> None:  # fmt: skip
    """U − messages of the points first … first + count − 1, into the first of the thread's two blocks."""
    lines, other = work.lines, own + BLOCK * stride
    fill_line(model.unary, first, count, model.classes, lines, own, stride)
    zero = broadcast(np.float32(0), lanes)
    for term in range(kernels.corners.size):
        weight = subtract(zero, load(model.weights, term * stride, lanes))
        for x in range(count):
            filtered = filtered_row(first + x, term, pixels, kernels, work.rows, lanes, stride)
            if model.mixes[term]:
                store(lines, other + x * stride, filtered)
            else:
                place = own + x * stride
                store(lines, place, multiply_add(weight, filtered, load(lines, place, lanes)))
        if model.mixes[term]:
            mixed = lines[other : other + count * stride]
            mix_line(mixed, count, model.tables, term * model.classes * stride, model.classes, mixed, lanes, stride)
            for x in range(count):
                place = own + x * stride
                store(lines, place, subtract(load(lines, place, lanes), load(lines, other + x * stride, lanes)))


@compiled_inner
def filtered_row(
    point: int, term: int, pixels: int, kernels: Kernels, rows: Array, lanes: Width, stride: int
) -> Scalar:
    """What the kernel's lattice says at a point; rows of a point a little further on are asked for."""
    corners = kernels.corners[term]
    at = kernels.first[term] + point * corners
    ahead = kernels.first[term] + min(point + _AHEAD, pixels - 1) * corners
    found = broadcast(np.float32(0), lanes)
    for corner in range(corners):
        soon = np.int64(item(kernels.ids, ahead + corner)) * stride
        prefetch(rows, soon)
        prefetch(rows, soon + stride - 1)
        row = np.int64(item(kernels.ids, at + corner)) * stride
        found = scale_add(item(kernels.weights, at + corner), load(rows, row, lanes), found)
    if kernels.after[term]:
        found = multiply(found, broadcast(item(kernels.scales, term * pixels + point), lanes))
    return found


@compiled_inner
def finish_line(first: int, count: int, model: PointModel, found: Array, lines: Array, own: int, lanes: Width,
                stride: int) -> None:  # fmt: skip
    """The softmax of a block's negated energies: into `found`."""
    lowest = load(model.lowest, 0, lanes)
    for x in range(count):
        place = own + x * stride
        store(lines, place, softmax(subtract(lowest, load(lines, place, lanes)), True, lanes))
    eights = count // 8 * 8 if model.classes < 8 else 0
    pixels = found.size // model.classes
    for x in range(0, eights, 8):
        transpose(lines, own + x * stride, stride, 8, found, first + x, pixels, model.classes)
    line_to_planes(lines, own + eights * stride, found, first + eights, count - eights, model.classes, stride)


@compiled_inner
def fill_line(planes: Array, first: int, count: int, classes: int, lines: Array, own: int, stride: int) -> None:
    """Rows of the points first … first + count − 1 from (K·N,) planes; channels that are no class hold any finite number.

    Of rows of four channels, four numbers beyond the last row are written too.
    """
    pixels = planes.size // classes
    eights = count // 8 * 8
    for x in range(0, eights, 8):
        place = own + x * stride
        if classes < 8:
            transpose(planes, first + x, pixels, classes, lines, place, stride, 8)
        for n in range(0, classes if classes >= 8 else 0, 8):
            k = min(n, classes - 8)  # the last eight may repeat some of the eight before
            transpose(planes, k * pixels + first + x, pixels, 8, lines, place + k, stride, 8)
    for k in range(classes):
        for x in range(eights, count):
            lines[own + x * stride + k] = planes[k * pixels + first + x]
