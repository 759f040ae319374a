"""Mean field on one image, fast: a permutohedral lattice for position and colour, a separable Gaussian for position.

Krähenbühl & Koltun 2011. Same result as `mean_field` with these kernels, to rounding; one pass over the pixels an iteration.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segfield.classes import Array
from segfield.crf.barrier import new_barrier
from segfield.crf.buffers import borrow, give_back
from segfield.crf.filters.filter import Normalization
from segfield.crf.filters.lattice import band_boundaries, lattice_of
from segfield.crf.filters.simd import Width, lanes_for
from segfield.crf.image_kernels import (
    NO_APPEARANCE,
    NO_POSITION,
    NOTHING,
    appearance_kernel,
    bilateral_planes,
    position_kernel,
    scratch,
)
from segfield.crf.image_loop import run_band
from segfield.crf.image_pass import planes_to_rows
from segfield.crf.image_terms import Appearance, Model, Position, Workspace
from segfield.crf.threads import together
from segfield.errors import DataError

_NO_CLASS = np.float32(1e30)  # the unary of channels that are no class


class ImageCRF:
    """The kernels of one image, built once; then as many runs as wanted, from several threads if wanted.

    Args:
        image: (C, H, W), any bands; in the units of bilateral_srgb.
        bilateral_sxy, bilateral_srgb: bandwidths of the appearance kernel, pixels and image units; None leaves it out.
            A pair or more gives x and y, or each band, its own.
        gaussian_sxy: bandwidth of the smoothness kernel, pixels, or (x, y); None leaves it out.
        normalization: of both kernels, see `filters.filter.Normalized`.
        fine: a better lattice for the appearance kernel, nearer to the exact sum, more work; see `filters.lattice`.
        threads: at most so many; all cores by default.

    Raises:
        DataError: if the image is not (C, H, W), or not finite.
    """

    def __init__(
        self,
        image: Array,
        *,
        bilateral_sxy: float | Sequence[float] | None,
        bilateral_srgb: float | Sequence[float] | None = None,
        gaussian_sxy: float | Sequence[float] | None,
        normalization: Normalization = "symmetric",
        fine: bool = False,
        threads: int | None = None,
    ) -> None:
        if image.ndim != 3 or 0 in image.shape:
            raise DataError(f"the image has the shape {image.shape}; give (C, H, W) with at least one pixel")
        self.shape = (image.shape[1], image.shape[2])
        self.pixels = self.shape[0] * self.shape[1]
        columns = self.shape[1]
        boundaries = band_boundaries(self.pixels, threads, 2 * columns)
        self._bounds = np.array([boundary // columns for boundary in boundaries])
        self._rows = self.vertices = 0
        self._appearance = NO_APPEARANCE
        if bilateral_sxy is not None and bilateral_srgb is not None:
            planes = bilateral_planes(image, bilateral_sxy, bilateral_srgb)
            lattice = lattice_of(planes, self.pixels, boundaries, fine)
            self._rows, self.vertices = lattice.rows, lattice.vertices
            self._appearance = appearance_kernel(lattice, normalization)
        self._position = NO_POSITION
        if gaussian_sxy is not None:
            self._position = position_kernel(self.shape, gaussian_sxy, normalization)

    def run(
        self,
        unary: Array,
        *,
        bilateral_weight: float | Sequence[float] = 0.0,
        gaussian_weight: float | Sequence[float] = 0.0,
        compatibility: Array | None = None,
        iterations: int = 10,
        damping: float = 0.0,
        tolerance: float = 0.0,
    ) -> Array:
        """Mean-field probabilities.

        Args:
            unary: (K, H, W) energies, −log probability.
            bilateral_weight, gaussian_weight: of the kernels, one number or K.
            compatibility: (K, K) energies µ of neighbours' labels; Potts, −1 on the diagonal, by default.
            iterations: at most so many.
            damping: share of the last probabilities that stays, 0 … 1.
            tolerance: stop when no probability changes by more; 0 never stops.

        Returns:
            (K, H, W) float32.

        Raises:
            DataError: if the unary's size is not the image's.
        """
        if unary.ndim != 3 or unary.shape[1:] != self.shape:
            raise DataError(f"the unary has the shape {unary.shape}; give (K, {self.shape[0]}, {self.shape[1]})")
        classes, columns = len(unary), self.shape[1]
        stride = lanes_for(classes)
        lanes = Width(stride)
        flat = np.ascontiguousarray(unary, np.float32).reshape(-1)
        model = _model(classes, stride, bilateral_weight, gaussian_weight, compatibility, damping, tolerance)
        appearance = self._appearance if model.appearance_weight.any() else NO_APPEARANCE
        position = self._position if model.position_weight.any() else NO_POSITION
        keeps = damping > 0 or tolerance > 0
        work = self._workspace(appearance, position, classes, stride, keeps)
        model = model._replace(unary=borrow(self.pixels * stride))
        bounds = self._bounds
        own = [scratch(columns, stride, position) for _ in bounds[1:]]

        def run_part(part: int) -> None:
            start, stop = bounds[part] * columns, bounds[part + 1] * columns
            planes_to_rows(flat, classes, start, stop, model.unary, _NO_CLASS, lanes, stride)
            run_band(part, bounds, columns, iterations, appearance, position, model, work, own[part], lanes, stride)

        together(len(own), run_part)
        for buffer in (model.unary, work.rows, work.new_rows, work.lines, work.new_lines, work.kept):
            give_back(buffer)
        return work.out.reshape(classes, *self.shape)

    def _workspace(
        self, appearance: Appearance, position: Position, classes: int, stride: int, keeps: bool
    ) -> Workspace:
        rows = self._rows * stride if appearance.corners else 0
        height, columns = self.shape
        line = ((columns + 1) // 2 if position.halved else columns) * stride
        lines = ((height + 1) // 2 if position.halved else height) * line if position.taps_x.size else 0
        parts = len(self._bounds) - 1
        return Workspace(
            borrow(rows), borrow(rows), borrow(lines), borrow(lines),
            np.zeros(2 * parts * line if position.halved else 0, np.float32),
            borrow(self.pixels * stride if keeps else 0),
            np.zeros(8 * parts, np.float32), new_barrier(), np.empty(classes * self.pixels, np.float32),
        )  # fmt: skip


def _model(
    classes: int, stride: int, bilateral_weight: float | Sequence[float], gaussian_weight: float | Sequence[float],
    compatibility: Array | None, damping: float, tolerance: float,
) -> Model:  # fmt: skip
    padded = []
    for weight in (bilateral_weight, gaussian_weight):
        row = np.zeros(stride, np.float32)
        row[:classes] = weight
        padded.append(row)
    transposed = NOTHING
    if compatibility is not None:
        table = np.zeros((classes, stride), np.float32)
        table[:, :classes] = np.asarray(compatibility, np.float32).T
        transposed = table.reshape(-1)
    careful = compatibility is not None or bool(min(padded[0].min(), padded[1].min()) < 0)
    return Model(
        NOTHING, classes, padded[0], padded[1], transposed, careful, np.float32(damping), np.float32(tolerance)
    )
