"""The Gaussian filter summed over all N² pairs in float64: slow, and the oracle of every other form.

(K v)_i = Σ_j exp(−½|f_i − f_j|²) v_j, the self term included (Krähenbühl & Koltun 2011, eq. 1 and the reference code).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segfield.errors import DataError

CHUNK_PAIRS = 1 << 22  # 32 MB of distances at a time


def checked_features(features: NDArray[np.floating]) -> NDArray[np.floating]:
    """The features themselves, if a filter can be built on them.

    Raises:
        DataError: they are not (N, D) with N, D ≥ 1, or hold NaN or infinity.
    """
    if features.ndim != 2 or features.size == 0:
        raise DataError(f"filter: the features have the shape {features.shape}; give (N, D) with N and D of at least 1")
    bad = int(np.count_nonzero(~np.isfinite(features).all(axis=1)))
    if bad:
        raise DataError(
            f"filter: the features of {bad} of {len(features)} pixels are NaN or infinite; "
            "replace such values of the image before filtering"
        )
    return features


def checked_values(shape: tuple[int, ...], pixels: int) -> None:
    """Refuse values that are not (N, C) for the filter's N pixels.

    Raises:
        DataError: another shape.
    """
    if len(shape) != 2 or shape[0] != pixels or shape[1] < 1:
        raise DataError(
            f"filter: the values have the shape {tuple(shape)}, the filter has {pixels} pixels; give ({pixels}, C)"
        )


class ExactFilter:
    """K·v by brute force in float64, in chunks of rows, so that memory stays bounded.

    Args:
        features: (N, D), already divided by the kernel's widths.

    Raises:
        DataError: features that are not (N, D) or not finite.
    """

    def __init__(self, features: NDArray[np.floating]) -> None:
        self._columns = np.ascontiguousarray(checked_features(features).T, dtype=np.float64)  # (D, N)

    @property
    def size(self) -> int:
        """N, the number of pixels."""
        return int(self._columns.shape[1])

    def __call__(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """K·v: (N, C) → (N, C) in float64."""
        checked_values(values.shape, self.size)
        given = np.asarray(values, dtype=np.float64)
        sums = np.empty(given.shape)
        rows = max(1, CHUNK_PAIRS // self.size)
        for begin in range(0, self.size, rows):
            sums[begin : begin + rows] = self._kernel_rows(slice(begin, begin + rows)) @ given
        return sums

    def transposed(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Kᵀ·v, which is K·v: the kernel is symmetric."""
        return self(values)

    def _kernel_rows(self, rows: slice) -> NDArray[np.float64]:
        """(rows, N) of K. Differences first, squares after: norms would cancel for features far from the origin."""
        squared = np.zeros((self._columns[:, rows].shape[1], self.size))
        for column in self._columns:
            squared += (column[rows, None] - column[None, :]) ** 2
        kernel: NDArray[np.float64] = np.exp(-0.5 * squared, out=squared)
        return kernel
