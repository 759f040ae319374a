"""An image in the numbers a segmenter was trained on: as it is, mapped where its depth is certain, else refused.

What is mapped becomes of the kind trained on, so that everything after it is as for an image of the training set.
"""

from __future__ import annotations

import warnings

import numpy as np

from segfield.classes import Array
from segfield.data.value_range import DEPTHS, OVERSHOOT, ValueRange, check_numbers
from segfield.errors import DataError, SettingError

BRIGHTER = 4.0
"""An image of the kind trained on may reach this many times white, and is then a brighter one of the same units."""

DIM = 1 / 32
"""Floats that reach less than this share of white, and are no whole numbers, are of other units more likely than dark."""


class RangeWarning(UserWarning):
    """An image's numbers are not what they seem, or not those trained on, and what was made of them."""


def in_trained_units(image: Array, values: ValueRange, white: float | None = None, name: str = "") -> Array:
    """An image in a segmenter's own numbers.

    Args:
        image: (C, H, W) of any kind.
        values: what the segmenter was trained on.
        white: the image's value that counts as white, where the user says so; nothing is guessed then.
        name: of the image, for errors.

    Returns:
        (C, H, W) of the kind trained on; the image itself where it is that already.

    Warns:
        RangeWarning: where the image was mapped, or is brighter than what was trained on.

    Raises:
        DataError: if the image holds NaN or infinity, or its depth is not certain.
        SettingError: if `white` is no number above 0.
    """
    where = f"image '{name}'" if name else "the image"
    if image.ndim != 3 or 0 in image.shape:
        return image  # `fit_bands` says so
    if image.dtype.kind not in "buif":
        raise DataError(f"{where} holds {image.dtype}; give whole numbers or floats")
    check_numbers(image, where)
    if image.dtype == np.bool_:
        image = image.astype(np.uint8) * np.uint8(255)
    if white is not None:
        return _said(image, values, white, where)
    if image.dtype == np.uint8 and values.kind == "uint8":
        return image
    own, note = _own_white(image, values)
    if own is None:
        raise _refused(image, values, where)
    if note:
        warnings.warn(note, RangeWarning, stacklevel=3)
    return _mapped(image, values, own)


def _own_white(image: Array, values: ValueRange) -> tuple[float | None, str]:
    """(the image's own white, what is to be said); None where that is not certain."""
    low, high = float(image.min()), float(image.max())
    if _below_black(low, high, values):
        return None, ""
    if image.dtype.kind != "f":
        return _white_of_integers(str(image.dtype), high, values)
    return _white_of_floats(image, high, values)


def _below_black(low: float, high: float, values: ValueRange) -> bool:
    """Whether values lie further below black than resampling puts them, or floats of their own range differ."""
    if values.black == 0:
        return low < -OVERSHOOT * max(high, 0.0)
    return low < values.black - values.span


def _white_of_integers(kind: str, high: float, values: ValueRange) -> tuple[float | None, str]:
    plain = values.black == 0
    if kind == "uint8":
        if values.white == 255 and plain:
            return 255.0, ""
        certain = values.kind == "uint16" or (plain and values.white == 1)
        return (255.0, _scaled("uint8", 255, values)) if certain else (None, "")
    if values.kind == "uint16":
        return _white_of_the_same(high, values)
    if not plain or values.white not in (1.0, 255.0):
        own, note = _white_of_the_same(high, values)  # floats that were measured: a camera's own numbers
        return own, note or f"{kind} images are taken in the units trained on, {values}"
    if high <= 255 and values.white == 255:
        # a 16-bit file that is all but black says so; wide integers of 8-bit values are a habit of programs
        told = f"uint16 images of at most 255 are taken as 0..255, as {values.kind} trained on"
        return 255.0, told if kind == "uint16" else ""
    if high in DEPTHS or DEPTHS[-2] < high <= DEPTHS[-1]:  # saturated, or too bright for 14 bits
        depth = next(top for top in DEPTHS if high <= top)
        return float(depth), _scaled(f"{kind}", depth, values)
    return None, ""


def _white_of_floats(image: Array, high: float, values: ValueRange) -> tuple[float | None, str]:
    plain = values.black == 0
    if high <= 0 and plain:
        return values.white, ""  # black in any units
    if plain and high <= 1 + OVERSHOOT and values.white > 1 / DIM:
        # 12 bits as floats are 0..1 of 12 bits, or of 16: then they are below this
        certain = values.kind != "uint16" or values.white == 65535 or high > 1.5 * values.white / 65535
        certain = certain and (values.kind != "float32" or values.white == 255)
        return (1.0, _scaled("float", 1, values)) if certain else (None, "")
    if values.kind == "float32" and not plain and 0 < high - float(image.min()) < values.span / 400:
        return None, ""  # normalised, or an empty image
    if values.kind == "float32":
        return _white_of_the_same(high, values)
    whole = bool((image == np.rint(image)).all())
    if values.white > 255 and high <= 255 * (1 + OVERSHOOT):
        return None, ""  # 8 bits, or dark
    if whole and high <= values.white:
        return values.white, ""
    if high < DIM * values.white or high > values.white * (BRIGHTER if values.kind == "uint16" else 1 + OVERSHOOT):
        return None, ""
    return values.white, f"float images are taken as 0..{values.white:g}, rounded to the {values.kind} trained on"


def _white_of_the_same(high: float, values: ValueRange) -> tuple[float | None, str]:
    """Of the kind trained on: as it is, unless it goes far beyond."""
    reach = (high - values.black) / values.span
    if reach <= 1 + (OVERSHOOT if values.kind == "float32" else 0):
        return values.white, ""
    if reach > BRIGHTER:
        return None, ""
    return values.white, (
        f"images go beyond {values.white:g}, the largest value trained on; taken as brighter images of the same units "
        "(where they are of other units, give image_range, --image_range)"
    )


def _scaled(kind: str, white: float, values: ValueRange) -> str:
    return f"{kind} images are taken as 0..{white:g} and scaled to the {values.kind} trained on, 0..{values.white:g}"


def _mapped(image: Array, values: ValueRange, white: float) -> Array:
    """`white` becomes the white trained on, in the kind trained on."""
    factor = values.white / white
    if factor == 1 and str(image.dtype) == values.kind:
        return image
    scaled = image.astype(np.float32) if factor == 1 else image * np.float64(factor)
    if values.kind == "float32":
        return scaled.astype(np.float32)
    return np.clip(np.rint(scaled), 0, np.iinfo(values.kind).max).astype(values.kind)


def _said(image: Array, values: ValueRange, white: float, where: str) -> Array:
    if not (np.isfinite(white) and white > 0):
        raise SettingError(f"image_range is {white}; give the value that counts as white, above 0")
    factor = values.white / white
    if _below_black(float(image.min()) * factor, float(image.max()) * factor, values):
        raise _refused(image, values, where)
    return _mapped(image, values, white)


def _refused(image: Array, values: ValueRange, where: str) -> DataError:
    low, high = float(image.min()), float(image.max())
    mend = "give image_range (--image_range), the value of these images that counts as white, or the files' own numbers"
    if values.black == 0 and _below_black(low, high, values):
        mend = "undo the normalisation: give the files' own numbers, the segmenter scales them itself"
    return DataError(
        f"{where} holds {image.dtype} values from {low:.4g} to {high:.4g}, the segmenter was trained on {values}, and how "
        f"one becomes the other is not certain; {mend}"
    )
