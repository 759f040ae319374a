"""Connected components and holes of a label map, for all classes at once, from runs of equal pixels along the rows.

Runs of one class in neighbouring rows are joined where they touch (Rosenfeld, Pfaltz 1966; by runs: He et al. 2008); so are
the gaps between runs, whose components are the holes. The work follows the number of runs, whatever the number of classes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from segfield.classes import Array
from segfield.compiled import compiled
from segfield.errors import DataError
from segfield.evaluation.edges import VOID


class Components(NamedTuple):
    """What a label map consists of.

    Attributes:
        classes: (N,) class of each component, rising.
        sizes: (N,) its pixels.
        holes: (K,) holes in each class's pixels.
    """

    classes: Array
    sizes: Array
    holes: Array


def components(labels: Array, classes: int) -> Components:
    """The connected components and the holes of each class.

    Pixels of a class hang together across sides and corners (8-connectivity), so that a thin slanted object, a pole or
    a vessel, stays in one piece. What is not of the class then hangs together across sides alone (4-connectivity), or
    two crossing diagonals would each pass through the other. A hole is such a piece of other pixels that holds neither
    a pixel of the image's border nor void: of those nobody knows what lies beyond, or in them.

    Args:
        labels: (H, W) int32 ids 0 … K−1, VOID where unknown.
        classes: K.

    Raises:
        DataError: if an id is out of range.
    """
    counts = np.zeros(classes + 1, np.int64)
    _count_runs(labels, counts)
    if counts[classes]:
        known = labels[labels != VOID]
        raise DataError(f"labels hold ids {known.min()} to {known.max()}, but ids are 0 to {classes - 1}")
    place = np.cumsum(counts) - counts
    # runs lie class by class, row by row; a line is a row of one class, and the numbers of two rows that meet differ by 1
    lines, starts, stops, void_before = (np.empty(counts.sum(), np.int64) for _ in range(4))
    _place_runs(labels, place, lines, starts, stops, void_before)
    in_line = lines[1:] == lines[:-1]
    # gap i lies before run i
    enclosed = np.zeros(len(lines), bool)
    enclosed[1:] = in_line & (void_before[1:] == void_before[:-1])
    gap_starts = np.zeros_like(stops)
    gap_starts[1:] = stops[:-1]
    roots, gap_roots = np.arange(len(lines)), np.arange(len(lines))
    _join(lines, starts, stops, gap_starts, roots, gap_roots, enclosed)
    is_hole = gap_roots == np.arange(len(lines))
    is_hole[1:] &= in_line
    is_hole[:1] = False
    is_hole[gap_roots[~enclosed]] = False
    owner = lines // (labels.shape[0] + 1)
    sizes = np.zeros(len(lines), np.int64)
    np.add.at(sizes, roots, stops - starts)
    first = roots == np.arange(len(lines))
    return Components(owner[first], sizes[first], np.bincount(owner[is_hole], minlength=classes))


@compiled
def _count_runs(labels: Array, counts: Array) -> None:
    """Runs of each class; the last place counts those of ids out of range."""
    height, width = labels.shape
    unknown = counts.size - 1
    for y in range(height):
        x = 0
        while x < width:
            own = labels[y, x]
            x += 1
            while x < width and labels[y, x] == own:
                x += 1
            if own != VOID:
                counts[own if 0 <= own < unknown else unknown] += 1


@compiled
def _place_runs(labels: Array, place: Array, lines: Array, starts: Array, stops: Array, void_before: Array) -> None:
    """Each run's line, first column, column after its last, and how many pixels of void precede it in the image."""
    height, width = labels.shape
    void = 0
    for y in range(height):
        x = 0
        while x < width:
            own, start = labels[y, x], x
            x += 1
            while x < width and labels[y, x] == own:
                x += 1
            if own == VOID:
                void += x - start
                continue
            at = place[own]
            place[own] = at + 1
            lines[at], starts[at], stops[at], void_before[at] = own * (height + 1) + y, start, x, void


@compiled
def _join(
    lines: Array, starts: Array, stops: Array, gap_starts: Array, roots: Array, gap_roots: Array, enclosed: Array
) -> None:
    """Leave in `roots` and `gap_roots` the first run and gap of each one's component; clear what an outside touches."""
    above, above_end, begin = 0, 0, 0
    while begin < lines.size:
        end = begin + 1
        while end < lines.size and lines[end] == lines[begin]:
            end += 1
        if above < above_end and lines[above] + 1 == lines[begin]:
            _join_lines(starts, stops, roots, above, above_end, begin, end, 1)
            _join_lines(gap_starts, starts, gap_roots, above + 1, above_end, begin + 1, end, 0)
            _open_beside(gap_starts, starts, enclosed, above, above_end, starts[begin], stops[end - 1])
            _open_beside(gap_starts, starts, enclosed, begin, end, starts[above], stops[above_end - 1])
        else:
            enclosed[above:above_end] = False
            enclosed[begin:end] = False
        above, above_end, begin = begin, end, end
    enclosed[above:above_end] = False
    for i in range(lines.size):
        roots[i] = _root(roots, i)
        gap_roots[i] = _root(gap_roots, i)


@compiled
def _join_lines(
    starts: Array, stops: Array, roots: Array, above: int, above_end: int, below: int, below_end: int, reach: int
) -> None:
    """Join spans of two rows that share a column, or with `reach` 1 a corner."""
    while above < above_end and below < below_end:
        if starts[above] < stops[below] + reach and starts[below] < stops[above] + reach:
            one, other = _root(roots, above), _root(roots, below)
            roots[max(one, other)] = min(one, other)
        if stops[above] < stops[below]:
            above += 1
        else:
            below += 1


@compiled
def _open_beside(
    gap_starts: Array, gap_stops: Array, enclosed: Array, first: int, end: int, outer_start: int, outer_stop: int
) -> None:
    """Gaps of a row that reach past the outermost runs of the row beside it are open to the image's border."""
    for i in range(first + 1, end):
        if gap_starts[i] < outer_start or gap_stops[i] > outer_stop:
            enclosed[i] = False


@compiled
def _root(roots: Array, i: int) -> int:
    while roots[i] != i:
        roots[i] = roots[roots[i]]
        i = roots[i]
    return i
