"""One filter for a batch of images in torch, whatever the device: compiled loops on the CPU, torch operations elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import torch
from torch import Tensor

from segfield.crf.filters.filter import Filter
from segfield.crf.filters.gaussian_torch import TorchGridGaussian
from segfield.crf.threads import usable_threads

Accuracy = Literal["fast", "fine", "exact"]


class EachOnCPU:
    """K·v of (B, N, C) CPU tensors by a NumPy filter for each image; several images at once where there are enough.

    Args:
        build: makes a filter; called with the image's number and how many threads the filter may use.
        batch: B.
    """

    def __init__(self, build: Callable[[int, int | None], Any], batch: int) -> None:
        cores = usable_threads()
        self._at_once = cores if batch >= cores else 1
        self._filters = self._each(lambda index: build(index, 1 if self._at_once > 1 else None), batch)

    @property
    def size(self) -> int:
        """N, the number of pixels of an image."""
        return int(self._filters[0].size)

    def __call__(self, values: Tensor) -> Tensor:
        return self._filtered(values, list(self._filters))

    def transposed(self, values: Tensor) -> Tensor:
        return self._filtered(values, [filter_.transposed for filter_ in self._filters])

    def _filtered(self, values: Tensor, products: Sequence[Callable[[Any], Any]]) -> Tensor:
        rows = values.detach().numpy()
        found = self._each(lambda index: products[index](rows[index]), len(products))
        return torch.stack([torch.from_numpy(part) for part in found]).to(values.dtype)

    def _each(self, work: Callable[[int], Any], count: int) -> list[Any]:
        if self._at_once == 1:
            return [work(index) for index in range(count)]
        with ThreadPoolExecutor(self._at_once) as pool:
            return list(pool.map(work, range(count)))


def batch_filter(features: Tensor, accuracy: Accuracy, epsilon: float = 1e-3) -> Filter:
    """K·v with K_ij = exp(−½|f_i − f_j|²), for each image of a batch.

    Args:
        features: (B, N, D) float32 or float64; no gradient flows to them.
        accuracy: a lattice, a finer one, or the sum of all pairs that can exceed `epsilon`.
    """
    points = features.detach()
    if accuracy == "exact" and points.device.type == "cpu":
        from segfield.crf.filters.tiled import TiledFilter

        arrays = points.contiguous().numpy()
        exact: Filter = EachOnCPU(
            lambda index, threads: TiledFilter(arrays[index], epsilon, threads=threads, dtype=arrays.dtype), len(arrays)
        )
        return exact
    if accuracy == "exact":
        from segfield.crf.filters.tiled_triton import TritonTiledFilter

        return _EachOnDevice([TritonTiledFilter(image, epsilon=epsilon) for image in points.float()])
    if points.device.type == "cpu" and points.dtype == torch.float32:
        from segfield.crf.filters.lattice import LatticeFilter

        arrays = points.contiguous().numpy()
        lattice: Filter = EachOnCPU(
            lambda index, threads: LatticeFilter(arrays[index], accuracy == "fine", threads), len(arrays)
        )
        return lattice
    from segfield.crf.filters.lattice_torch import TorchLatticeFilter

    return TorchLatticeFilter(points, fine=accuracy == "fine")


def batch_grid_gaussian(shape: tuple[int, int], sxy: Sequence[float], like: Tensor) -> Filter:
    """The Gaussian of position for each image of a batch, which all have this shape.

    Args:
        shape: (H, W).
        sxy: (σ_x, σ_y), pixels.
        like: (B, N, C) values it will be given.
    """
    if like.device.type == "cpu" and like.dtype == torch.float32:
        from segfield.crf.filters.gaussian_grid import GridGaussian

        loops: Filter = EachOnCPU(lambda _, threads: GridGaussian(shape, sxy, threads), len(like))
        return loops
    products: Filter = TorchGridGaussian(shape, sxy, like.device, like.dtype)
    return products


class _EachOnDevice:
    """A filter for each image, one after another, on their device."""

    def __init__(self, filters: Sequence[Any]) -> None:
        self._filters = list(filters)
        self.size = self._filters[0].size

    def __call__(self, values: Tensor) -> Tensor:
        return torch.stack([product(rows) for product, rows in zip(self._filters, values, strict=True)])

    def transposed(self, values: Tensor) -> Tensor:
        return torch.stack([product.transposed(rows) for product, rows in zip(self._filters, values, strict=True)])
