"""Any mask file → labels (H, W), by the class table. Values the table does not know are an error, never a guess."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from segfield.classes import Array, ClassTable, Colour
from segfield.data.images import MAX_PIXELS, TIFF_SUFFIXES, is_16_bit_colour_png, open_picture
from segfield.data.matrices import read_matlab_labels, read_text_labels
from segfield.data.tiff import read_tiff
from segfield.errors import DataError

_SHOWN = 6  # unknown values named in an error


def read_mask_values(path: str | Path | Sequence[Path], by_colour: bool = False) -> Array:
    """A mask as it stands in the file, before any class table.

    Args:
        path: an image, a .mat or .txt label map, or several masks of one object each.
        by_colour: give palette masks as colours instead of palette indices.

    Returns:
        (H, W) integers: palette index, grey value, 16-bit value; 0 and 1 for one-bit files; for several object masks
        255 where any of them is not zero, else 0. (H, W, 3) uint8 for colour masks.

    Raises:
        DataError: if a file is missing, damaged or cannot be a mask.
    """
    if not isinstance(path, (str, Path)):
        return _union(path)
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".mat":
        return _whole(path, _grey_or_colour(path, read_matlab_labels(path)))
    if suffix == ".txt":
        return read_text_labels(path)
    if suffix in TIFF_SUFFIXES:
        bands = read_tiff(path, MAX_PIXELS, "mask")
        if bands is not None:
            if bands.colormap is not None and by_colour:
                return (bands.colormap >> 8).astype(np.uint8)[:, bands.pixels[0]].transpose(1, 2, 0)
            if bands.alpha is not None:
                check_alpha(path, bands.pixels.transpose(1, 2, 0), bands.alpha)
            return _whole(path, _grey_or_colour(path, bands.pixels.transpose(1, 2, 0)))
    if is_16_bit_colour_png(path):
        raise DataError(
            f"{path}: a mask has one band of whole numbers or RGB colours of 8 bits, and this PNG has colours of 16 bits; "
            "save it with 8 bits, or its ids as one band"
        )
    with open_picture(path, kind="mask") as picture:
        pixels = np.asarray(_mask_mode(picture, by_colour))
        if pixels.ndim == 3 and pixels.shape[2] in (2, 4):
            check_alpha(path, pixels[..., :-1], pixels[..., -1])
            pixels = pixels[..., :-1]
        return _whole(path, _grey_or_colour(path, pixels))


def mask_to_labels(values: Array, classes: ClassTable, file: str | Path) -> Array:
    """Values of a mask → labels by the class table.

    Args:
        values: (H, W) integers or (H, W, 3) uint8, from `read_mask_values`.
        classes: its `value_to_id` or `colour_to_id` decides.
        file: named in errors.

    Returns:
        (H, W) ids in `classes.dtype`.

    Raises:
        DataError: with file, value, pixel count and the line that would map it, if a value is not in the table.
    """
    if values.ndim == 3:
        return _colours_to_labels(values, classes, file)
    table = classes.value_to_id()
    lowest, lookup, spare = _value_lookup(tuple(table.items()), values.dtype.str)
    inside = values
    if values.dtype not in (np.uint8, np.uint16):
        if values.size and (int(values.min()) < lowest or int(values.max()) >= lowest + lookup.size):
            raise _unknown_values(values, table, classes, file)
        inside = values.astype(np.intp) - lowest
    labels = _look_up(lookup, inside)
    if (labels == spare).any():
        raise _unknown_values(values, table, classes, file)
    return labels.astype(classes.dtype, copy=False)


def read_labels(path: str | Path | Sequence[Path], classes: ClassTable) -> Array:
    """Read a mask file as labels (H, W) in `classes.dtype`.

    Palette masks count by index, unless the table maps colours and no values.

    Raises:
        DataError: as `read_mask_values` and `mask_to_labels`.
    """
    by_colour = bool(classes.source_colours) and not classes.source_values
    file = path if isinstance(path, (str, Path)) else Path(path[0]).parent if path else "(no mask)"
    return mask_to_labels(read_mask_values(path, by_colour), classes, file)


def _mask_mode(picture: Image.Image, by_colour: bool) -> Image.Image:
    if picture.mode == "P":
        return picture.convert("RGB") if by_colour else picture
    if picture.mode in ("1", "L", "RGB", "I", "F") or picture.mode.startswith("I;16"):
        return picture
    if picture.mode in ("LA", "La"):
        return picture.convert("LA")
    return picture.convert("RGBA" if picture.mode in ("RGBA", "RGBa", "PA") else "RGB")


def check_alpha(path: Path, values: Array, alpha: Array) -> None:
    """Raises DataError where a mask's alpha tells what its other bands do not, e.g. the fourth of four classes' maps.

    It tells nothing where it is the same everywhere, or only takes out pixels of a colour that no other pixel has.

    Args:
        path: for the error.
        values: (H, W, C) without alpha.
        alpha: (H, W).
    """
    if alpha.size == 0 or (alpha == alpha[0, 0]).all():
        return
    clear = alpha == 0
    if clear.any() and (alpha[~clear] == alpha.max()).all():
        background = (values == values[clear][0]).all(axis=2)
        if np.array_equal(background, clear):
            return
    raise DataError(
        f"{path}: a mask has one band of whole numbers or RGB colours of 8 bits; this one has {values.shape[2] + 1} bands, "
        "and the last, marked as alpha, is not the same everywhere: save a band for each class as one band of ids, and "
        "colours without transparency"
    )


def _grey_or_colour(path: Path, pixels: Array) -> Array:
    if pixels.ndim != 2 and pixels.ndim != 3:
        raise DataError(f"{path} has the shape {pixels.shape}; a mask is (H, W) of ids: save it as a one-band PNG")
    if pixels.ndim == 2 or pixels.shape[2] == 1:
        return pixels.reshape(pixels.shape[:2])
    if pixels.shape[2] == 3 and pixels.dtype == np.uint8:
        return pixels
    raise DataError(
        f"{path}: a mask has one band of whole numbers or RGB colours of 8 bits; "
        f"found {pixels.shape[2]} bands of {pixels.dtype}, save it as a one-band PNG"
    )


def _whole(path: Path, values: Array) -> Array:
    """Floats that are whole numbers → int32, Booleans → uint8, other byte orders → this machine's."""
    if values.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            whole = values.astype(np.int32)
        if not np.array_equal(whole, values):
            raise DataError(
                f"{path} holds fractions or NaN, so it is not a mask of class ids; save whole numbers (PNG)"
            )
        return whole
    if values.dtype.kind == "b":
        return values.astype(np.uint8)
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _union(paths: Sequence[Path]) -> Array:
    if not paths:
        raise DataError("an image was given an empty list of object masks; give at least one file, or none at all")
    union = _covered(paths[0])
    for path in paths[1:]:
        covered = _covered(path)
        if covered.shape != union.shape:
            raise DataError(
                f"{path} is {_size(covered)} but {paths[0]} is {_size(union)}; masks of one image must agree in size"
            )
        union |= covered
    return np.where(union, np.uint8(255), np.uint8(0))


