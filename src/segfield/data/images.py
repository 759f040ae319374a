"""Any image file → (C, H, W) in its own range, and arrays → PNG. Nothing global is touched: safe from many threads."""

from __future__ import annotations

import io
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from segfield.classes import Array
from segfield.data.files import unreadable, write_atomically
from segfield.data.tiff import Bands, read_tiff
from segfield.data.value_matching import RangeWarning
from segfield.data.value_range import check_numbers
from segfield.errors import DataError

IMAGE_SUFFIXES = frozenset(
    {
        ".png",
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".jp2",
        ".bmp",
        ".gif",
        ".tif",
        ".tiff",
        ".webp",
        ".ppm",
        ".pgm",
        ".pbm",
        ".tga",
    }
)
TIFF_SUFFIXES = (".tif", ".tiff")
MAX_PIXELS = 178_956_970  # twice Pillow's MAX_IMAGE_PIXELS, where Pillow itself refuses
_ORIENTATION = 0x0112
_VARYING_ALPHA = (
    "a TIFF's last band is marked as alpha, differs from pixel to pixel and is left out; if it is a band like the others "
    "(near infrared), write it as unspecified (ExtraSamples 0)"
)
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, LookupError, TypeError)


def read_image(path: str | Path, max_pixels: int = MAX_PIXELS) -> Array:
    """Decode an image file, upright by its EXIF tag.

    Returns:
        (C, H, W) uint8, uint16 or float32 in the file's own range. Grey has one band; palette, CMYK and RGBA become RGB
        (alpha is dropped); one-bit becomes 0 and 255; a TIFF keeps all its bands. Of an animation the first frame is
        read, with a warning.

    Raises:
        DataError: if the file is missing, empty, truncated, not an image, larger than `max_pixels`, or holds NaN.
    """
    path = Path(path)
    bands = read_tiff(path, max_pixels) if path.suffix.lower() in TIFF_SUFFIXES else None
    if bands is not None:
        if bands.alpha is not None and (bands.alpha != bands.alpha[0, 0]).any():
            warnings.warn(_VARYING_ALPHA, RangeWarning, stacklevel=2)
        return _in_range(path, _apply_colormap(bands))
    if is_16_bit_colour_png(path):
        return _read_16_bit_colour_png(path)
    with open_picture(path, max_pixels) as picture:
        pixels = np.asarray(_standard_mode(_turned(picture)))
    return _in_range(path, pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1))


@contextmanager
def open_picture(path: Path, max_pixels: int = MAX_PIXELS, kind: str = "image") -> Iterator[Image.Image]:
    """Open a file with Pillow and decode it whole; everything that can be wrong with it becomes a DataError."""
    try:
        with Image.open(path) as picture:
            if picture.width * picture.height > max_pixels:
                raise _too_large(path, picture.width * picture.height, max_pixels)
            _warn_of_frames(path, picture)
            picture.load()
            yield picture
    except Image.DecompressionBombError as error:
        found = re.search(r"\d+", str(error))
        raise _too_large(path, int(found.group()) if found else max_pixels) from error
    except _BROKEN as error:
        raise unreadable(path, error, kind) from error


def image_size(path: str | Path) -> tuple[int, int]:
    """(H, W) in pixels as `read_image` gives it, from the header alone where that is enough.

    Raises:
        DataError: if the header cannot be read.
    """
    path = Path(path)
    if path.suffix.lower() in TIFF_SUFFIXES:
        return read_image(path).shape[1:]
    try:
        with Image.open(path) as picture:
            turned = _orientation(picture) in (5, 6, 7, 8)
            return (picture.width, picture.height) if turned else (picture.height, picture.width)
    except Image.DecompressionBombError as error:
        raise _too_large(path, int(re.findall(r"\d+", str(error))[0])) from error
    except _BROKEN as error:
        raise unreadable(path, error) from error


def exif_orientation(path: str | Path) -> int:
    """The EXIF orientation tag, 1 (upright) to 8; 1 where there is none or the file cannot be read."""
    try:
        with Image.open(path) as picture:
            return _orientation(picture)
    except (*_BROKEN, Image.DecompressionBombError):
        return 1


def fit_bands(image: Array, bands: int, name: str = "") -> Array:
    """(C, H, W) → (bands, H, W), without a copy: grey is repeated for RGB, RGB of equal bands serves as grey.

    Raises:
        DataError: if the bands do not fit otherwise.
    """
    where = f"'{name}'" if name else "the image"
    if image.ndim != 3 or 0 in image.shape:
        raise DataError(f"{where} must be an array (C, H, W) with pixels; found {image.shape}")
    found = image.shape[0]
    if found == bands:
        return image
    if found == 1 and bands == 3:
        return np.broadcast_to(image, (3, *image.shape[1:]))
    if bands == 1 and found == 3 and all(np.array_equal(image[0], image[i]) for i in (1, 2)):
        return image[:1]
    raise DataError(
        f"{where} has {found} {'band' if found == 1 else 'bands'}, the segmenter wants {bands}; "
        "give images like those it is trained on, or convert them"
    )


