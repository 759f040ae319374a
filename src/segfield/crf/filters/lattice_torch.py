"""The permutohedral lattice in torch operations: K·v on any device, differentiable with respect to the values.

Adams, Baek & Davis, Eurographics 2010, but with sorted keys in place of a hash table; sums run in a fixed order.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from segfield.crf.filters.permutohedral_torch import COARSE_SCALE, FINE_SCALE, Simplices, enclosing_simplices
from segfield.errors import DataError


class TorchLatticeFilter:
    """K·v with K_ij ≈ exp(−½|f_i − f_j|²), the pixel's own term included.

    The kernel is narrower and lower than the Gaussian where neighbours of touched vertices are missing. `fine` costs more and
    errs less: a finer lattice, two blur rounds, and all neighbours of touched vertices present; its second round runs through
    the axes backwards, so that K is symmetric and positive semidefinite, which the plain lattice's is not.

    Args:
        features: (N, D), or (B, N, D) for a batch of B; float32 or float64. No gradient flows to them.
        fine: the finer lattice.

    Raises:
        DataError: features of another shape or kind, or with NaN, infinity or values too large to be told apart.
    """

    def __init__(self, features: Tensor, fine: bool = False) -> None:
        _check_features(features)
        batch, dimensions = (len(features) if features.ndim == 3 else 0), features.shape[-1]
        self.size = features.shape[-2]
        self._leading = (batch, self.size) if batch else (self.size,)
        with torch.no_grad():
            points = features.detach() if batch else features.detach()[None]
            simplices = enclosing_simplices(points, FINE_SCALE if fine else COARSE_SCALE)
            self._place(simplices, fine)
        axes = list(range(dimensions + 1))
        self._order = [*axes, *reversed(axes)] if fine else axes
        self._gain = _fine_gain(dimensions) if fine else 1 / (1 + 2.0**-dimensions)

    def __call__(self, values: Tensor) -> Tensor:
        """K·v: (N, C) → (N, C), or (B, N, C) → (B, N, C); of the values' precision, computed in the features'."""
        return self._differentiable(values, False)

    def transposed(self, values: Tensor) -> Tensor:
        """Kᵀ·v: the axes are blurred in reverse order."""
        return self._differentiable(values, True)

    @property
    def vertices(self) -> int:
        """The number of lattice points, over the whole batch."""
        return self._vertices

    def _differentiable(self, values: Tensor, reverse: bool) -> Tensor:
        if values.ndim != len(self._leading) + 1 or tuple(values.shape[:-1]) != self._leading:
            wanted = f"({', '.join(map(str, self._leading))}, C)"
            raise DataError(f"TorchLatticeFilter: the values have the shape {tuple(values.shape)}; give {wanted}")
        if not values.is_floating_point():
            raise DataError(f"TorchLatticeFilter: the values are {values.dtype}; give floating point")
        result: Tensor = _Product.apply(values, self, reverse)
        return result

    def _place(self, simplices: Simplices, fine: bool) -> None:
        """Number the vertices, and lay out splat, blur and slice as weighted sums of rows."""
        shape = simplices.keys.shape
        ascending, entry = simplices.keys.flatten().sort(stable=True)
        touched, number = torch.unique_consecutive(ascending, return_inverse=True)
        present = touched
        if fine:
            neighbours = [
                touched,
                *(touched + step for step in simplices.steps),
                *(touched - step for step in simplices.steps),
            ]
            present = torch.unique(torch.cat(neighbours))
            number = torch.searchsorted(present, touched)[number]
        self._vertices = len(present)
        vertex = torch.empty_like(number).scatter_(0, entry, number)
        self._slice = (_short(vertex.view(shape)), None, simplices.weights)
        self._splat = (
            _short(entry // shape[1]),
            _short(_row_starts(number, self._vertices)),
            simplices.weights.flatten()[entry],
        )
        self._blurs = [_blur(present, step, simplices.weights.dtype) for step in simplices.steps]

    def _product(self, values: Tensor, reverse: bool) -> Tensor:
        rows = values.reshape(-1, values.shape[-1]).to(self._slice[2].dtype).contiguous()
        rows = _weighted_rows(rows, self._splat)
        for axis in reversed(self._order) if reverse else self._order:
            rows = _weighted_rows(rows, self._blurs[axis])
        return (_weighted_rows(rows, self._slice) * self._gain).to(values.dtype).reshape(values.shape)


class _Product(torch.autograd.Function):
    """K·v for autograd: linear, so that its gradient is the transposed filter, and that one's the filter."""

    @staticmethod
    def forward(values: Tensor, lattice: TorchLatticeFilter, reverse: bool) -> Tensor:
        return lattice._product(values, reverse)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, TorchLatticeFilter, bool], output: Tensor) -> None:
        _, ctx.lattice, ctx.reverse = inputs

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _Product.apply(gradient, ctx.lattice, not ctx.reverse), None, None


Sums = tuple[Tensor, Tensor | None, Tensor]
"""Rows to add up, where each sum begins (none where all are equally long), and the weights."""


def _weighted_rows(rows: Tensor, sums: Sums) -> Tensor:
    """Weighted sums of rows of (M, C). A sum of embeddings is just that, is fast on every device, and runs in fixed order."""
    index, starts, weights = sums
    return F.embedding_bag(
        index, rows, starts, mode="sum", per_sample_weights=weights, include_last_offset=starts is not None
    )


def _blur(keys: Tensor, step: Tensor, dtype: torch.dtype) -> Sums:
    """v + ½ (v of the next vertex + v of the one before) for each of the sorted keys; missing neighbours count nothing."""
    own = torch.arange(len(keys), device=keys.device)
    place = torch.searchsorted(keys, keys + step).clamp_(max=len(keys) - 1)
    found = keys[place] == keys + step
    here, following = own[found], place[found]
    row, order = torch.cat([own, here, following]).sort(stable=True)
    weights = torch.full((len(row),), 0.5, dtype=dtype, device=keys.device)
    weights[order < len(keys)] = 1.0
    return _short(torch.cat([own, following, here])[order]), _short(_row_starts(row, len(keys))), weights


def _row_starts(sorted_rows: Tensor, count: int) -> Tensor:
    """(count + 1,): where each row's entries begin, and the end of the last."""
    return torch.searchsorted(sorted_rows, torch.arange(count + 1, device=sorted_rows.device))


def _short(index: Tensor) -> Tensor:
    """int32, half of the memory to read: rows are far fewer than 2^31."""
    return index.to(torch.int32)


def _fine_gain(dimensions: int) -> float:
    """What gives the kernel the Gaussian's mass (2π)^(D/2), where no neighbour is missing.

    Two rounds multiply by 2^(2 (D+1)); a vertex stands for (D+1)^(D−½) of the embedded space, a unit being FINE_SCALE (D+1) long.
    """
    volume = 1 / math.sqrt(dimensions + 1) / math.pow(FINE_SCALE, dimensions)
    return math.pow(2 * math.pi, dimensions / 2) / volume / math.pow(4, dimensions + 1)


def _check_features(features: Tensor) -> None:
    if features.ndim not in (2, 3) or 0 in features.shape or features.dtype not in (torch.float32, torch.float64):
        raise DataError(
            f"TorchLatticeFilter: the features are {features.dtype} of shape {tuple(features.shape)}; "
            "give float32 or float64 (N, D) or (B, N, D)"
        )
    largest = float(features.detach().abs().amax())
    if not largest < 2**20:
        raise DataError(
            f"TorchLatticeFilter: the largest feature is {largest:g}; give finite features below 2^20, "
            "which are positions and colours over the kernel's widths"
        )
