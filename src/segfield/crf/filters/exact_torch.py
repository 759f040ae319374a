"""The Gaussian filter summed over all N² pairs in torch: differentiable to values and to features, exactly.

Rows are summed in chunks that are computed anew in the backward pass, so memory is a chunk of pairs, not N².
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from segfield.crf.filters.exact import checked_values
from segfield.errors import DataError

CHUNK_PAIRS = 1 << 22


class ExactTorchFilter:
    """K·v by brute force on the features' device and in their precision (float64 for gradient checks).

    Args:
        features: (N, D), already divided by the kernel's widths; may require gradients.

    Raises:
        DataError: features that are not (N, D) floating numbers, or not finite.
    """

    def __init__(self, features: Tensor) -> None:
        if features.ndim != 2 or features.numel() == 0 or not features.is_floating_point():
            raise DataError(
                f"filter: the features are {features.dtype} of shape {tuple(features.shape)}; "
                "give floating numbers (N, D) with N and D of at least 1"
            )
        if not bool(torch.isfinite(features).all()):
            raise DataError("filter: some features are NaN or infinite; replace such values of the image first")
        self._features = features

    @property
    def size(self) -> int:
        """N, the number of pixels."""
        return int(self._features.shape[0])

    def __call__(self, values: Tensor) -> Tensor:
        """K·v: (N, C) → (N, C)."""
        checked_values(tuple(values.shape), self.size)
        rows = max(1, CHUNK_PAIRS // self.size)
        sums = [
            checkpoint(_row_sums, chunk, self._features, values, use_reentrant=False)
            for chunk in torch.split(self._features, rows)
        ]
        return torch.cat(sums)

    def transposed(self, values: Tensor) -> Tensor:
        """Kᵀ·v, which is K·v: the kernel is symmetric."""
        return self(values)


def _row_sums(targets: Tensor, sources: Tensor, values: Tensor) -> Tensor:
    """(R, C): Σ_j exp(−½|targets_i − sources_j|²) values_j for targets (R, D), sources (N, D), values (N, C)."""
    squared = targets.new_zeros(len(targets), len(sources))
    for target, source in zip(targets.unbind(1), sources.unbind(1)):
        squared = squared + (target[:, None] - source[None, :]) ** 2
    return torch.exp(-0.5 * squared).to(values.dtype) @ values