def _covered(path: Path) -> Array:
    values = read_mask_values(path)
    covered: Array = np.max(values, axis=2) if values.ndim == 3 else values
    return np.not_equal(covered, 0)


def _size(array: Array) -> str:
    return f"{array.shape[1]}×{array.shape[0]}"


@lru_cache(maxsize=32)
def _value_lookup(pairs: tuple[tuple[int, int], ...], dtype: str) -> tuple[int, Array, int]:
    """(lowest value, ids by value − lowest, the spare number that marks unknown values)."""
    kind = np.dtype(dtype)
    if kind in (np.uint8, np.uint16):
        lowest, length = 0, int(np.iinfo(kind).max) + 1
    else:
        lowest = min(value for value, _ in pairs)
        length = max(value for value, _ in pairs) - lowest + 1
    spare, lookup = _blank_lookup({target for _, target in pairs}, length)
    for value, target in pairs:
        if 0 <= value - lowest < length:
            lookup[value - lowest] = target
    return lowest, lookup, spare


@lru_cache(maxsize=4)  # 16 MB each, or 64 MB with more than 255 classes
def _colour_lookup(pairs: tuple[tuple[Colour, int], ...]) -> tuple[Array, int]:
    """Ids by packed colour r + 256 g + 65536 b, and the number that marks unknown colours."""
    spare, lookup = _blank_lookup({target for _, target in pairs}, 1 << 24)
    for (r, g, b), target in pairs:
        lookup[r | g << 8 | b << 16] = target
    return lookup, spare


