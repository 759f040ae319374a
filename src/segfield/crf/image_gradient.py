"""One mean-field iteration of an image, forwards and backwards, as compiled functions that every thread runs on its own band.

The backward pass of X ← U − Σ_k C_k K̂_k softmax(X): one transposed filter of ∂L/∂X for each kernel gives the gradients both
to the probabilities, S_k C_k with S_k = K̂_kᵀ ∂L/∂X, and to the tables, S_kᵀ Q; see `mean_field_gradient`.
"""

from __future__ import annotations

import numpy as np

from segfield.classes import Array
from segfield.crf.filters.compiled import compiled_inner, compiled_lean
from segfield.crf.filters.gaussian_lines import halve_line, scale_line
from segfield.crf.filters.simd import (
    Scalar,
    Width,
    add,
    broadcast,
    item,
    load,
    multiply,
    scale_add,
    store,
    subtract,
    total,
)
from segfield.crf.image_loop import clear_touched, smooth_line, spread_messages, sum_line, update_band
from segfield.crf.image_pass import appearance_line, line_to_planes, mix_line, position_row, splat_line
from segfield.crf.image_terms import Appearance, Model, Position, Scratch, Workspace

_BLOCK = 64  # pixels whose rows stay in the nearest cache
_STRETCH = 8 * _BLOCK  # pixels whose products float32 is enough to sum


@compiled_lean
def step_band(part: int, bounds: Array, columns: int, start: bool, last: bool, table_at: int, appearance: Appearance,
              position: Position, model: Model, work: Workspace, own: Scratch, lanes: Width, stride: int) -> None:  # fmt: skip
    """One iteration of a band's lines, in step with the other threads.

    What it makes of the messages in work.rows and work.lines (at the start: work.start, or softmax(−U)) is kept in work.kept
    unless that is empty, and filtered up to the slice into work.new_rows and work.new_lines; or, if `last`, not filtered but
    written to work.out where nothing is kept.
    """
    update_band(part, bounds, columns, start, last, table_at, appearance, position, model, model.tables, work, own,
                work.rows, work.lines, work.new_rows, work.new_lines, lanes, stride)  # fmt: skip
    if not last:
        spread_messages(part, bounds, columns, appearance, position, work, own, work.new_rows, work.new_lines, lanes,
                        stride)  # fmt: skip


@compiled_lean
def step_back_band(part: int, bounds: Array, columns: int, last: bool, table_at: int, appearance: Appearance,
                   position: Position, model: Model, work: Workspace, own: Scratch, q: Array, to_scores: Array,
                   block_sums: Array, sums: Array, lanes: Width, stride: int) -> None:  # fmt: skip
    """The gradient one iteration further back, from the transposed filters' sums of the gradient in work.rows and work.lines.

    It is added to `to_scores` and filtered in its turn into work.new_rows and work.new_lines; or, if `last`, `to_scores` is
    written to work.out.

    Args:
        last: this is the first iteration, so nothing lies before it.
        model: its tables hold C, not Cᵀ.
        appearance, position: of the transposed kernels.
        q: (N·stride,) the iteration's probabilities.
        to_scores: (N·stride,) to which ∂L/∂X before the iteration is added.
        block_sums: (stride·stride,) float32, for own use.
        sums: (2·stride·stride,) float64, from which Σ S_k q is taken away: ∂L/∂C.
    """
    own.across_at[:] = -1
    table = model.classes * stride
    half = own.smooth.size // stride  # columns of the position kernel's lines
    begin, end = bounds[part] * columns, bounds[part + 1] * columns
    cleared = begin
    for y in range(bounds[part], bounds[part + 1]):
        first = y * columns
        if appearance.corners > 0:
            appearance_line(first, columns, appearance, work.rows, own.messages, lanes, stride)
            mix_line(own.messages, columns, model.tables, table_at, model.classes, own.line, lanes, stride)
            take_products(own.messages, columns, q, first * stride, np.float32(1), block_sums, sums, 0, lanes, stride)
        if position.taps_x.size > 0:
            smooth_line(y, bounds[-1], position, work.lines, own, lanes, stride)
            # the products of widened sums with q are those of the sums with q narrowed by the transpose
            if position.halved:
                halve_line(q, first * stride, position.after, first, own.smaller, columns, lanes, stride)
            else:
                scale_line(q, first * stride, position.after, first, own.smaller, lanes, stride)
            twice = np.float32(2 if position.halved else 1)  # [1 3 3 1]/4 widens, [1 3 3 1]/8 narrows
            take_products(own.smooth, half, own.smaller, 0, twice, block_sums, sums, stride * stride, lanes, stride)
            mix_line(own.smooth, half, model.tables, table_at + table, model.classes, own.smooth, lanes, stride)
        if not last:
            cleared = clear_touched(part, begin, cleared, min(first + columns, end), appearance, work.new_rows, lanes,
                                    stride)  # fmt: skip
        _softmax_gradient(first, columns, appearance.corners > 0, own.line, position, own.smooth, q, to_scores, lanes,
                          stride)  # fmt: skip
        if last:
            line_to_planes(to_scores, first * stride, work.out, first, columns, model.classes, stride)
        else:
            splat_line(first, columns, appearance, own.line, work.new_rows, lanes, stride)
            if position.taps_x.size > 0:
                sum_line(part, bounds, y, columns, position, work, own, work.new_lines, lanes, stride)
    if not last:
        spread_messages(part, bounds, columns, appearance, position, work, own, work.new_rows, work.new_lines, lanes,
                        stride)  # fmt: skip


