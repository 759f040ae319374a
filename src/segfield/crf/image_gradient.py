"""One mean-field iteration of an image, forwards and backwards, as compiled functions that every thread runs on its own band.

The backward pass of X ← U − Σ_k C_k K̂_k softmax(X): one transposed filter of ∂L/∂X for each kernel gives the gradients both
to the probabilities, S_k C_k with S_k = K̂_kᵀ ∂L/∂X, and to the tables, S_kᵀ Q; see `mean_field_gradient`.
"""

from __future__ import annotations

import numpy as np

from segfield.classes import Array
from segfield.crf.filters.compiled import compiled_inner, compiled_lean
from segfield.crf.filters.simd import Width, add, broadcast, item, load, multiply, scale_add, store, subtract, total
from segfield.crf.image_loop import smooth_line, spread_messages, update_band
from segfield.crf.image_pass import line_messages, mix_line
from segfield.crf.image_terms import Appearance, Model, Position, Scratch, Workspace

_BLOCK = 64  # pixels whose rows stay in the nearest cache


@compiled_lean
def spread_band(part: int, bounds: Array, columns: int, appearance: Appearance, position: Position, model: Model,
                work: Workspace, own: Scratch, lanes: Width, stride: int) -> None:  # fmt: skip
    """Filter `work.start` up to the slice: into work.rows and work.lines, in step with the other threads."""
    update_band(part, bounds, columns, True, False, 0, appearance, position, model, work, own, work.rows, work.lines,
                work.rows, work.lines, lanes, stride)  # fmt: skip
    spread_messages(part, bounds, columns, appearance, position, work, own, work.rows, work.lines, lanes, stride)


@compiled_lean
def gather_band(part: int, bounds: Array, columns: int, table_at: int, appearance: Appearance, position: Position,
                model: Model, work: Workspace, own: Scratch, lanes: Width, stride: int) -> None:  # fmt: skip
    """work.kept ← softmax(−U − messages) of what was spread, or −U − messages itself where the model is raw."""
    update_band(part, bounds, columns, False, True, table_at, appearance, position, model, work, own, work.rows,
                work.lines, work.rows, work.lines, lanes, stride)  # fmt: skip


@compiled_lean
def gather_gradient_band(part: int, bounds: Array, columns: int, table_at: int, appearance: Appearance,
                         position: Position, model: Model, work: Workspace, own: Scratch, q: Array, gradient: Array,
                         to_scores: Array, block_sums: Array, sums: Array, lanes: Width, stride: int) -> None:  # fmt: skip
    """The gradient one iteration further back, from the transposed filters' sums of the gradient that were spread.

    Args:
        model: its tables hold C, not Cᵀ.
        appearance, position: of the transposed kernels.
        q: (N·stride,) the iteration's probabilities.
        gradient: (N·stride,) out: ∂L/∂X before the iteration.
        to_scores: (N·stride,) to which it is added.
        block_sums: (2·stride·stride,) float32, for own use.
        sums: (2·stride·stride,) float64, from which Σ S_k q is taken away: ∂L/∂C.
    """
    own.across_at[:] = -1
    for y in range(bounds[part], bounds[part + 1]):
        first = y * columns
        if position.taps_x.size > 0:
            smooth_line(y, bounds[-1], position, work.lines, own, lanes, stride)
        line_messages(first, columns, appearance, position, work.rows, own.smooth, own.messages, lanes, stride)
        mix_line(own.messages, columns, model.tables, table_at, model.classes, own.line, lanes, stride)
        for begin in range(0, columns, _BLOCK):
            _add_products(own.messages, begin, min(begin + _BLOCK, columns), q, first, block_sums, lanes, stride)
            for n in range(sums.size):
                sums[n] -= block_sums[n]
        _softmax_gradient(first, columns, own.line, q, gradient, to_scores, lanes, stride)


@compiled_inner
def _add_products(messages: Array, begin: int, end: int, q: Array, first: int, sums: Array, lanes: Width,
                  stride: int) -> None:  # fmt: skip
    """sums (2·stride·stride,) = Σ over the columns begin … end − 1 of messages[kernel k, class m] · q, a row for each k, m."""
    zero = broadcast(np.float32(0), lanes)
    step = 2 * stride
    for m in range(0, step, 4):  # the channels of both kernels, four at a time
        a, b, c, d = zero, zero, zero, zero
        for x in range(begin, end):
            own = load(q, (first + x) * stride, lanes)
            place = x * step + m
            a = scale_add(item(messages, place), own, a)
            b = scale_add(item(messages, place + 1), own, b)
            c = scale_add(item(messages, place + 2), own, c)
            d = scale_add(item(messages, place + 3), own, d)
        store(sums, m * stride, a)
        store(sums, (m + 1) * stride, b)
        store(sums, (m + 2) * stride, c)
        store(sums, (m + 3) * stride, d)


@compiled_inner
def _softmax_gradient(first: int, columns: int, sent: Array, q: Array, gradient: Array, to_scores: Array, lanes: Width,
                      stride: int) -> None:  # fmt: skip
    """∂L/∂X = q (∂L/∂q − q · ∂L/∂q) with ∂L/∂q = −sent, line by line."""
    for x in range(columns):
        place = (first + x) * stride
        own = load(q, place, lanes)
        weighted = multiply(own, load(sent, x * stride, lanes))
        found = subtract(multiply(own, broadcast(total(weighted), lanes)), weighted)
        store(gradient, place, found)
        store(to_scores, place, add(found, load(to_scores, place, lanes)))
