"""The Gaussian of position on the pixel grid in torch: a matrix product along each axis, exact, on any device."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from segfield.errors import DataError, SettingError


class TorchGridGaussian:
    """K·v with K_ij = exp(−Δx²/2σ_x² − Δy²/2σ_y²) on an image's pixels; symmetric, so its own transpose.

    Args:
        shape: (H, W).
        sxy: σ in pixels, or (σ_x, σ_y).
        device, dtype: of the sums.

    Raises:
        SettingError: if a bandwidth is not above 0.
    """

    def __init__(
        self, shape: tuple[int, int], sxy: float | Sequence[float], device: torch.device, dtype: torch.dtype
    ) -> None:
        widths = [float(sigma) for sigma in np.broadcast_to(np.asarray(sxy, np.float64), (2,))]
        if not min(widths) > 0:
            raise SettingError(f"sxy: {sxy}; give the Gaussian a bandwidth above 0 pixels")
        self.shape = shape
        self.size = shape[0] * shape[1]
        self._along_x, self._along_y = (
            torch.exp(-0.5 * ((places[:, None] - places[None, :]) / sigma) ** 2).to(device, dtype)
            for places, sigma in (
                (torch.arange(length, dtype=torch.float64), s) for length, s in zip(shape[::-1], widths)
            )
        )

    def __call__(self, values: Tensor) -> Tensor:
        """(…, N, C) → K·values of the same shape and precision."""
        if values.ndim < 2 or values.shape[-2] != self.size:
            raise DataError(
                f"values have the shape {tuple(values.shape)}; give (…, {self.size}, C), a row for each pixel"
            )
        planes = values.to(self._along_x.dtype).reshape(-1, *self.shape, values.shape[-1])
        across = torch.einsum("xw,bhwc->bhxc", self._along_x, planes)
        return torch.einsum("yh,bhxc->byxc", self._along_y, across).reshape(values.shape).to(values.dtype)

    transposed = __call__
