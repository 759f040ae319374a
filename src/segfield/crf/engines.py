"""What runs a dense CRF on one image: the fused image engine on the CPU, or filters and the plain mean field elsewhere.

Whatever follows from the image and the bandwidths alone is built once; weights, compatibility and iterations may then
change from run to run.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Literal, Protocol

import numpy as np

from segfield.crf.arrays import as_float32, is_tensor, namespace
from segfield.crf.features import bilateral_features, bilateral_features_on_device, position_features
from segfield.crf.filters.filter import Filter, Normalization, Normalized
from segfield.crf.image_stages import cheap_iterations
from segfield.crf.mean_field import Kernel, mean_field
from segfield.crf.parameters import Number

Accuracy = Literal["fast", "fine", "exact"]


class Engine(Protocol):
    """Mean field on one image, its filters built."""

    def run(
        self,
        unary: Any,
        *,
        bilateral_weight: Any,
        gaussian_weight: Any,
        compatibility: Any = None,
        iterations: int,
        damping: float = 0.0,
        tolerance: float = 0.0,
        cheap_start: bool = False,
    ) -> Any:
        """(K, H, W) float32 energies → (K, H, W) float32 probabilities."""
        ...


def build_engine(
    image: Any,
    *,
    bilateral_sxy: Number | None,
    bilateral_srgb: Number,
    gaussian_sxy: Number | None,
    normalization: Normalization,
    accuracy: Accuracy,
    epsilon: float,
    threads: int | None = None,
) -> Engine:
    """Build the filters of `image` (C, H, W), in the units of `bilateral_srgb`.

    NumPy images run in compiled loops on the CPU, tensors in torch on their device. `accuracy` "fast" and "fine" are
    lattices, "exact" sums every pair whose kernel value can exceed `epsilon`.
    """
    if bilateral_sxy is None and gaussian_sxy is None:
        return FilterEngine(None, None)
    if accuracy != "exact" and not is_tensor(image):
        from segfield.crf.image_crf import ImageCRF

        engine: Engine = ImageCRF(
            image,
            bilateral_sxy=bilateral_sxy,
            bilateral_srgb=bilateral_srgb,
            gaussian_sxy=gaussian_sxy,
            normalization=normalization,
            fine=accuracy == "fine",
            threads=threads,
        )
        return engine
    bilateral: Filter | None = None
    if bilateral_sxy is not None:
        features_of = bilateral_features_on_device if is_tensor(image) else bilateral_features
        features = features_of(image, bilateral_sxy, bilateral_srgb)
        bilateral = Normalized(_filter(features, image, accuracy, epsilon, threads), normalization)
    gaussian: Filter | None = None
    if gaussian_sxy is not None:
        gaussian = Normalized(_grid_gaussian(image, gaussian_sxy, epsilon, threads), normalization)
    cheaper: Callable[[], Engine] | None = None
    if not is_tensor(image):
        cheaper = functools.partial(
            build_engine, image, bilateral_sxy=bilateral_sxy, bilateral_srgb=bilateral_srgb, gaussian_sxy=gaussian_sxy,
            normalization=normalization, accuracy="fine", epsilon=epsilon, threads=threads,
        )  # fmt: skip
    return FilterEngine(bilateral, gaussian, cheaper)


def _filter(features: Any, image: Any, accuracy: Accuracy, epsilon: float, threads: int | None) -> Filter:
    """The filter of these features where `image` lies: NumPy, or the tensor's device."""
    if not is_tensor(image):
        from segfield.crf.filters.tiled import TiledFilter

        tiled: Filter = TiledFilter(features, epsilon=epsilon, threads=threads)
        return tiled
    if accuracy == "exact":
        from segfield.crf.filters.tiled_triton import TritonTiledFilter

        blocks: Filter = TritonTiledFilter(features, epsilon=epsilon)
        return blocks
    from segfield.crf.filters.lattice_torch import TorchLatticeFilter

    return TorchLatticeFilter(features, fine=accuracy == "fine")


def _grid_gaussian(image: Any, sxy: Number, epsilon: float, threads: int | None) -> Filter:
    """The Gaussian of position, exactly."""
    shape = (int(image.shape[1]), int(image.shape[2]))
    if not is_tensor(image):
        from segfield.crf.filters.tiled import TiledFilter

        tiled: Filter = TiledFilter(position_features(shape, sxy), epsilon=epsilon, threads=threads)
        return tiled
    from segfield.crf.filters.gaussian_torch import TorchGridGaussian

    products: Filter = TorchGridGaussian(shape, sxy, image.device, namespace(image).float32)
    return products


class FilterEngine:
    """Mean field over any filters of the bilateral and the Gaussian kernel; either may be absent.

    Args:
        bilateral, gaussian: the normalised filters.
        cheaper: builds the engine that runs the early iterations of a cheap start; None: this runs them all.
    """

    def __init__(
        self, bilateral: Filter | None, gaussian: Filter | None, cheaper: Callable[[], Engine] | None = None
    ) -> None:
        self.bilateral = bilateral
        self.gaussian = gaussian
        self._cheaper = cheaper

    def run(
        self,
        unary: Any,
        *,
        bilateral_weight: Any,
        gaussian_weight: Any,
        compatibility: Any = None,
        iterations: int,
        damping: float = 0.0,
        tolerance: float = 0.0,
        cheap_start: bool = False,
    ) -> Any:
        start, early = None, 0
        each_its_own = any(np.ndim(given) == 3 for given in (bilateral_weight, gaussian_weight, compatibility))
        if cheap_start and self._cheaper is not None and not (damping or tolerance or each_its_own):
            early = cheap_iterations(iterations, True, unary.shape[0], unary.shape[1:])
        if early and self._cheaper is not None:
            start = _rows(
                self._cheaper().run(
                    unary, bilateral_weight=bilateral_weight, gaussian_weight=gaussian_weight,
                    compatibility=compatibility, iterations=early, cheap_start=True,
                )
            )  # fmt: skip
        pairs = ((self.bilateral, bilateral_weight), (self.gaussian, gaussian_weight))
        found = mean_field(
            _rows(unary),
            [Kernel(kernel, weight) for kernel, weight in pairs if kernel is not None],
            compatibility=compatibility,
            iterations=iterations - early,
            damping=damping,
            tolerance=tolerance,
            start=start,
        )
        columns = as_float32(found.probabilities).T.reshape(unary.shape)
        return columns.contiguous() if is_tensor(columns) else namespace(columns).ascontiguousarray(columns)


def _rows(planes: Any) -> Any:
    """(K, H, W) → (N, K)."""
    rows = planes.reshape(planes.shape[0], -1).T
    return rows.contiguous() if is_tensor(rows) else np.ascontiguousarray(rows)
