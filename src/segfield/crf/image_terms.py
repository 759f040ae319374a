"""What the compiled loops of the image CRF work on, as named tuples of arrays."""

from __future__ import annotations

from typing import Any, NamedTuple

from segfield.classes import Array
from segfield.crf.filters.simd import Scalar


class Appearance(NamedTuple):
    """The bilateral kernel: its lattice with the normalisation. Without it `corners` is 0."""

    corners: int
    ids: Array  # (N·corners,) int32 rows
    weights: Array  # (N·corners,) float32
    touched: Array  # rows touched before each block of pixels, band after band
    touched_start: Array  # (parts,) where each band's begin
    first_row: Array  # (parts,) of each band
    copies: Array  # int32 rows that repeat `primaries`
    primaries: Array
    copy_cuts: Array  # (parts + 1,) where each band's copies begin
    order: Array  # rows along the chains
    cuts: Array  # (corners, parts + 1)
    rounds: int
    extra_row: int
    before: Array  # (N,) float32: on the way in
    after: Array  # (N,) float32: on the way out, with the lattice's factor


class Position(NamedTuple):
    """The Gaussian kernel on the grid with its normalisation. Without it both taps are empty."""

    taps_x: Array
    taps_y: Array
    halved: bool
    before: Array  # (N,) float32
    after: Array  # (N,) float32


class Model(NamedTuple):
    """Unary and pairwise terms for K classes in rows of `stride` channels.

    Either a weight for each class, which receives from its own kind alone, or tables: a neighbour's class m adds C_lm to the
    energy of class l.
    """

    unary: Array  # (N·stride,) float32: U above its lowest, and very high beyond the last class
    classes: int
    appearance_weight: Array  # (stride,) float32
    position_weight: Array  # (stride,) float32
    tables: Any  # (S·2·K·stride,) float32: Cᵀ of the bilateral and the Gaussian kernel, S 1 or the iterations; or None
    careful: bool  # messages may be negative, so the largest −U − message may lie far below 0
    damping: Scalar
    tolerance: Scalar
    raw: bool  # give −U − messages, not its softmax


class Workspace(NamedTuple):
    """What the threads share while they work."""

    rows: Array  # (R·stride,) float32: the lattice's sums of one iteration …
    new_rows: Array  # … and of the next
    lines: Array  # (h·w·stride,) float32: the position kernel's lines of one iteration …
    new_lines: Array
    borders: Array  # (parts·2·w·stride,): what a band adds to its neighbours' half-resolution lines
    kept: Array  # (N·stride,) last probabilities, or empty where neither damping nor tolerance wants them
    start: Array  # (N·stride,) probabilities to begin with, or empty for softmax(−U)
    start_halved: bool  # of half the lines and columns
    changes: Array  # (parts·8,) float32
    barrier: Array
    out: Array  # (K·N,) float32 probabilities; empty where `kept` is all that is wanted


class Scratch(NamedTuple):
    """One thread's own lines."""

    line: Array  # (W·stride,) probabilities
    messages: Array  # (W·stride,) of the bilateral kernel, where there are tables
    smooth: Array  # (W or w, times stride): the position kernel's sums along a line
    across: Array  # (3·w·stride,): half-resolution lines already smoothed …
    across_at: Array  # (3,) … and which they are
    smaller: Array  # (W or w, times stride)
    nothing: Array  # (0,)
