"""The Gaussian of position as a filter on the pixel grid: separable, exact but for the cut at four standard deviations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segfield.classes import Array
from segfield.crf.filters.gaussian_lines import convolve_across, convolve_line, taps
from segfield.crf.filters.simd import Width, lanes_for
from segfield.crf.threads import together, usable_threads
from segfield.errors import DataError, SettingError


class GridGaussian:
    """K·v with K_ij = exp(−Δx²/2σ_x² − Δy²/2σ_y²) on an image's pixels; symmetric, so its own transpose.

    Args:
        shape: (H, W).
        sxy: σ in pixels, or (σ_x, σ_y).
        threads: at most so many; all cores by default. The result does not depend on it.

    Raises:
        SettingError: if a bandwidth is not above 0.
    """

    def __init__(self, shape: tuple[int, int], sxy: float | Sequence[float], threads: int | None = None) -> None:
        sx, sy = (float(sigma) for sigma in np.broadcast_to(np.asarray(sxy, np.float64), (2,)))
        if not (sx > 0 and sy > 0):
            raise SettingError(f"sxy: {sxy}; give the Gaussian a bandwidth above 0 pixels")
        self.shape = shape
        self.size = shape[0] * shape[1]
        self._taps_x, self._taps_y = taps(sx, halved=False), taps(sy, halved=False)
        self._parts = min(usable_threads(threads), shape[0])

    def __call__(self, values: Array) -> Array:
        """(N, C) → K·values, (N, C) float32."""
        if values.ndim != 2 or len(values) != self.size:
            raise DataError(f"values have the shape {values.shape}; give ({self.size}, C), a row for each pixel")
        (height, width), channels = self.shape, values.shape[1]
        stride = lanes_for(channels)
        lanes, length = Width(stride), width * stride
        lines, out = np.zeros((self.size, stride), np.float32), np.empty((self.size, stride), np.float32)
        lines[:, :channels] = values
        flat, along = lines.reshape(-1), out.reshape(-1)

        def first_pass(part: int) -> None:
            for y in range(height * part // self._parts, height * (part + 1) // self._parts):
                line = flat[y * length : (y + 1) * length]
                convolve_line(line, along, y * length, width, self._taps_x, lanes, stride)

        def second_pass(part: int) -> None:
            for y in range(height * part // self._parts, height * (part + 1) // self._parts):
                convolve_across(along, y, height, length, flat, y * length, self._taps_y, lanes, stride)

        together(self._parts, first_pass)
        together(self._parts, second_pass)
        return lines[:, :channels].copy()

    transposed = __call__
