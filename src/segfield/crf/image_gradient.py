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
from segfield.crf.image_pass import appearance_row, position_row
from segfield.crf.image_terms import Appearance, Model, Position, Scratch, Workspace


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
                         to_scores: Array, line_sums: Array, sums: Array, lanes: Width, stride: int) -> None:  # fmt: skip
    """The gradient one iteration further back, from the transposed filters' sums of the gradient that were spread.

    Args:
        model: its tables hold C, not Cᵀ.
        appearance, position: of the transposed kernels.
        q: (N·stride,) the iteration's probabilities.
        gradient: (N·stride,) out: ∂L/∂X before the iteration.
        to_scores: (N·stride,) to which it is added.
        line_sums: (2·K·stride,) float32, for own use.
        sums: (2·K·stride,) float64, from which Σ S_k q is taken away: ∂L/∂C.
    """
    size = 2 * model.classes * stride
    own.across_at[:] = -1
    for y in range(bounds[part], bounds[part + 1]):
        if position.taps_x.size > 0:
            smooth_line(y, bounds[-1], position, work.lines, own, lanes, stride)
        line_sums[:] = 0
        _gradient_line(y * columns, columns, table_at, appearance, position, model, work.rows, own.smooth, own.messages, q,
                       gradient, to_scores, line_sums, lanes, stride)  # fmt: skip
        for n in range(size):
            sums[n] -= line_sums[n]


@compiled_inner
def _gradient_line(first: int, columns: int, table_at: int, appearance: Appearance, position: Position, model: Model,
                   rows: Array, smooth: Array, scratch: Array, q: Array, gradient: Array, to_scores: Array, sums: Array,
                   lanes: Width, stride: int) -> None:  # fmt: skip
    half_width = (columns + 1) // 2
    classes = model.classes
    zero = broadcast(np.float32(0), lanes)
    store(scratch, 0, zero)
    store(scratch, stride, zero)
    for x in range(columns):
        pixel = first + x
        if appearance.corners > 0:
            row = appearance_row(rows, appearance, pixel, first + columns - 1, lanes, stride)
            store(scratch, 0, multiply(row, broadcast(item(appearance.after, pixel), lanes)))
        if position.taps_x.size > 0:
            scale = item(position.after, pixel)
            store(scratch, stride, position_row(smooth, position.halved, scale, x, half_width, lanes, stride))
        own = load(q, pixel * stride, lanes)
        to_q = zero
        for kernel in range(2):
            for k in range(classes):
                place = (kernel * classes + k) * stride
                sent = item(scratch, kernel * stride + k)
                to_q = scale_add(-sent, load(model.tables, table_at + place, lanes), to_q)
                store(sums, place, scale_add(sent, own, load(sums, place, lanes)))
        weighted = multiply(own, to_q)
        found = subtract(weighted, multiply(own, broadcast(total(weighted), lanes)))
        store(gradient, pixel * stride, found)
        store(to_scores, pixel * stride, add(found, load(to_scores, pixel * stride, lanes)))
