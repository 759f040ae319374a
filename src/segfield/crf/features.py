"""What makes two pixels alike: feature vectors from positions, and from positions and colours.

Features are divided by the kernel's widths, so that every filter computes exp(−½|f_i − f_j|²) (Krähenbühl & Koltun 2011).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segfield.crf.arrays import namespace
from segfield.errors import DataError, SettingError


def position_features(shape: tuple[int, ...], sxy: float | Sequence[float]) -> NDArray[np.float32]:
    """Pixel coordinates over the kernel's width: the features of the Gaussian (smoothness) kernel.

    Args:
        shape: (H, W), or (D, H, W) for a volume.
        sxy: standard deviation in pixels; one number, or one for each axis in the order x, y[, z].

    Returns:
        (N, len(shape)) for the N pixels row by row; columns x, y[, z]: the last axis of `shape` first.

    Raises:
        SettingError: a width is not a positive number, or their count is not that of the axes.
        DataError: an axis has no pixels.
    """
    if not shape or min(shape) < 1:
        raise DataError(f"position_features: the shape {tuple(shape)} has no pixels; give (H, W) with H, W ≥ 1")
    widths = _widths("sxy", sxy, len(shape), "axes x, y[, z]")
    features = np.empty((*shape, len(shape)), dtype=np.float32)
    for column, axis in enumerate(reversed(range(len(shape)))):
        along = (np.arange(shape[axis], dtype=np.float64) / widths[column]).astype(np.float32)
        features[..., column] = along.reshape([-1 if other == axis else 1 for other in range(len(shape))])
    return features.reshape(-1, len(shape))


def bilateral_features(
    image: NDArray[np.generic], sxy: float | Sequence[float], srgb: float | Sequence[float]
) -> NDArray[np.float32]:
    """Coordinates and colours over the kernel's widths: the features of the bilateral (appearance) kernel.

    Args:
        image: (C, H, W), or (C, D, H, W) for a volume; any bands, integers or floats.
        sxy: standard deviation in pixels; one number, or one for each axis in the order x, y[, z].
        srgb: standard deviation in the image's own units (0..255 for uint8); one number, or one for each band.

    Returns:
        (N, axes + C): the columns of `position_features`, then the bands.

    Raises:
        DataError: the image is not (C, H, W), is empty, or holds NaN or infinity.
        SettingError: a width is not a positive number, or their count does not fit.
    """
    if image.ndim < 3 or image.size == 0:
        raise DataError(f"bilateral_features: the image has the shape {image.shape}; give (C, H, W) with C, H, W ≥ 1")
    colours = image.reshape(image.shape[0], -1).astype(np.float64)
    bad = colours.size - int(np.count_nonzero(np.isfinite(colours)))
    if bad:
        raise DataError(
            f"bilateral_features: {bad} values of the image are NaN or infinite; replace them before refining"
        )
    widths = _widths("srgb", srgb, image.shape[0], "bands")
    positions = position_features(image.shape[1:], sxy)
    return np.concatenate([positions, (colours / widths[:, None]).T.astype(np.float32)], axis=1)


def bilateral_features_on_device(image: Any, sxy: float | Sequence[float], srgb: float | Sequence[float]) -> Any:
    """The same of a tensor (C, H, W) of finite values, computed where it lies: (N, 2 + C) float32, on its device.

    Raises:
        SettingError: a width is not a positive number, or their count does not fit.
    """
    torch, (bands, height, width) = namespace(image), image.shape
    exact = torch.float32 if image.device.type == "mps" else torch.float64  # which Apple's GPUs lack
    across, down = _widths("sxy", sxy, 2, "axes x, y")
    widths = torch.as_tensor(_widths("srgb", srgb, bands, "bands").copy(), dtype=exact, device=image.device)
    features = torch.empty((height, width, 2 + bands), dtype=torch.float32, device=image.device)
    features[..., 0] = torch.arange(width, dtype=exact, device=image.device) / float(across)
    features[..., 1] = (torch.arange(height, dtype=exact, device=image.device) / float(down))[:, None]
    features[..., 2:] = (image.to(exact) / widths[:, None, None]).movedim(0, -1)
    return features.reshape(height * width, 2 + bands)


def _widths(name: str, given: float | Sequence[float], count: int, of_what: str) -> NDArray[np.float64]:
    """One positive width for each of `count` columns."""
    widths = np.asarray(given, dtype=np.float64)
    if widths.ndim > 1 or (widths.ndim == 1 and len(widths) != count):
        raise SettingError(f"{name}: {given!r} does not fit {count} {of_what}; give one number, or {count} of them")
    if not (np.isfinite(widths).all() and (widths > 0).all()):
        raise SettingError(f"{name}: {given!r} is not a positive width; give a number above 0")
    return np.broadcast_to(widths, (count,))
