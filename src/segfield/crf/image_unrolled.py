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
from segfield.crf.image_gradient import step_back_band, step_band
from segfield.crf.image_kernels import NOTHING, scratch
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
            kernels._to_rows(scores, 1e30, self.stride, lowers=False, negates=True), self.classes, zero, zero,
            self._padded(self._tables.swapaxes(2, 3)), True, np.float32(0), np.float32(0), False,
        )  # fmt: skip
        self._kept: list[Array] = []

    def forward(self, out: Array) -> None:
        """X after the last iteration into `out` (K, H, W); keeps a few maps for `backward`."""
        work = self._workspace(out)
        for iteration in range(self.iterations + 1):
            last = iteration == self.iterations
            keeps = self._keep and not last and iteration % self._spacing == 0
            q = borrow(self._model.unary.size) if keeps else NOTHING
            self._step(iteration, work._replace(kept=q), start=iteration == 0, last=last, raw=last)
            work = _turned(work)
            if keeps:
                self._kept.append(q)
        self._release(work)
        if not self._keep:
            give_back(self._model.unary)

    def backward(self, gradient: Array, out: Array) -> tuple[Array, Array]:
        """∂L/∂X (K, H, W) → ∂L/∂U into `out` (K, H, W); returns those of the two tables (S, K, K). Can be called once."""
        kernels, stride = self.kernels, self.stride
        to_scores = kernels._to_rows(gradient, 0, stride, lowers=False)
        sums = np.zeros((self.sets, 2, stride, stride))
        appearance, position = transposed(kernels._appearance), _swapped(kernels._position)
        model = self._model._replace(tables=self._padded(self._tables))
        work = self._workspace(out)
        self._run(step_band, (True, False, 0), appearance, position, model, work._replace(start=to_scores))
        work = _turned(work)
        for iteration in reversed(range(self.iterations)):
            q, is_own = self._probabilities(iteration)
            place = iteration if self.sets > 1 else 0
            sums[place] += self._step_back(iteration, appearance, position, model, work, q, to_scores)
            work = _turned(work)
            if is_own:
                give_back(q)
        self._release(work)
        for buffer in (to_scores, self._model.unary, *self._kept):
            give_back(buffer)
        self._kept = []
        found = sums[..., : self.classes, : self.classes].astype(np.float32)
        return found[:, 0], found[:, 1]

    def _step(self, iteration: int, work: Workspace, *, start: bool, last: bool, raw: bool) -> None:
        """The next map from the messages of the one before `iteration`, and its own messages unless it is the last one."""
        kernels = self.kernels
        settings = (start, last, self._at(max(iteration - 1, 0)))
        self._run(
            step_band, settings, kernels._appearance, kernels._position, self._model._replace(raw=raw), work,
        )  # fmt: skip

    def _step_back(
        self, iteration: int, appearance: Appearance, position: Position, model: Model, work: Workspace, q: Array,
        to_scores: Array,
    ) -> Array:  # fmt: skip
        """Add the gradient to X before an iteration to `to_scores`; returns the iteration's share of those to the tables."""
        parts, size = len(self.kernels._bounds) - 1, self.stride * self.stride
        own_sums, block_sums = np.zeros((parts, 2 * size)), np.zeros((parts, size), np.float32)
        self._run(
            step_back_band, (iteration == 0, self._at(iteration)), appearance, position, model, work,
            lambda part: (q, to_scores, block_sums[part], own_sums[part]),
        )  # fmt: skip
        found: Array = own_sums.sum(axis=0).reshape(2, self.stride, self.stride)
        return found

    def _probabilities(self, iteration: int) -> tuple[Array, bool]:
        """softmax(X) before an iteration, and whether it is the caller's to give back."""
        number = iteration // self._spacing
        nearest = number * self._spacing
        if nearest == iteration:
            return self._kept[number], False
        work = self._workspace(NOTHING)
        self._step(nearest, work._replace(start=self._kept[number]), start=True, last=False, raw=False)
        q = borrow(self._model.unary.size)
        for later in range(nearest + 1, iteration + 1):
            work = _turned(work)
            last = later == iteration
            self._step(later, work._replace(kept=q if last else NOTHING), start=False, last=last, raw=False)
        self._release(work)
        return q, True

    def _run(
        self, loop: Any, settings: tuple[Any, ...], appearance: Appearance, position: Position, model: Model, work: Workspace,
        more: Callable[[int], tuple[Array, ...]] = lambda part: (),
    ) -> None:  # fmt: skip
        """Run a compiled function on every band at once."""
        kernels, stride = self.kernels, self.stride
        columns, parts = kernels.shape[1], len(kernels._bounds) - 1
        own = [scratch(columns, stride, position, True) for _ in range(parts)]

        def run_part(part: int) -> None:
            loop(
                part, kernels._bounds, columns, *settings, appearance, position, model, work, own[part], *more(part),
                Width(stride), stride,
            )  # fmt: skip

        together(parts, run_part)

    def _workspace(self, out: Array) -> Workspace:
        """Memory of the iterations; the rows are cleared by who fills them."""
        kernels, stride = self.kernels, self.stride
        (height, columns), position = kernels.shape, kernels._position
        parts = len(kernels._bounds) - 1
        line = ((columns + 1) // 2 if position.halved else columns) * stride
        lines = ((height + 1) // 2 if position.halved else height) * line if position.taps_x.size else 0
        memory = [borrow(size) for size in 2 * [kernels._rows * stride] + 2 * [lines]]
        borders = np.zeros(2 * parts * line if position.halved else 0, np.float32)
        changes = np.zeros(8 * parts, np.float32)
        return Workspace(
            memory[0], memory[1], memory[2], memory[3], borders, NOTHING, NOTHING, False, changes, new_barrier(),
            out.reshape(-1),
        )  # fmt: skip

    def _release(self, work: Workspace) -> None:
        for buffer in (work.rows, work.new_rows, work.lines, work.new_lines):
            give_back(buffer)

    def _at(self, iteration: int) -> int:
        return iteration * 2 * self.classes * self.stride if self.sets > 1 else 0

    def _padded(self, tables: Array) -> Array:
        padded = np.zeros((*tables.shape[:3], self.stride), np.float32)
        padded[..., : self.classes] = tables
        return padded.reshape(-1)


def _turned(work: Workspace) -> Workspace:
    """The sums that were made are those that the next iteration takes."""
    return work._replace(rows=work.new_rows, new_rows=work.rows, lines=work.new_lines, new_lines=work.lines)


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
