"""The mean-field iterations of one image, whole, as one compiled function that every thread runs on its own band of lines."""

from __future__ import annotations

import numpy as np

from segfield.classes import Array
from segfield.crf.barrier import wait_for_all
from segfield.crf.filters.compiled import compiled_inner, compiled_lean
from segfield.crf.filters.gaussian_lines import add_line, convolve_across, convolve_line, halve_line, scale_line
from segfield.crf.filters.lattice_embedding import BLOCK
from segfield.crf.filters.lattice_rows import blur_chains, clear_rows, gather_copies, spread_copies
from segfield.crf.filters.simd import Scalar, Width
from segfield.crf.image_pass import line_to_planes, mix_line, update_line
from segfield.crf.image_terms import Appearance, Model, Position, Scratch, Workspace


@compiled_lean
def run_band(part: int, bounds: Array, columns: int, iterations: int, appearance: Appearance, position: Position,
             model: Model, tables: Array | None, work: Workspace, own: Scratch, lanes: Width,
             stride: int) -> tuple[int, Scalar]:  # fmt: skip
    """All iterations for the lines bounds[part] … bounds[part + 1] − 1, in step with the other threads.

    Args:
        tables: the model's, see `update_line`.

    Returns:
        the iterations done, and the largest change of a probability in the last (0 where it was not asked for).
    """
    parts = bounds.size - 1
    rows, new_rows, lines, new_lines = work.rows, work.new_rows, work.lines, work.new_lines
    change: Scalar = np.float32(0)
    done = 0
    set_size = 2 * model.classes * stride
    sets = 1
    if tables is not None:
        sets = tables.size // set_size
    for iteration in range(iterations + 1):
        done = iteration
        last = iteration == iterations
        table_at = max(iteration - 1, 0) * set_size if sets > 1 else 0
        change = update_band(part, bounds, columns, iteration == 0, last, table_at, appearance, position, model, tables,
                             work, own, rows, lines, new_rows, new_lines, lanes, stride)  # fmt: skip
        if work.kept.size > 0:
            work.changes[part * 8] = change
            wait_for_all(work.barrier, parts)
            for other in range(parts):
                change = max(change, work.changes[other * 8])
            wait_for_all(work.barrier, parts)
            if last or (iteration > 0 and model.tolerance > 0 and change <= model.tolerance):
                for y in range(bounds[part], bounds[part + 1] if work.out.size > 0 else bounds[part]):
                    first = y * columns
                    line_to_planes(work.kept, first * stride, work.out, first, columns, model.classes, stride)
                break
        if not last:
            spread_messages(part, bounds, columns, appearance, position, work, own, new_rows, new_lines, lanes, stride)
            rows, new_rows, lines, new_lines = new_rows, rows, new_lines, lines
    return done, change


