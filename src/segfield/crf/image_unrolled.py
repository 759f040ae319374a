"""The image engine with gradients: mean field of one image, iteration by iteration, and back. float32 on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from segfield.classes import Array
from segfield.crf.barrier import new_barrier
from segfield.crf.buffers import borrow, give_back
from segfield.crf.filters.simd import Width, lanes_for
from segfield.crf.image_crf import ImageCRF
from segfield.crf.image_gradient import gather_band, gather_gradient_band, spread_band
from segfield.crf.image_kernels import NO_APPEARANCE, NO_POSITION, NOTHING, scratch
from segfield.crf.image_pass import line_to_planes
from segfield.crf.image_terms import Appearance, Model, Position, Workspace
from segfield.crf.threads import together

KEPT_MAPS = 5
"""Maps of probabilities that are kept for the backward pass; those between them are computed anew."""


class UnrolledImage:
    """Mean field of one image that remembers what its gradient needs.

    Args:
        kernels: of the image, built.
        scores: U (K, H, W) float32.
        bilateral, gaussian: (S, K, K) tables C of the kernels, S 1 or the number of iterations.
        iterations: T, 1 or more.
        keep: whether `backward` will be called.
    """

    def __init__(
        self, kernels: ImageCRF, scores: Array, bilateral: Array, gaussian: Array, iterations: int, keep: bool = True
    ) -> None:
        self.kernels, self.iterations = kernels, iterations
        self.classes, self.stride = len(scores), lanes_for(len(scores))
        self.sets = len(bilateral)
        self._tables = np.stack([bilateral, gaussian], axis=1).astype(np.float32)  # (S, 2, K, K)
        self._keep = keep
        self._spacing = max(1, -(-iterations // KEPT_MAPS))
        zero = np.zeros(self.stride, np.float32)
        self._model = Model(
            kernels._to_rows(-scores, 1e30, self.stride, lowers=False), self.classes, zero, zero,
            self._padded(self._tables.swapaxes(2, 3)), True, np.float32(0), np.float32(0), False,
        )  # fmt: skip
        self._kept: list[Array] = []

    def forward(self) -> Array:
        """X after the last iteration, (K, H, W) float32; keeps a few maps for `backward`."""
        q = self._start()
        for iteration in range(self.iterations):
            if self._keep and iteration % self._spacing == 0:
                self._kept.append(q)
            last = iteration + 1 == self.iterations
            following = self._step(q, iteration, raw=last)
            if not (self._kept and self._kept[-1] is q):
                give_back(q)
            q = following
        if not self._keep:
            give_back(self._model.unary)
        return self._to_planes(q)

    def backward(self, gradient: Array) -> tuple[Array, Array, Array]:
        """∂L/∂X (K, H, W) → ∂L/∂U (K, H, W), and those of the two tables (S, K, K). Can be called once."""
        kernels, stride = self.kernels, self.stride
        rows = kernels._to_rows(gradient, 0, stride, lowers=False)
        to_scores = kernels._to_rows(gradient, 0, stride, lowers=False)
        sums = np.zeros((self.sets, 2, stride, stride))
        model = self._model._replace(tables=self._padded(self._tables))
        for iteration in reversed(range(self.iterations)):
            q, is_own = self._probabilities(iteration)
            self._step_back(rows, q, to_scores, sums, model, iteration)
            if is_own:
                give_back(q)
        give_back(rows)
        for buffer in (self._model.unary, *self._kept):
            give_back(buffer)
        self._kept = []
        found = sums[..., : self.classes, : self.classes].astype(np.float32)
        return self._to_planes(to_scores), found[:, 0], found[:, 1]

    def _start(self) -> Array:
        """softmax(U), rows."""
        work = self._workspace(NOTHING, borrow(self._model.unary.size))
        self._run(gather_band, 0, NO_APPEARANCE, NO_POSITION, self._model, work)
        return work.kept

    def _step(self, q: Array, iteration: int, *, raw: bool) -> Array:
        """The next probabilities, or X itself, rows."""
        kernels = self.kernels
        work = self._workspace(q, NOTHING)
        self._run(spread_band, None, kernels._appearance, kernels._position, self._model, work)
        after = work._replace(kept=borrow(q.size), start=NOTHING)
        model = self._model._replace(raw=raw)
        self._run(gather_band, self._at(iteration), kernels._appearance, kernels._position, model, after)
        self._release(work)
        return after.kept

    def _step_back(
        self, gradient: Array, q: Array, to_scores: Array, sums: Array, model: Model, iteration: int
    ) -> None:
        """Replace the gradient to X after an iteration by that before it."""
        appearance, position = transposed(self.kernels._appearance), _swapped(self.kernels._position)
        work = self._workspace(gradient, NOTHING)
        self._run(spread_band, None, appearance, position, model, work)
        place = iteration if self.sets > 1 else 0
        parts = len(self.kernels._bounds) - 1
        size = self.stride * self.stride
        own_sums, block_sums = np.zeros((parts, 2 * size)), np.zeros((parts, size), np.float32)
        self._run(
            gather_gradient_band, self._at(iteration), appearance, position, model, work,
            lambda part: (q, gradient, to_scores, block_sums[part], own_sums[part]),
        )  # fmt: skip
        sums[place] += own_sums.sum(axis=0).reshape(sums.shape[1:])
        self._release(work)

    def _probabilities(self, iteration: int) -> tuple[Array, bool]:
        """softmax(X) before an iteration, and whether it is the caller's to give back."""
        number = iteration // self._spacing
        q, is_own = self._kept[number], False
        for earlier in range(number * self._spacing, iteration):
            following = self._step(q, earlier, raw=False)
            if is_own:
                give_back(q)
            q, is_own = following, True
        return q, is_own

    def _run(
        self, loop: Any, table_at: int | None, appearance: Appearance, position: Position, model: Model, work: Workspace,
        more: Callable[[int], tuple[Array, ...]] = lambda part: (),
    ) -> None:  # fmt: skip
        """Run a compiled function on every band at once."""
        kernels, stride = self.kernels, self.stride
        columns, parts = kernels.shape[1], len(kernels._bounds) - 1
        own = [scratch(columns, stride, position, True) for _ in range(parts)]
        at = () if table_at is None else (table_at,)

        def run_part(part: int) -> None:
            loop(
                part, kernels._bounds, columns, *at, appearance, position, model, work, own[part], *more(part),
                Width(stride), stride,
            )  # fmt: skip

        together(parts, run_part)

    def _workspace(self, start: Array, kept: Array) -> Workspace:
        """Memory of one iteration; the rows are cleared by who fills them."""
        kernels, stride = self.kernels, self.stride
        (height, columns), position = kernels.shape, kernels._position
        parts = len(kernels._bounds) - 1
        rows = borrow(kernels._rows * stride if start.size else 0)
        line = ((columns + 1) // 2 if position.halved else columns) * stride
        lines = ((height + 1) // 2 if position.halved else height) * line if position.taps_x.size and start.size else 0
        borders = np.zeros(2 * parts * line if position.halved else 0, np.float32)
        memory = borrow(lines)
        changes = np.zeros(8 * parts, np.float32)
        return Workspace(rows, rows, memory, memory, borders, kept, start, False, changes, new_barrier(), NOTHING)

    def _release(self, work: Workspace) -> None:
        for buffer in (work.rows, work.lines):
            give_back(buffer)

    def _at(self, iteration: int) -> int:
        return iteration * 2 * self.classes * self.stride if self.sets > 1 else 0

    def _padded(self, tables: Array) -> Array:
        padded = np.zeros((*tables.shape[:3], self.stride), np.float32)
        padded[..., : self.classes] = tables
        return padded.reshape(-1)

    def _to_planes(self, rows: Array) -> Array:
        """Rows (N·stride,), given back → (K, H, W)."""
        kernels = self.kernels
        planes = np.empty((self.classes, *kernels.shape), np.float32)
        flat, starts = planes.reshape(-1), kernels._bounds * kernels.shape[1]

        def convert(part: int) -> None:
            first, last = int(starts[part]), int(starts[part + 1])
            line_to_planes(rows, first * self.stride, flat, first, last - first, self.classes, self.stride)

        together(len(starts) - 1, convert)
        give_back(rows)
        return planes


def transposed(kernel: Appearance) -> Appearance:
    """The transposed bilateral kernel: the axes are blurred in reverse order, and the normalisation changes sides.

    Two rounds of blur, there and back, are symmetric.
    """
    if kernel.corners == 0:
        return kernel
    factor_moves = kernel._replace(before=kernel.after, after=kernel.before)
    return factor_moves if kernel.rounds == 2 else factor_moves._replace(cuts=np.ascontiguousarray(kernel.cuts[::-1]))


def _swapped(kernel: Position) -> Position:
    """The transposed Gaussian kernel, which is symmetric but for the normalisation."""
    return kernel._replace(before=kernel.after, after=kernel.before)