@compiled_inner
def take_products(messages: Array, columns: int, q: Array, place: int, factor: Scalar, block_sums: Array, sums: Array,
                  at: int, lanes: Width, stride: int) -> None:  # fmt: skip
    """sums[at …] (stride·stride,) −= factor · Σ messages[class m] · q[place …] over the columns, a row for each m.

    Args:
        block_sums: (stride·stride,) float32, for own use.
    """
    for start in range(0, columns, _STRETCH):
        stop = min(start + _STRETCH, columns)
        for begin in range(start, stop, _BLOCK):
            _products(messages, begin, min(begin + _BLOCK, stop), q, place, begin > start, block_sums, lanes, stride)
        for n in range(stride * stride):
            sums[at + n] -= factor * block_sums[n]


@compiled_inner
def _products(messages: Array, begin: int, end: int, q: Array, place: int, goes_on: bool, sums: Array, lanes: Width,
              stride: int) -> None:  # fmt: skip
    """sums (stride·stride,) = Σ over the columns begin … end − 1 of messages[class m] · q, a row for each m.

    If it `goes_on`, what is in sums stays and is added to.
    """
    zero = broadcast(np.float32(0), lanes)
    for m in range(0, stride, 4):  # four channels at a time
        a, b, c, d = zero, zero, zero, zero
        if goes_on:
            a, b = load(sums, m * stride, lanes), load(sums, (m + 1) * stride, lanes)
            c, d = load(sums, (m + 2) * stride, lanes), load(sums, (m + 3) * stride, lanes)
        for x in range(begin, end):
            own = load(q, place + x * stride, lanes)
            here = x * stride + m
            a = scale_add(item(messages, here), own, a)
            b = scale_add(item(messages, here + 1), own, b)
            c = scale_add(item(messages, here + 2), own, c)
            d = scale_add(item(messages, here + 3), own, d)
        store(sums, m * stride, a)
        store(sums, (m + 1) * stride, b)
        store(sums, (m + 2) * stride, c)
        store(sums, (m + 3) * stride, d)


@compiled_inner
def _softmax_gradient(first: int, columns: int, has_line: bool, line: Array, position: Position, smooth: Array, q: Array,
                      to_scores: Array, lanes: Width, stride: int) -> None:  # fmt: skip
    """∂L/∂X = q (∂L/∂q − q · ∂L/∂q) with ∂L/∂q = −(what both kernels send back): into `line`, and added to `to_scores`."""
    half_width = (columns + 1) // 2
    has_position = position.taps_x.size > 0
    for x in range(columns):
        place = (first + x) * stride
        sent = broadcast(np.float32(0), lanes)
        if has_line:
            sent = load(line, x * stride, lanes)
        if has_position:
            scale = item(position.after, first + x)
            sent = add(sent, position_row(smooth, position.halved, scale, x, half_width, lanes, stride))
        own = load(q, place, lanes)
        weighted = multiply(own, sent)
        found = subtract(multiply(own, broadcast(total(weighted), lanes)), weighted)
        store(line, x * stride, found)
        store(to_scores, place, add(found, load(to_scores, place, lanes)))