@compiled_inner
def update_band(part: int, bounds: Array, columns: int, start: bool, last: bool, table_at: int,
                appearance: Appearance, position: Position, model: Model, tables: Array | None, work: Workspace,
                own: Scratch, rows: Array, lines: Array, new_rows: Array, new_lines: Array, lanes: Width,
                stride: int) -> Scalar:  # fmt: skip
    """One mean-field update of a band's lines, and their new sums where another update follows. Returns the change."""
    begin, end = bounds[part] * columns, bounds[part + 1] * columns
    has_position = position.taps_x.size > 0
    change: Scalar = np.float32(0)
    cleared = begin
    own.across_at[:] = -1
    for y in range(bounds[part], bounds[part + 1]):
        first = y * columns
        if has_position and not start:
            smooth_line(y, bounds[-1], position, lines, own, lanes, stride)
            if tables is not None:
                at = table_at + model.classes * stride
                mix_line(own.smooth, own.smooth.size // stride, tables, at, model.classes, own.smooth, lanes, stride)
        if not last:
            cleared = clear_touched(
                part, begin, cleared, min(first + columns, end), appearance, new_rows, lanes, stride
            )
        line_change = update_line(first, columns, start, model, tables, table_at, appearance, position, rows, own.smooth,
                                  own.nothing if last else new_rows, work.kept, work.start,
                                  work.start_halved, own.messages, own.line, lanes, stride)  # fmt: skip
        change = max(change, line_change)
        if last:
            if work.kept.size == 0:
                line_to_planes(own.line, 0, work.out, first, columns, model.classes, stride)
        elif has_position:
            sum_line(part, bounds, y, columns, position, work, own, new_lines, lanes, stride)
    return change


@compiled_inner
def clear_touched(part: int, begin: int, cleared: int, until: int, appearance: Appearance, rows: Array, lanes: Width,
                  stride: int) -> int:  # fmt: skip
    """Clear the lattice's rows that pixels before `until` are the first to touch; returns up to where that is done now."""
    while appearance.corners > 0 and cleared < until:  # a row is cleared when the block with its first pixel comes
        block = (cleared - begin) // BLOCK + appearance.touched_start[part]
        row = appearance.first_row[part]
        clear_rows(rows, row + appearance.touched[block], row + appearance.touched[block + 1], lanes, stride)
        cleared += BLOCK
    return cleared


@compiled_inner
def spread_messages(part: int, bounds: Array, columns: int, appearance: Appearance, position: Position, work: Workspace,
                    own: Scratch, rows: Array, lines: Array, lanes: Width, stride: int) -> None:  # fmt: skip
    """Between two updates: blur the lattice's rows, and along each line of the position kernel."""
    parts = bounds.size - 1
    if appearance.corners > 0:
        extra, first = rows.size // stride - appearance.extra_row, appearance.extra_row
        clear_rows(rows, first + extra * part // parts, first + extra * (part + 1) // parts, lanes, stride)
    wait_for_all(work.barrier, parts)
    if appearance.corners > 0:
        gather_copies(rows, appearance.copies, appearance.primaries, part, parts, lanes, stride)
    if position.halved:
        smooth_own_lines(part, bounds, columns, position, work, own.smaller, lines, lanes, stride)
    wait_for_all(work.barrier, parts)
    if appearance.corners > 0:
        for turn in range(appearance.rounds):
            for n in range(appearance.corners):
                cuts = appearance.cuts[appearance.corners - 1 - n if turn % 2 else n]  # see filters.lattice.blur_axes
                blur_chains(rows, appearance.order, cuts[part], cuts[part + 1], lanes, stride)
                wait_for_all(work.barrier, parts)
        copy_cuts = appearance.copy_cuts
        spread_copies(
            rows, appearance.copies, appearance.primaries, copy_cuts[part], copy_cuts[part + 1], lanes, stride
        )


@compiled_inner
def smooth_own_lines(part: int, bounds: Array, columns: int, position: Position, work: Workspace, scratch: Array,
                     lines: Array, lanes: Width, stride: int) -> None:  # fmt: skip
    """Complete the band's half-resolution lines with what its neighbours added, and convolve along each."""
    length = (columns + 1) // 2 * stride
    first, last = (bounds[part] + 1) // 2, (bounds[part + 1] + 1) // 2
    one = np.float32(1)
    if part > 0:
        add_line(work.borders, (2 * part - 1) * length, one, lines, first * length, length, False, lanes, stride)
    if part < bounds.size - 2:
        add_line(work.borders, (2 * part + 2) * length, one, lines, (last - 1) * length, length, False, lanes, stride)
    for y in range(first, last):
        add_line(lines, y * length, one, scratch, 0, length, True, lanes, stride)
        convolve_line(scratch, lines, y * length, length // stride, position.taps_x, lanes, stride)


@compiled_inner
def smooth_line(y: int, height: int, position: Position, lines: Array, own: Scratch, lanes: Width, stride: int) -> None:
    """The position kernel's sums along line y, at full or half width, into own.smooth; half lines are kept for reuse."""
    length = own.smooth.size
    if not position.halved:
        convolve_across(lines, y, height, length, own.smooth, 0, position.taps_y, lanes, stride)
        return
    half_height = (height + 1) // 2
    near = y // 2
    far = near + 1 if y % 2 else near - 1
    for wanted in (near, far):
        if 0 <= wanted < half_height and own.across_at[wanted % 3] != wanted:
            place = wanted % 3 * length
            convolve_across(lines, wanted, half_height, length, own.across, place, position.taps_y, lanes, stride)
            own.across_at[wanted % 3] = wanted
    add_line(own.across, near % 3 * length, np.float32(0.75), own.smooth, 0, length, True, lanes, stride)
    if 0 <= far < half_height:
        add_line(own.across, far % 3 * length, np.float32(0.25), own.smooth, 0, length, False, lanes, stride)


@compiled_inner
def sum_line(part: int, bounds: Array, y: int, columns: int, position: Position, work: Workspace, own: Scratch,
             lines: Array, lanes: Width, stride: int) -> None:  # fmt: skip
    """Keep line y's probabilities for the next update's position kernel: convolved along x, or added to half lines."""
    smaller = own.smaller
    if not position.halved:
        scale_line(own.line, 0, position.before, y * columns, smaller, lanes, stride)
        convolve_line(smaller, lines, y * columns * stride, columns, position.taps_x, lanes, stride)
        return
    length = smaller.size
    halve_line(own.line, 0, position.before, y * columns, smaller, columns, lanes, stride)
    near = y // 2
    far = near + 1 if y % 2 else near - 1
    first, last = (bounds[part] + 1) // 2, (bounds[part + 1] + 1) // 2
    is_first = y % 2 == 0 and y == bounds[part]
    add_line(smaller, 0, np.float32(0.375), lines, near * length, length, is_first, lanes, stride)
    eighth = np.float32(0.125)
    if far < first:
        if far >= 0:
            add_line(smaller, 0, eighth, work.borders, 2 * part * length, length, True, lanes, stride)
    elif far < last:
        add_line(smaller, 0, eighth, lines, far * length, length, y % 2 == 1, lanes, stride)
    elif part < bounds.size - 2:
        add_line(smaller, 0, eighth, work.borders, (2 * part + 1) * length, length, True, lanes, stride)
