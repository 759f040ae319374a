"""One mean-field update along a line of the image: slice, add the messages, softmax, splat, pixel by pixel in registers.

Krähenbühl & Koltun 2011, algorithm 1.
"""

from __future__ import annotations

import numpy as np

from segfield.classes import Array
from segfield.crf.filters.compiled import compiled_inner, compiled_lean
from segfield.crf.filters.simd import (
    Row,
    Scalar,
    Width,
    add,
    any_above,
    broadcast,
    exponential,
    item,
    largest,
    load,
    maximum,
    minimum,
    multiply,
    multiply_add,
    prefetch,
    scale_add,
    store,
    subtract,
    total,
    transpose,
)
from segfield.crf.image_terms import Appearance, Model, Position

_AHEAD = 8  # pixels


@compiled_inner
def position_row(smooth: Array, halved: bool, scale: Scalar, x: int, half_width: int, lanes: Width, stride: int) -> Row:
    """scale · the position kernel's sums at column x: of `smooth`, which is widened where it is half a line."""
    if not halved:
        return multiply(broadcast(scale, lanes), load(smooth, x * stride, lanes))
    near, far = x // 2, x // 2 + (1 if x % 2 else -1)
    inside = 0 <= far < half_width
    row = multiply(broadcast(np.float32(0.75) * scale, lanes), load(smooth, near * stride, lanes))
    return scale_add(
        np.float32(0.25) * scale if inside else np.float32(0),
        load(smooth, (far if inside else near) * stride, lanes),
        row,
    )


@compiled_inner
def appearance_row(rows: Array, appearance: Appearance, pixel: int, last: int, lanes: Width, stride: int) -> Row:
    """Σ weight · row of vertex; rows of a pixel a little further on are asked for."""
    corners = appearance.corners
    begin, ahead = pixel * corners, min(pixel + _AHEAD, last) * corners
    found = broadcast(np.float32(0), lanes)
    for corner in range(corners):
        soon = np.int64(item(appearance.ids, ahead + corner)) * stride
        prefetch(rows, soon)
        prefetch(rows, soon + stride - 1)
        row = np.int64(item(appearance.ids, begin + corner)) * stride
        found = scale_add(item(appearance.weights, begin + corner), load(rows, row, lanes), found)
    return found


@compiled_inner
def splat_line(
    first: int, columns: int, appearance: Appearance, line: Array, rows: Array, lanes: Width, stride: int
) -> None:
    """Add a line (columns·stride,) of the pixels first … first + columns − 1 to the rows of their vertices, by weight."""
    corners = appearance.corners
    for x in range(columns if corners > 0 else 0):
        pixel, values = first + x, load(line, x * stride, lanes)
        scale = item(appearance.before, pixel)
        for corner in range(pixel * corners, (pixel + 1) * corners):
            row = np.int64(item(appearance.ids, corner)) * stride
            store(rows, row, scale_add(item(appearance.weights, corner) * scale, values, load(rows, row, lanes)))


@compiled_inner
def appearance_line(first: int, columns: int, appearance: Appearance, rows: Array, messages: Array, lanes: Width,
                    stride: int) -> None:  # fmt: skip
    """The bilateral kernel's filtered values of the pixels first … first + columns − 1: into messages (columns·stride,)."""
    for x in range(columns):
        similar = appearance_row(rows, appearance, first + x, first + columns - 1, lanes, stride)
        scale = broadcast(item(appearance.after, first + x), lanes)
        store(messages, x * stride, multiply(similar, scale))


