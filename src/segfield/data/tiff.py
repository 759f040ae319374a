"""TIFF through tifffile: any number of bands, 8 to 64 bits, integers and floats; one array (C, H, W) comes out."""

from __future__ import annotations

import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from segfield.classes import Array
from segfield.data.files import unreadable
from segfield.errors import DataError

if TYPE_CHECKING:
    import tifffile

_FRAME_AXES = "ITZ"  # pages of a stack or a film; every other extra axis holds bands
_ALPHA = (1, 2)  # ExtraSamples: associated and unassociated alpha; 0 is an unspecified band, e.g. near infrared

_PILLOWS = (5, 6, 8)  # photometric: CMYK, YCbCr, CIELAB; Pillow knows how to make RGB of them


@dataclass(frozen=True)
class Bands:
    """What a TIFF holds: pixels (C, H, W), upright; colormap (3, N) uint16 where the pixels are palette indices; alpha (H, W)."""

    pixels: Array
    colormap: Array | None = None
    alpha: Array | None = None


def read_tiff(path: Path, max_pixels: int, kind: str = "image") -> Bands | None:
    """First image of a TIFF; None where Pillow decodes it better and loses nothing (LZW, JPEG, CMYK at 8 bits).

    Raises:
        DataError: if the file is damaged, has more than `max_pixels` pixels or cannot be seen as (C, H, W).
    """
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            page = series.keyframe
            _check_size(path, page.imagelength * page.imagewidth, max_pixels)
            if any(start + count > path.stat().st_size for start, count in zip(page.dataoffsets, page.databytecounts)):
                raise DataError(f"{path}: the {kind} is truncated; copy it again from where it came, or remove it")
            if page.photometric in _PILLOWS and page.bitspersample == 8:
                return None
            try:
                stack = series.asarray()
            except (ValueError, KeyError) as error:
                if "imagecodecs" not in str(error):
                    raise
                if page.samplesperpixel == 1 or page.bitspersample <= 8:
                    return None
                raise DataError(
                    f"{path}: its compression cannot be read at {page.bitspersample} bits and {page.samplesperpixel} "
                    "bands; install the package imagecodecs, or save it with deflate or no compression"
                ) from error
            bands = _upright(_bands_first(path, stack, series.axes), page)
            if page.extrasamples and page.extrasamples[-1] in _ALPHA and len(bands) in (2, 4):
                return Bands(bands[:-1], page.colormap, bands[-1])
            return Bands(bands, page.colormap)
    except (OSError, ValueError, tifffile.TiffFileError, struct.error, zlib.error, LookupError, TypeError) as error:
        raise unreadable(path, error, kind) from error


def _check_size(path: Path, pixels: int, max_pixels: int) -> None:
    if pixels > max_pixels:
        raise DataError(
            f"{path} has {pixels:,} pixels, more than the {max_pixels:,} taken as safe to decode; cut it into tiles, "
            "or pass max_pixels to read_image if you trust the file"
        )


def _bands_first(path: Path, stack: Array, axes: str) -> Array:
    """Any stack → (C, H, W): frames beyond the first are dropped."""
    for frame_axis in _FRAME_AXES:
        if frame_axis in axes:
            position = axes.index(frame_axis)
            if stack.shape[position] > 1:
                warnings.warn(f"{path} holds {stack.shape[position]} frames; the first is read", stacklevel=4)
            stack, axes = stack.take(0, axis=position), axes.replace(frame_axis, "")
    lone = [i for i, size in enumerate(stack.shape) if size == 1 and axes[i] not in "YX"]
    stack, axes = stack.squeeze(axis=tuple(lone)), "".join(a for i, a in enumerate(axes) if i not in lone)
    if stack.ndim == 2:
        return stack[None]
    if stack.ndim != 3:
        raise DataError(
            f"{path} has the shape {stack.shape} (axes {axes}); an image has bands, height and width: save one a file"
        )
    if "S" in axes or "C" in axes:
        return np.moveaxis(stack, axes.index("S" if "S" in axes else "C"), 0)
    # Axes of no stated meaning, as plain array writers leave them: bands are the fewest.
    return np.moveaxis(stack, int(np.argmin(stack.shape)), 0)


def _upright(stack: Array, page: tifffile.TiffPage) -> Array:
    """Undo the orientation tag and 'min is white'."""
    if page.photometric == 0 and stack.dtype.kind in "ub":
        stack = ~stack
    tag = page.tags.get(274)
    return orient(stack, int(tag.value) if tag is not None else 1)


def orient(stack: Array, orientation: int) -> Array:
    """Turn (C, H, W) upright by the EXIF orientation tag, 1 to 8 (TIFF 6.0, tag 274)."""
    if orientation in (5, 6, 7, 8):
        stack = stack.transpose(0, 2, 1)
    if orientation in (3, 4, 7, 8):
        stack = stack[:, ::-1]
    if orientation in (2, 3, 6, 7):
        stack = stack[:, :, ::-1]
    return stack