def write_png(path: str | Path, array: Array, palette: npt.ArrayLike | None = None) -> None:
    """Write a PNG atomically.

    Args:
        path: the file; missing folders are made.
        array: (H, W) integers 0..255 or 0..65535, or (3, H, W) or (H, W, 3) uint8.
        palette: (N, 3) RGB 0..255; makes an (H, W) array of 0..255 a palette PNG.

    Raises:
        DataError: if the array has another shape or range.
        SegfieldError: if the file cannot be written.
    """
    array = np.asarray(array)
    if array.ndim == 3 and array.shape[-1] != 3 and array.shape[0] == 3:
        array = array.transpose(1, 2, 0)
    fits = array.ndim == 2 or (array.ndim == 3 and array.shape[-1] == 3)
    if not fits or array.dtype.kind not in "uib" or array.size == 0 or array.min() < 0 or array.max() > 65535:
        raise DataError(
            f"{path}: a PNG takes (H, W) whole numbers 0..65535 or (3, H, W) 0..255; "
            f"found {array.shape} {array.dtype}: convert it first"
        )
    if array.max() <= 255 and array.dtype != np.uint16:
        array = array.astype(np.uint8)
    elif array.ndim == 2 and palette is None:
        array = array.astype(np.uint16)
    else:
        raise DataError(
            f"{path}: colours and palette indices are 0..255, found {array.dtype} up to {array.max()}; convert to uint8"
        )
    picture = Image.fromarray(np.ascontiguousarray(array))
    if palette is not None:
        picture.putpalette(np.asarray(palette, dtype=np.uint8).reshape(-1).tolist())
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    write_atomically(path, stream.getvalue())


def _standard_mode(picture: Image.Image) -> Image.Image:
    """Pillow's many modes → grey (8, 16, 32 bits, float) or RGB."""
    if picture.mode in ("L", "RGB", "I", "F") or picture.mode.startswith("I;16"):
        return picture
    return picture.convert("L" if picture.mode in ("1", "LA", "La") else "RGB")


def _in_range(path: Path, bands: Array) -> Array:
    """Any numbers (C, H, W) → uint8, uint16 or float32, contiguous."""
    if bands.dtype == np.bool_:
        bands = bands.astype(np.uint8) * 255
    if bands.dtype.kind == "c":
        raise DataError(f"{path} holds complex numbers; save magnitude or phase as an image of its own")
    if bands.dtype.kind in "ui" and bands.dtype != np.uint8:
        whole = bands.size > 0 and bands.min() >= 0 and bands.max() <= 65535
        bands = bands.astype(np.uint16 if whole else np.float32)
    elif bands.dtype.kind == "f":
        check_numbers(bands, str(path))
        bands = bands.astype(np.float32)
    return np.ascontiguousarray(bands)


def _apply_colormap(bands: Bands) -> Array:
    if bands.colormap is None or bands.pixels.shape[0] != 1:
        return bands.pixels
    colours = (bands.colormap >> 8).astype(np.uint8)  # TIFF palettes are 16-bit
    return colours[:, bands.pixels[0]]


def _orientation(picture: Image.Image) -> int:
    try:
        value = picture.getexif().get(_ORIENTATION, 1)
    except (*_BROKEN,):  # a damaged EXIF block does not make the pixels unreadable
        return 1
    return int(value) if value in range(1, 9) else 1


def _turned(picture: Image.Image) -> Image.Image:
    return ImageOps.exif_transpose(picture) if _orientation(picture) != 1 else picture


def _warn_of_frames(path: Path, picture: Image.Image) -> None:
    # Phones write MPO: a photo with a second view of it, not an animation.
    if picture.format != "MPO" and getattr(picture, "is_animated", False):
        warnings.warn(f"{path} holds {getattr(picture, 'n_frames', 2)} frames; the first is read", stacklevel=5)


def is_16_bit_colour_png(path: Path) -> bool:
    """Whether Pillow would read a file at 8 bits without a word, so that it goes another way."""
    if path.suffix.lower() != ".png":
        return False
    try:
        with path.open("rb") as stream:
            head = stream.read(26)
    except OSError as error:
        raise unreadable(path, error) from error
    return head[:8] == b"\x89PNG\r\n\x1a\n" and head[24:26] in (b"\x10\x02", b"\x10\x04", b"\x10\x06")


def _read_16_bit_colour_png(path: Path) -> Array:
    import torch
    from torchvision.io import ImageReadMode, decode_png  # type: ignore[import-untyped,unused-ignore]

    try:
        bands: Array = decode_png(torch.from_numpy(np.fromfile(path, np.uint8)), ImageReadMode.UNCHANGED).numpy()
    except (OSError, RuntimeError) as error:
        raise unreadable(path, error) from error
    return np.ascontiguousarray(bands[:-1] if bands.shape[0] in (2, 4) else bands)


def _too_large(path: Path, pixels: int, allowed: int = MAX_PIXELS) -> DataError:
    return DataError(
        f"{path} has {pixels:,} pixels, more than the {min(allowed, MAX_PIXELS):,} taken as safe to decode; "
        "cut it into tiles, or save it as TIFF and pass max_pixels to read_image if you trust it"
    )