@compiled_inner
def mix_line(messages: Array, columns: int, tables: Array, at: int, classes: int, out: Array, lanes: Width,
             stride: int) -> None:  # fmt: skip
    """out (columns·stride,) = Σ_m messages[class m] · row m of a table; four pixels share a loaded row.

    Args:
        messages: (columns·stride,), which may be `out`.
        tables: at `at` begin the table's K rows.
    """
    zero = broadcast(np.float32(0), lanes)
    fours = columns // 4 * 4
    for x in range(0, fours, 4):
        a, b, c, d = zero, zero, zero, zero
        for k in range(classes):
            row = load(tables, at + k * stride, lanes)
            place = x * stride + k
            a = scale_add(item(messages, place), row, a)
            b = scale_add(item(messages, place + stride), row, b)
            c = scale_add(item(messages, place + 2 * stride), row, c)
            d = scale_add(item(messages, place + 3 * stride), row, d)
        store(out, x * stride, a)
        store(out, (x + 1) * stride, b)
        store(out, (x + 2) * stride, c)
        store(out, (x + 3) * stride, d)
    for x in range(fours, columns):
        a = zero
        for k in range(classes):
            a = scale_add(item(messages, x * stride + k), load(tables, at + k * stride, lanes), a)
        store(out, x * stride, a)


@compiled_inner
def softmax(row: Row, careful: bool, lanes: Width) -> Row:
    """The softmax of a row; `careful` where its largest lane may lie far below 0."""
    if careful or any_above(row, np.float32(80)):
        row = subtract(row, broadcast(largest(row), lanes))
    grown = exponential(row)
    return multiply(grown, broadcast(np.float32(1) / total(grown), lanes))


