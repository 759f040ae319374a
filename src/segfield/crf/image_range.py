"""Images of any depth in the units of the CRF's colour bandwidths, 0..255: which value counts as white."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from segfield.crf.arrays import as_array, as_float32, dtype_name
from segfield.errors import DataError

# Integer depths whose full range is meant. Others (floats, 32-bit integers) are judged by the values they hold.
WHITE = {"bool": 1.0, "uint8": 255.0, "uint16": 65535.0}


def check_image(image: Any) -> None:
    """Raise DataError unless `image` is (C, H, W) with at least one band and pixel, all finite."""
    if image.ndim != 3 or 0 in image.shape:
        raise DataError(f"the image has shape {tuple(image.shape)}, expected (C, H, W): bands, rows, columns")
    if "complex" in dtype_name(image):
        raise DataError(f"the image holds {dtype_name(image)} values; give its magnitude, or real and imaginary bands")


def white_value(image: Any, image_range: float | None = None) -> float:
    """The value that counts as white in `image` (C, H, W).

    `image_range` where it is given; 255 for uint8 and 65535 for uint16; for other depths 1 if all values lie in 0..1,
    255 if all lie in 0..255.

    Raises:
        DataError: if the values fit neither and `image_range` is None, or some are NaN or infinite.
    """
    depth = dtype_name(image)
    if depth in WHITE:
        return WHITE[depth] if image_range is None else image_range
    least, largest = float(image.min()), float(image.max())
    if not (math.isfinite(least) and math.isfinite(largest)):
        values = as_array(image)
        wrong = values.size - int(np.isfinite(values).sum())
        raise DataError(
            f"the image holds NaN or infinite values ({wrong:,} of {values.size:,}); fill them in before the CRF compares "
            "colours"
        )
    if image_range is not None:
        return image_range
    if least >= 0 and largest <= 1 and "float" in depth:
        return 1.0
    if least >= 0 and largest <= 255:
        return 255.0
    raise DataError(
        f"the image holds {depth} values from {least:.4g} to {largest:.4g}, and bilateral_srgb is in units of 0..255; "
        "give image_range=, the value of the image that is to count as white (or scale the image to 0..255)"
    )


def in_byte_units(image: Any, white: float) -> Any:
    """`image` with `white` at 255: 8-bit images as they are, all others as float32."""
    if white == 255.0 and dtype_name(image) == "uint8":
        return image
    image = as_float32(image)
    return image if white == 255.0 else image * (255.0 / white)


def batch_in_byte_units(images: Any, image_range: float | None, dtype: Any) -> Any:
    """A batch (B, C, H, W) of tensors, each image with its white at 255, in a float dtype; a gradient flows through.

    Raises:
        DataError: as `white_value`, for each image.
    """
    if image_range is not None:  # without a look at the values, which would wait for the device
        return images.to(dtype) * (255.0 / image_range)
    factors = [255.0 / white_value(image) for image in images.detach()]
    values = images.to(dtype)
    return values if set(factors) == {1.0} else values * values.new_tensor(factors).view(-1, 1, 1, 1)
