"""What somebody wants refined: a file of labels or of probabilities → a Segmentation with probabilities."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from segfield.classes import Array, ClassTable, Colour, default_colours
from segfield.crf.unary import check_probabilities, unary_from_labels
from segfield.data.files import unreadable
from segfield.data.images import IMAGE_SUFFIXES
from segfield.data.infer_classes import MOST_VALUES, MaskScan, scan_masks
from segfield.data.masks import read_labels
from segfield.errors import DataError, SettingError
from segfield.segmentation import Segmentation

ARRAY_SUFFIXES = (".npy", ".npz")
GIVEN_SUFFIXES = frozenset({*IMAGE_SUFFIXES, *ARRAY_SUFFIXES, ".mat", ".txt"})
_COLOUR = re.compile(r"^#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})$", re.IGNORECASE)
_NO_COLOUR = (128, 128, 128)


def is_array(file: Path) -> bool:
    """Whether a file holds probabilities; others hold labels."""
    return file.suffix.lower() in ARRAY_SUFFIXES


def table_of_labels(files: Sequence[Path], unknown: str | None = None) -> ClassTable:
    """A class of each value or colour that label files hold, whatever it is, so that they can be written again alike.

    Args:
        files: PNG or other label files: palette, grey or RGB.
        unknown: the value of pixels whose class is not known: a number, 'black' or '#rrggbb'; it becomes the ignored id.

    Raises:
        DataError: if a file cannot be read, holds more than can be labels, or there is but one class.
        SettingError: if `unknown` is not understood, or no file holds it.
    """
    scans = list(scan_masks(files))
    by_colour = [scan for scan in scans if scan.values is None]
    if not by_colour:
        return _value_table(scans, unknown)
    by_value = next((scan for scan in scans if scan.values is not None), None)
    if by_value is not None:
        raise DataError(
            f"{by_colour[0].file} holds colours but {by_value.file} holds ids; save all labels in one of the two ways"
        )
    return _colour_table(scans, unknown)


def table_of_probabilities(classes: int) -> ClassTable:
    """Nameless classes 0 … K−1."""
    return ClassTable(tuple(f"class {i}" for i in range(classes)))


def read_given(
    file: Path, size: tuple[int, int], classes: ClassTable | None, confidence: float = 0.7, name: str = ""
) -> Segmentation:
    """Read labels or probabilities of an image.

    Args:
        file: a label file, or .npy or .npz of (K, H, W) or (H, W, K) probabilities.
        size: (H, W) of the image.
        classes: reads the labels; of probabilities, their classes, or None for nameless ones.
        confidence: probability that a label is right; pixels with the ignored id are equally likely of every class.
        name: of the segmentation.

    Returns:
        labels (the ignored id where unknown) and probabilities (K, H, W) float32.

    Raises:
        DataError: if the file cannot be read, does not fit the image, or holds no probabilities.
        SettingError: if the confidence is out of range.
    """
    if is_array(file):
        probabilities = _probabilities(file, size)
        table = classes or table_of_probabilities(len(probabilities))
        if len(table) != len(probabilities):
            raise DataError(
                f"{file} holds probabilities of {len(probabilities)} classes but the class table has {len(table)}; "
                "give the table they were made with"
            )
        return Segmentation(probabilities.argmax(axis=0).astype(table.dtype), table, probabilities, name)
    table = classes or table_of_labels([file])
    labels = read_labels(file, table)
    if labels.shape != size:
        raise DataError(f"{file} is {_size(labels.shape)} but its image is {_size(size)}; give labels of its size")
    probabilities = np.exp(-unary_from_labels(labels, len(table), confidence, table.ignored_id))
    return Segmentation(labels, table, probabilities, name)


def _value_table(scans: Sequence[MaskScan], unknown: str | None) -> ClassTable:
    values = frozenset[int]().union(*(scan.values or () for scan in scans))
    palette: dict[int, Colour] = {}
    for scan in scans:
        palette = {**scan.palette, **palette}
    if len(values) > MOST_VALUES:
        raise DataError(f"{scans[0].file} holds {len(values)} different values; labels have {MOST_VALUES} at most")
    ids = sorted(values - ({_unknown_value(unknown, values, palette)} if unknown is not None else set()))
    _refuse_one(len(ids), f"value {ids[0]}" if ids else "none", scans[0].file)
    ignored = 255 if len(ids) <= 255 else 65535
    names = tuple(f"class {value}" for value in ids)
    coloured = palette.keys() >= set(ids)
    sources = {value: i for i, value in enumerate(ids)} | dict.fromkeys(values - set(ids), ignored)
    colours = tuple(palette[value] for value in ids) if coloured else default_colours(names)
    ignored_colour = next((palette[value] for value in values - set(ids) if value in palette), _NO_COLOUR)
    return ClassTable(names, colours, ignored, source_values=sources, ignored_colour=ignored_colour)


def _colour_table(scans: Sequence[MaskScan], unknown: str | None) -> ClassTable:
    colours: set[Colour] = set()
    for scan in scans:
        if scan.colours is None:
            raise DataError(
                f"{scan.file} holds more than {MOST_VALUES} colours, so it is no label picture; save labels as PNG, "
                "without smoothing (JPEG blurs colours)"
            )
        colours |= scan.colours
    chosen = _unknown_colour(unknown)
    if chosen is not None and chosen not in colours:
        raise SettingError(f"no label is of the unknown colour {list(chosen)}; the labels hold {_some(colours)}")
    ordered = tuple(sorted(colours - {chosen}))
    _refuse_one(len(ordered), f"colour {list(ordered[0])}" if ordered else "none", scans[0].file)
    names = tuple(f"#{r:02x}{g:02x}{b:02x}" for r, g, b in ordered)
    ignored = 255 if len(ordered) <= 255 else 65535
    sources = {colour: i for i, colour in enumerate(ordered)} | ({chosen: ignored} if chosen else {})
    return ClassTable(names, ordered, ignored, source_colours=sources, ignored_colour=chosen or _NO_COLOUR)


def _unknown_value(unknown: str, values: frozenset[int], palette: dict[int, Colour]) -> int:
    if re.fullmatch(r"-?\d+", unknown.strip()):
        value: int | None = int(unknown)
    else:
        colour = _unknown_colour(unknown)
        drawn = {found: value for value, found in palette.items()}
        value = drawn.get(colour, 0 if colour == (0, 0, 0) and not palette else None) if colour else None
    if value not in values:
        raise SettingError(f"no label is of the unknown value {unknown}; the labels hold {_some(values)}")
    return int(value)


def _unknown_colour(unknown: str | None) -> Colour | None:
    if unknown is None:
        return None
    found = _COLOUR.match(unknown.strip())
    if found:
        return (int(found[1], 16), int(found[2], 16), int(found[3], 16))
    if unknown.strip().lower() in ("black", "0"):
        return (0, 0, 0)
    raise SettingError(f"unknown is '{unknown}'; give a value of the labels, black, or a colour as '#rrggbb'")


def _refuse_one(count: int, found: str, file: Path) -> None:
    if count < 2:
        raise DataError(
            f"{file} holds one class alone ({found}), so there is no edge to refine; give labels with two or more"
        )


def _probabilities(file: Path, size: tuple[int, int]) -> Array:
    """(K, H, W) float32 of a file, whichever way round they lie in it."""
    array = _load(file)
    if array.dtype.kind not in "fiu" or array.ndim != 3:
        raise DataError(
            f"{file} holds an array of {array.shape} {array.dtype}, where probabilities (K, H, W) are expected; "
            "labels are given as PNG, one map p of two classes as (1 − p, p)"
        )
    if array.shape[1:] != size:
        if array.shape[:2] != size:
            raise DataError(
                f"{file} holds an array of {array.shape} but its image is {size[0]}×{size[1]} (H×W); "
                "give (K, H, W) or (H, W, K) of its size"
            )
        array = array.transpose(2, 0, 1)
    probabilities = np.ascontiguousarray(array, dtype=np.float32)
    try:
        check_probabilities(probabilities)
    except DataError as error:
        raise DataError(f"{file}: {error}") from error
    if len(probabilities) < 2:
        raise DataError(f"{file} holds one class alone, so there is no edge to refine; give two or more")
    return probabilities


def _load(file: Path) -> Array:
    try:
        loaded = np.load(file, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded as archive:
            names = list(archive.files)
            if "probabilities" not in names and len(names) != 1:
                raise DataError(
                    f"{file} holds the arrays {', '.join(names) or '(none)'}; name the one to refine 'probabilities'"
                )
            array = archive["probabilities" if "probabilities" in names else names[0]]
            if isinstance(array, np.ndarray):  # what is no array comes as its bytes
                return array
            raise ValueError("no array, or a pickle")
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        if "pickle" in str(error).lower():
            raise DataError(
                f"{file} holds a pickle or no array at all, which is not opened because it can run code; "
                "save a plain array with numpy.save"
            ) from error
        raise unreadable(file, error, "array") from error


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[0]}×{shape[1]} (H×W)"


def _some(found: set[Colour] | frozenset[int], count: int = 8) -> str:
    listed = [str(list(item) if isinstance(item, tuple) else item) for item in sorted(found)]
    return ", ".join(listed[:count]) + (", …" if len(listed) > count else "")