@compiled_lean
def update_line(first: int, columns: int, start: bool, model: Model, tables: Array | None, table_at: int,
                appearance: Appearance, position: Position, rows: Array, smooth: Array, new_rows: Array, kept: Array,
                given: Array, halved: bool, messages: Array, line: Array, lanes: Width, stride: int) -> Scalar:  # fmt: skip
    """Update the pixels first … first + columns − 1.

    Args:
        start: the first time, when there are no messages yet.
        tables: the model's; as an argument of its own, so that nothing of them is compiled where it is None.
        table_at: where in them those of this iteration begin.
        rows: the lattice's sums of the last probabilities.
        smooth: the position kernel's sums along this line, see `position_row`; mixed, where the model has tables.
        new_rows: to which the new probabilities are added; empty where no further update follows.
        kept: the last probabilities of all pixels, for damping and tolerance; or empty.
        given: probabilities of all pixels to start with; empty for softmax(−U).
        halved: `given` is of half the lines and columns.
        messages: (columns·stride,) memory, where the model has tables.
        line: (columns·stride,) out: the new probabilities.

    Returns:
        the largest change of a probability, where `kept` tells it.
    """
    corners = 0 if start else appearance.corners
    new_corners = appearance.corners if new_rows.size > 0 else 0
    has_position = position.taps_x.size > 0 and not start
    compares = model.damping > 0 or model.tolerance > 0  # else what is kept may be memory not yet written
    half_width = (columns + 1) // 2
    given_first = first // columns // 2 * half_width if halved else first
    appearance_weight, position_weight = load(model.appearance_weight, 0, lanes), load(model.position_weight, 0, lanes)
    zero = broadcast(np.float32(0), lanes)
    change = zero
    if tables is not None:  # noqa: SIM102 - the compiler prunes this condition only where it stands alone
        if corners > 0:
            appearance_line(first, columns, appearance, rows, messages, lanes, stride)
            mix_line(messages, columns, tables, table_at, model.classes, line, lanes, stride)
    for x in range(columns):
        pixel = first + x
        energy = subtract(zero, load(model.unary, pixel * stride, lanes))
        if has_position:
            near = position_row(smooth, position.halved, item(position.after, pixel), x, half_width, lanes, stride)
            energy = subtract(energy, near) if tables is not None else multiply_add(position_weight, near, energy)
        if corners > 0:
            if tables is not None:
                energy = subtract(energy, load(line, x * stride, lanes))
            else:
                similar = appearance_row(rows, appearance, pixel, first + columns - 1, lanes, stride)
                weight = multiply(appearance_weight, broadcast(item(appearance.after, pixel), lanes))
                energy = multiply_add(weight, similar, energy)
        updated = (
            load(given, (given_first + (x // 2 if halved else x)) * stride, lanes)
            if start and given.size > 0
            else (energy if model.raw else softmax(energy, model.careful, lanes))
        )
        if kept.size > 0:
            if not start and compares:
                before = load(kept, pixel * stride, lanes)
                updated = scale_add(model.damping, subtract(before, updated), updated)
                change = maximum(change, maximum(subtract(before, updated), subtract(updated, before)))
            store(kept, pixel * stride, updated)
        store(line, x * stride, updated)
        if new_corners > 0:
            scale = item(appearance.before, pixel)  # as `splat_line`, while the pixel's row is in registers
            for corner in range(pixel * new_corners, (pixel + 1) * new_corners):
                row = np.int64(item(appearance.ids, corner)) * stride
                store(
                    new_rows,
                    row,
                    scale_add(item(appearance.weights, corner) * scale, updated, load(new_rows, row, lanes)),
                )
    return largest(change)


@compiled_lean
def line_to_planes(line: Array, place: int, planes: Array, first: int, columns: int, classes: int, stride: int) -> None:
    """Write a line's rows into (K·N,) planes."""
    pixels = planes.size // classes
    eights = columns // 8 * 8 if classes >= 8 else 0
    for x in range(0, eights, 8):
        for n in range(0, classes, 8):
            k = min(n, classes - 8)  # the last eight may repeat some of the eight before
            transpose(line, place + x * stride + k, stride, 8, planes, k * pixels + first + x, pixels, 8)
    for k in range(classes):
        for x in range(eights, columns):
            planes[k * pixels + first + x] = line[place + x * stride + k]


@compiled_lean
def planes_to_rows(planes: Array, classes: int, start: int, stop: int, rows: Array, highest: Scalar, lowers: bool,
                   negates: bool, lanes: Width, stride: int) -> None:  # fmt: skip
    """Rows from (K·N,) planes, for the pixels start … stop − 1, if asked negated, or lowered by the pixel's smallest value.

    Channels beyond the classes get `highest`.
    """
    pixels = planes.size // classes
    whole = classes // 8 * 8
    for first in range(start, stop, 8):
        last = min(first + 8, stop)
        done = 0
        if last - first == 8:
            done = whole
            for k in range(0, whole, 8):
                transpose(planes, k * pixels + first, pixels, 8, rows, first * stride + k, stride, 8)
        for pixel in range(first, last):
            for k in range(done, classes):
                rows[pixel * stride + k] = planes[k * pixels + pixel]
            for k in range(classes, stride):
                rows[pixel * stride + k] = highest
        for pixel in range(first, last if negates else first):
            row = subtract(broadcast(np.float32(0), lanes), load(rows, pixel * stride, lanes))
            store(rows, pixel * stride, row)
            for k in range(classes, stride):
                rows[pixel * stride + k] = highest
        for pixel in range(first, last if lowers else first):
            row = load(rows, pixel * stride, lanes)
            negated = subtract(broadcast(np.float32(0), lanes), row)
            lowered = subtract(row, broadcast(-largest(negated), lanes))
            # a forbidden class's infinity would make averages that no longer tell classes apart
            store(rows, pixel * stride, minimum(lowered, broadcast(highest, lanes)))
            for k in range(classes, stride):
                rows[pixel * stride + k] = highest


@compiled_lean
def average_rows(
    rows: Array, height: int, columns: int, begin: int, end: int, out: Array, lanes: Width, stride: int
) -> None:
    """Means of 2 × 2 rows for the lines begin … end − 1 of an image of half the size; beyond the rim the last counts twice."""
    half_width = (columns + 1) // 2
    quarter = broadcast(np.float32(0.25), lanes)
    for y in range(begin, end):
        upper, lower = 2 * y * columns, min(2 * y + 1, height - 1) * columns
        for x in range(half_width):
            left, right = 2 * x, min(2 * x + 1, columns - 1)
            above = add(load(rows, (upper + left) * stride, lanes), load(rows, (upper + right) * stride, lanes))
            below = add(load(rows, (lower + left) * stride, lanes), load(rows, (lower + right) * stride, lanes))
            store(out, (y * half_width + x) * stride, multiply(quarter, add(above, below)))