def _blank_lookup(targets: set[int], length: int) -> tuple[int, Array]:
    free = set(range(256)) - targets
    if free and max(targets) <= 255 and min(targets) >= 0:
        return max(free), np.full(length, max(free), np.uint8)
    spare = min(targets) - 1
    return spare, np.full(length, spare, np.int32)


def _look_up(lookup: Array, indices: Array) -> Array:
    if indices.dtype == lookup.dtype == np.uint8 and lookup.size == 256:
        # bytes.translate needs no index array: 8 times faster than numpy's indexing on a 2-megapixel mask.
        translated = bytearray(indices.tobytes()).translate(lookup.tobytes())
        return np.frombuffer(translated, np.uint8).reshape(indices.shape)
    return np.take(lookup, indices)


def pack_colours(values: Array) -> Array:
    """(H, W, 3) uint8 → (H, W) uint32 codes r + 256 g + 65536 b."""
    packed = np.empty((*values.shape[:2], 4), np.uint8)
    packed[..., :3] = values
    packed[..., 3] = 0
    return packed.view("<u4")[..., 0]


def _colours_to_labels(values: Array, classes: ClassTable, file: str | Path) -> Array:
    table = classes.colour_to_id()
    lookup, spare = _colour_lookup(tuple(table.items()))
    labels = np.take(lookup, pack_colours(values))
    if (labels == spare).any():
        grey = values[..., 0]
        known = classes.value_to_id()
        saved_as_rgb = not classes.source_colours and bool((values == grey[..., None]).all())
        if saved_as_rgb and all(value in known for value in np.unique(grey).tolist()):
            return mask_to_labels(np.ascontiguousarray(grey), classes, file)
        raise _unknown_colours(values, table, classes, file)
    return labels.astype(classes.dtype, copy=False)


def _unknown_values(values: Array, table: Mapping[int, int], classes: ClassTable, file: str | Path) -> DataError:
    found, counts = np.unique(values, return_counts=True)
    unknown = [(int(v), int(n)) for v, n in zip(found, counts) if int(v) not in table]
    if classes.source_values or len(classes) > 20:
        line = f"add '{unknown[0][0]}: ID' to source_values"
    else:
        # An empty source_values means ids as they are; one entry alone would replace them all.
        line = f"write source_values: {{{', '.join(f'{v}: {i}' for v, i in table.items())}, {unknown[0][0]}: ID}}"
    return _unknown(file, [(str(v), n) for v, n in unknown], "value", line, classes)


def _unknown_colours(values: Array, table: Mapping[Colour, int], classes: ClassTable, file: str | Path) -> DataError:
    codes, counts = np.unique(pack_colours(values), return_counts=True)
    colours = [((int(c) & 255, int(c) >> 8 & 255, int(c) >> 16), int(n)) for c, n in zip(codes, counts)]
    unknown = sorted(((c, n) for c, n in colours if c not in table), key=lambda pair: -pair[1])
    line = f"add [[{', '.join(map(str, unknown[0][0]))}], ID] to source_colours"
    if not classes.source_colours:
        line += " beside those of the other classes, or give the masks' colours as the classes' colours"
    return _unknown(file, [(str(list(c)), n) for c, n in unknown], "colour", line, classes)


def _unknown(file: str | Path, found: list[tuple[str, int]], kind: str, line: str, classes: ClassTable) -> DataError:
    named = ", ".join(f"{value} ({count:,} pixels)" for value, count in found[:_SHOWN])
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return DataError(
        f"{file}: the mask has the {kind}{'s' if len(found) > 1 else ''} {named}{more}, which the class table "
        f"({len(classes)} classes: {', '.join(classes.names[:4])}{', …' if len(classes) > 4 else ''}) does not map; "
        f"{line} (ID: 0 to {len(classes) - 1}, or {classes.ignored_id} to ignore)"
    )
