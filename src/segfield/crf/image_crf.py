"""Mean field on one image, fast: a permutohedral lattice for position and colour, a separable Gaussian for position.

Krähenbühl & Koltun 2011. Same result as `mean_field` with these kernels, to rounding; one pass over the pixels an iteration.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

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
    halved_image,
    position_kernel,
    scratch,
)
from segfield.crf.image_loop import run_band
from segfield.crf.image_pass import average_rows, planes_to_rows
from segfield.crf.image_stages import cheap_iterations
from segfield.crf.image_terms import Model, Workspace
from segfield.crf.threads import together
from segfield.errors import DataError

Bandwidth = float | Sequence[float] | None

Weight = float | Sequence[Any]
"""Of a kernel: one number, K of them, (K, K) with a row for the class that receives, or (T, K, K) for each iteration."""

_NO_CLASS = 1e30  # the unary of channels that are no class


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
        self._image, self._fine = image, fine
        self._bandwidths = (bilateral_sxy, bilateral_srgb, gaussian_sxy)
        self._normalization: Normalization = normalization
        self._threads = threads
        self._cheaper: ImageCRF | None = None
        self._lock = threading.Lock()

    def run(
        self,
        unary: Array,
        *,
        bilateral_weight: Weight = 0.0,
        gaussian_weight: Weight = 0.0,
        compatibility: Array | None = None,
        iterations: int = 10,
        damping: float = 0.0,
        tolerance: float = 0.0,
        start: Array | None = None,
        cheap_start: bool = False,
    ) -> Array:
        """Mean-field probabilities.

        Args:
            unary: (K, H, W) energies, −log probability.
            bilateral_weight, gaussian_weight: of the kernels, one number, K, (K, K), or (T, K, K) for each iteration.
            compatibility: (K, K) energies µ of neighbours' labels, or (T, K, K); Potts, −1 on the diagonal, by default.
            iterations: at most so many.
            damping: share of the last probabilities that stays, 0 … 1.
            tolerance: stop when no probability changes by more; 0 never stops.
            start: (K, H, W) probabilities to begin with instead of softmax(−U).
            cheap_start: early iterations at half resolution, or those of `fine` on the plain lattice, where that saves
                time; not with damping, tolerance or start. See `image_stages`.

        Returns:
            (K, H, W) float32.

        Raises:
            DataError: if the unary's or the start's size is not the image's.
        """
        if unary.ndim != 3 or unary.shape[1:] != self.shape:
            raise DataError(f"the unary has the shape {unary.shape}; give (K, {self.shape[0]}, {self.shape[1]})")
        if start is not None and start.shape != unary.shape:
            raise DataError(f"start has the shape {start.shape} and the unary {unary.shape}; give the same")
        classes, stride = len(unary), lanes_for(len(unary))
        model = _model(classes, stride, bilateral_weight, gaussian_weight, compatibility, damping, tolerance)
        early = 0
        each_its_own = model.tables is not None and model.tables.size > 2 * classes * stride
        if cheap_start and start is None and not (damping or tolerance or each_its_own):
            early = cheap_iterations(iterations, self._fine, classes, self.shape)
        if early and self._fine:
            start = self._plain().run(
                unary, bilateral_weight=bilateral_weight, gaussian_weight=gaussian_weight, compatibility=compatibility,
                iterations=early, cheap_start=True,
            )  # fmt: skip
        rows = self._to_rows(unary, _NO_CLASS, stride, lowers=True)
        given, halved = (NOTHING, False) if start is None else (self._to_rows(start, 0, stride, lowers=False), False)
        if early and not self._fine:
            given, halved = self._run_halved(rows, model, early, stride), True
        out = np.empty(unary.shape, np.float32)
        kept = borrow(self.pixels * stride if damping or tolerance else 0)
        self._iterate(model._replace(unary=rows), iterations - early, stride, given, halved, kept, out.reshape(-1))
        for buffer in (rows, given, kept):
            give_back(buffer)
        return out

    def _iterate(
        self, model: Model, iterations: int, stride: int, given: Array, halved: bool, kept: Array, out: Array
    ) -> None:
        """Run the bands' loops together, into `out` and `kept` where they are not empty."""
        appearance = self._appearance if model.appearance_weight.any() else NO_APPEARANCE
        position = self._position if model.position_weight.any() else NO_POSITION
        height, columns = self.shape
        parts = len(self._bounds) - 1
        rows = self._rows * stride if appearance.corners else 0
        line = ((columns + 1) // 2 if position.halved else columns) * stride
        lines = ((height + 1) // 2 if position.halved else height) * line if position.taps_x.size else 0
        memory = (borrow(rows), borrow(rows), borrow(lines), borrow(lines))
        borders = np.zeros(2 * parts * line if position.halved else 0, np.float32)
        changes = np.zeros(8 * parts, np.float32)
        work = Workspace(
            memory[0], memory[1], memory[2], memory[3], borders, kept, given, halved, changes, new_barrier(), out
        )
        own = [scratch(columns, stride, position, model.tables is not None) for _ in range(parts)]

        def run_part(part: int) -> None:
            run_band(
                part,
                self._bounds,
                columns,
                iterations,
                appearance,
                position,
                model,
                model.tables,
                work,
                own[part],
                Width(stride),
                stride,
            )

        together(parts, run_part)
        for buffer in memory:
            give_back(buffer)

    def _to_rows(self, planes: Array, beyond: float, stride: int, lowers: bool, negates: bool = False) -> Array:
        """(K, H, W) → borrowed (N·stride,) rows."""
        flat = np.ascontiguousarray(planes, np.float32).reshape(-1)
        rows = borrow(self.pixels * stride)
        starts = self._bounds * self.shape[1]

        def convert(part: int) -> None:
            planes_to_rows(
                flat,
                len(planes),
                starts[part],
                starts[part + 1],
                rows,
                np.float32(beyond),
                lowers,
                negates,
                Width(stride),
                stride,
            )

        together(len(starts) - 1, convert)
        return rows

    def _run_halved(self, rows: Array, model: Model, iterations: int, stride: int) -> Array:
        """The first iterations at half resolution: borrowed rows of probabilities."""
        half = self._halved()
        height, columns = self.shape
        unary = borrow(half.pixels * stride)

        def average(part: int) -> None:
            begin, end = half._bounds[part], half._bounds[part + 1]
            average_rows(rows, height, columns, begin, end, unary, Width(stride), stride)

        together(len(half._bounds) - 1, average)
        kept = borrow(half.pixels * stride)
        half._iterate(model._replace(unary=unary, careful=True), iterations, stride, NOTHING, False, kept, NOTHING)
        give_back(unary)
        return kept

    def _halved(self) -> ImageCRF:
        sxy, srgb, gaussian = self._bandwidths
        return self._companion(halved_image(self._image), _half(sxy), srgb, _half(gaussian))

    def _plain(self) -> ImageCRF:
        return self._companion(self._image, *self._bandwidths)

    def _companion(self, image: Array, sxy: Bandwidth, srgb: Bandwidth, gaussian: Bandwidth) -> ImageCRF:
        """The same kernels in a cheaper form, built when first wanted."""
        with self._lock:
            if self._cheaper is None:
                self._cheaper = ImageCRF(
                    image, bilateral_sxy=sxy, bilateral_srgb=srgb, gaussian_sxy=gaussian,
                    normalization=self._normalization, threads=self._threads,
                )  # fmt: skip
            return self._cheaper


def _half(sxy: Bandwidth) -> Bandwidth:
    if sxy is None:
        return None
    return [value / 2 for value in sxy] if isinstance(sxy, Sequence) else sxy / 2


def _model(
    classes: int, stride: int, bilateral_weight: Weight, gaussian_weight: Weight, compatibility: Array | None,
    damping: float, tolerance: float,
) -> Model:  # fmt: skip
    weights = [np.asarray(weight, np.float32) for weight in (bilateral_weight, gaussian_weight)]
    padded = np.zeros((2, stride), np.float32)
    tables = None
    if compatibility is None and max(weight.ndim for weight in weights) < 2:
        for row, weight in zip(padded, weights):
            row[:classes] = weight
    else:
        tables = _tables(classes, stride, weights, compatibility)
        padded[:, :classes] = [[np.any(weight)] for weight in weights]  # which kernels are on
    careful = tables is not None or bool(padded.min() < 0)
    return Model(
        NOTHING, classes, padded[0], padded[1], tables, careful, np.float32(damping), np.float32(tolerance), False
    )


def _tables(classes: int, stride: int, weights: Sequence[Array], compatibility: Array | None) -> Array:
    """Cᵀ = (µ W)ᵀ of either kernel, for each iteration where any of them is: (S·2·K·stride,), as `Model.tables`."""
    energy = -np.eye(classes, dtype=np.float32) if compatibility is None else np.asarray(compatibility, np.float32)
    products = []
    for weight in weights:
        full = weight if weight.ndim > 1 else np.diag(np.broadcast_to(weight, (classes,)))
        product = energy @ full
        products.append(product if product.ndim == 3 else product[None])
    sets = max(len(product) for product in products)
    tables = np.zeros((sets, 2, classes, stride), np.float32)
    for kernel, product in enumerate(products):
        tables[:, kernel, :, :classes] = product.swapaxes(1, 2)
    return tables.reshape(-1)
