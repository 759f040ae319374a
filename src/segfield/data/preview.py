"""An image of any kind as RGB that a person can look at: for overlays, galleries and the page."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from segfield.classes import Array
from segfield.errors import DataError

STRETCH = (1.0, 99.0)
"""Percentiles that become black and white."""


def preview(image: Array) -> npt.NDArray[np.uint8]:
    """(C, H, W) of any dtype → (H, W, 3) uint8.

    uint8 stays as it is. Other dtypes are stretched between their 1st and 99th percentile, all bands alike, so that
    hues stay; values that are not numbers become black, an image without contrast mid-grey. The first three bands are
    red, green and blue; with one or two bands the first is shown as grey.

    Raises:
        DataError: if the image is not (C, H, W) with at least one band.
    """
    if image.ndim != 3 or image.shape[0] < 1:
        raise DataError(f"an image is (C, H, W) with at least one band; this one is {image.shape}")
    bands = image[:3] if image.shape[0] >= 3 else np.repeat(image[:1], 3, axis=0)
    if bands.dtype != np.uint8:
        bands = _stretched(bands)
    return np.ascontiguousarray(bands.transpose(1, 2, 0))


def _stretched(bands: Array) -> npt.NDArray[np.uint8]:
    values = bands.astype(np.float32)
    known = np.isfinite(values)
    if not known.any():
        return np.zeros(bands.shape, np.uint8)
    low, high = np.percentile(values[known], STRETCH)
    if high <= low:
        low, high = values[known].min(), values[known].max()
    if high <= low:
        return np.where(known, 128, 0).astype(np.uint8)
    scaled = np.where(known, (values - low) * (255.0 / (high - low)), 0.0)
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
