"""Mean field over any points and any number of kernels, each a permutohedral lattice that is built once.

Krähenbühl & Koltun 2011. As `mean_field` with these kernels, to rounding, but in compiled passes and in little memory.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segfield.classes import Array
from segfield.crf.barrier import new_barrier
from segfield.crf.buffers import borrow, give_back
from segfield.crf.filters.lattice import band_boundaries
from segfield.crf.filters.lattice_embedding import BLOCK
from segfield.crf.filters.simd import Width, lanes_for
from segfield.crf.points_kernels import PointKernel, build_kernels, normalise
from segfield.crf.points_loop import PointModel, PointWorkspace, divergence_of, row_sums_of, run_points
from segfield.crf.threads import together

_NO_CLASS = -1e30  # minus the energy of channels that are no class


class PointsCRF:
    """The kernels of N points; then as many runs as wanted.

    Args:
        pixels: N.
        kernels: any number of them, or none.
        threads: at most so many; all cores by default.

    Raises:
        DataError: if features are not finite, or too large for float32 to tell points apart.
    """

    def __init__(self, pixels: int, kernels: Sequence[PointKernel], threads: int | None = None) -> None:
        self.pixels = pixels
        self._bounds = np.array(band_boundaries(pixels, threads, BLOCK))
        built = build_kernels(kernels, pixels, self._bounds.tolist())
        self._kernels, self._rows, self._factors = built
        self._find_row_sums()
        normalise(built, kernels)

    def run(self, unary: Array, weights: Sequence[Array], iterations: int) -> Array:
        """Probabilities (K, N) float32 after so many iterations.

        Args:
            unary: (K, N) float32 energies, −log probability; finite.
            weights: of each kernel, what is gained from neighbours: (), (K,) of the same class, or (K, K) with a row for
                the class that gains.
            iterations: 0 gives softmax(−U).
        """
        found = np.empty(unary.shape, np.float32)
        self._run(unary, weights, iterations, found, True)
        return found

    def step(self, unary: Array, weights: Sequence[Array], probabilities: Array) -> None:
        """One iteration, in place on `probabilities` (K, N) float32, C-contiguous."""
        self._run(unary, weights, 1, probabilities, False)

    def divergence(self, unary: Array, weights: Sequence[Array], probabilities: Array) -> float:
        """Σ q·(log q + U − messages): the KL divergence of (K, N) float32 from the model, up to a constant."""
        model, stride = self._model(unary, weights)
        given = np.ascontiguousarray(probabilities, np.float32).reshape(-1)
        work = self._workspace(stride, True)
        sums = np.zeros(len(self._bounds) - 1)

        def run_part(part: int) -> None:
            divergence_of(part, self._bounds, self._kernels, model, given, sums, work, Width(stride), stride)

        together(len(sums), run_part)
        give_back(work.rows)
        return float(sums.sum())

    def _run(self, unary: Array, weights: Sequence[Array], iterations: int, found: Array, start: bool) -> None:
        model, stride = self._model(unary, weights)
        work = self._workspace(stride, iterations > 0)
        flat = found.reshape(-1)

        def run_part(part: int) -> None:
            run_points(
                part, self._bounds, start, iterations, self._kernels, model, flat, work, Width(stride), stride
            )  # fmt: skip

        together(len(self._bounds) - 1, run_part)
        give_back(work.rows)

    def _find_row_sums(self) -> None:
        stride = lanes_for(1)
        work, ones = self._workspace(stride, True), np.ones(self.pixels, np.float32)

        def run_part(part: int) -> None:
            row_sums_of(part, self._bounds, self._kernels, ones, work, Width(stride), stride)

        if len(self._factors):
            together(len(self._bounds) - 1, run_part)
        give_back(work.rows)

    def _workspace(self, stride: int, filters: bool) -> PointWorkspace:
        lines = np.zeros((len(self._bounds) - 1) * 2 * BLOCK * stride + 8, np.float32)
        return PointWorkspace(borrow(self._rows * stride if filters else 0), new_barrier(), lines)

    def _model(self, unary: Array, weights: Sequence[Array]) -> tuple[PointModel, int]:
        """The energies with the kernels' weights, and the stride of rows."""
        classes = len(unary)
        stride = lanes_for(classes)
        padded = np.zeros((len(weights), stride), np.float32)
        mixes = np.array([np.ndim(weight) == 2 for weight in weights], np.bool_)
        tables = np.zeros((len(weights) if mixes.any() else 0, classes, stride), np.float32)
        for n, (weight, factor) in enumerate(zip(weights, self._factors, strict=True)):
            if mixes[n]:
                tables[n, :, :classes] = factor * np.asarray(weight).T
            else:
                padded[n, :classes] = factor * np.asarray(weight)
        flat = np.ascontiguousarray(unary, np.float32).reshape(-1)
        lowest = np.where(np.arange(stride) < classes, np.float32(0), np.float32(_NO_CLASS))
        return PointModel(flat, classes, lowest, padded.reshape(-1), mixes, tables.reshape(-1)), stride
