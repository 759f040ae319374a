"""A class table from the masks themselves, where the user gave none: ids, {0, 255}, palettes or colours."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from segfield.classes import ClassTable, Colour, default_colours
from segfield.data.images import TIFF_SUFFIXES, open_picture
from segfield.data.masks import read_mask_values
from segfield.errors import DataError
from segfield.machine import usable_threads

MOST_COLOURS = 64
MOST_VALUES = 256
_TOP = (255, 65535)  # what image editors write for "yes" in a mask of two values, and others for "ignore"
_JPEG = (".jpg", ".jpeg", ".jpe", ".jfif")


@dataclass(frozen=True)
class MaskScan:
    """What one mask file holds.

    Attributes:
        file: the mask.
        values: distinct values, None for a colour mask.
        colours: distinct colours of a colour mask; None where there are more than can be classes.
        palette: index → colour of the indices in use, for palette files.
    """

    file: Path
    values: frozenset[int] | None = None
    colours: frozenset[Colour] | None = None
    palette: dict[int, Colour] = field(default_factory=dict)


def infer_classes(masks: Sequence[Path]) -> tuple[ClassTable, list[str]]:
    """Scan all masks and make the table that reads them; also the sentences that say what was decided.

    Raises:
        DataError: where the masks cannot be told into classes, with what to give instead.
    """
    scans = list(scan_masks(masks))
    if any(scan.values is None for scan in scans):
        return _from_colour_masks(scans)
    clash = _palette_clash(scans)
    if clash is not None:
        table, notes = _colour_table(scans, {c for scan in scans for c in scan.palette.values()})
        return table, [f"palettes differ between files (index {clash}), so masks are read by colour", *notes]
    table, notes = _value_table(scans)
    return table, notes


def binary_classes(classes: ClassTable, masks: Sequence[Path]) -> tuple[ClassTable, list[str]]:
    """A table of two bare names, with {0, 255} mapped to them if that is what all the masks hold; else as it was.

    Without this, 255 would count as the ignored id and the second class would never be seen.
    """
    if len(classes) != 2 or classes.source_values or classes.source_colours:
        return classes, []
    seen: set[int] = set()
    for scan in scan_masks(masks):
        values = scan.values if scan.values is not None else _as_greys(scan)
        seen |= values or {-1}
        if not seen <= {0, 255}:
            return classes, []
    if 255 not in seen:
        return classes, []
    return _with_sources(classes, {0: 0, 255: 1}), [
        f"masks hold 0 and 255: 0 is {classes.names[0]}, 255 is {classes.names[1]}"
    ]


def scan_masks(masks: Sequence[Path]) -> Iterator[MaskScan]:
    """Scan masks in their order, several at a time."""
    workers = min(8, usable_threads())
    with ThreadPoolExecutor(workers) as pool:
        rest = iter(masks)
        # In batches: a caller that stops early must not wait for the whole data set.
        while batch := list(islice(rest, 4 * workers)):
            yield from pool.map(scan_mask, batch)


def scan_mask(path: Path) -> MaskScan:
    """Distinct values or colours of one mask file. Raises DataError if it cannot be read."""
    if path.suffix.lower() not in (*TIFF_SUFFIXES, ".mat", ".txt"):
        with open_picture(path, kind="mask") as picture:
            if picture.mode == "P":
                used = [int(i) for i in np.flatnonzero(picture.histogram())]
                colours = np.array(picture.getpalette("RGB") or [], np.uint8).reshape(-1, 3).tolist()
                palette = {i: (r, g, b) for i, (r, g, b) in enumerate(colours) if i in used}
                return MaskScan(path, values=frozenset(used), palette=palette)
    values = read_mask_values(path)
    if values.ndim == 3:
        found = Image.fromarray(values).getcolors(MOST_VALUES)
        if found is None:
            return MaskScan(path)
        return MaskScan(path, colours=frozenset((c[0], c[1], c[2]) for _, c in found if isinstance(c, tuple)))
    if values.dtype in (np.uint8, np.uint16):
        return MaskScan(path, values=frozenset(np.flatnonzero(np.bincount(values.ravel())).tolist()))
    return MaskScan(path, values=frozenset(np.unique(values).tolist()))


def _from_colour_masks(scans: Sequence[MaskScan]) -> tuple[ClassTable, list[str]]:
    too_many = next((scan for scan in scans if scan.values is None and scan.colours is None), None)
    if too_many is not None:
        raise _too_many_colours(too_many.file, f"more than {MOST_VALUES}")
    if all(scan.values is not None or _as_greys(scan) is not None for scan in scans):
        greys = [dataclasses.replace(scan, values=scan.values or _as_greys(scan)) for scan in scans]
        table, notes = _value_table(greys)
        return _with_sources(table, table.value_to_id()), [
            "masks are greys saved as RGB",
            *notes,
        ]
    grey = next((scan for scan in scans if scan.values is not None and not scan.palette), None)
    if grey is not None:
        colour = next(scan for scan in scans if scan.values is None)
        raise DataError(
            f"{colour.file} is a colour mask but {grey.file} holds ids; save all masks in one of the two ways"
        )
    return _colour_table(scans, {c for scan in scans for c in (scan.colours or scan.palette.values())})


def _colour_table(scans: Sequence[MaskScan], colours: set[Colour]) -> tuple[ClassTable, list[str]]:
    if len(colours) > MOST_COLOURS:
        raise _too_many_colours(scans[0].file, str(len(colours)))
    ordered = tuple(sorted(colours))
    names = tuple(f"#{r:02x}{g:02x}{b:02x}" for r, g, b in ordered)
    table = ClassTable(names, ordered, source_colours={colour: i for i, colour in enumerate(ordered)})
    return table, [
        f"masks hold {len(ordered)} colours, each taken for a class; name them in classes.txt (name R G B a line)"
    ]


def _value_table(scans: Sequence[MaskScan]) -> tuple[ClassTable, list[str]]:
    values = frozenset[int]().union(*(scan.values or frozenset() for scan in scans))
    if len(values) > MOST_VALUES or (
        len(values) > MOST_COLOURS and any(scan.file.suffix.lower() in _JPEG for scan in scans)
    ):
        cause = (
            "JPEG blurs mask values"
            if scans[0].file.suffix.lower() in _JPEG
            else "that looks like an image or object numbers"
        )
        raise DataError(
            f"{scans[0].file.parent}: the masks hold {len(values)} different values and {cause}; "
            "give masks of class ids (PNG), or a class table with source_values"
        )
    top = next((value for value in _TOP if value in values), None)
    if top is not None and (values <= {0, top} or _blurred_between(scans, values, top)):
        table = ClassTable(("background", "foreground"), source_values={0: 0, top: 1})
        return table, [f"masks hold 0 and {top}: 0 is taken for background, {top} for foreground"]
    ignored = sorted(value for value in values if value in _TOP or value < 0)
    ids = sorted(values - set(ignored))
    notes = [f"mask value {value} is ignored" for value in ignored]
    if ids == [0, 1]:
        return _with_ignored(("background", "foreground"), ids, ignored, ()), notes
    names = tuple(f"class {value}" for value in ids)
    colours = _palette_colours(scans, ids, names)
    notes.append(f"class names were not given: {len(ids)} values found in the masks; name them in classes.txt")
    return _with_ignored(names, ids, ignored, colours), notes


def _blurred_between(scans: Sequence[MaskScan], values: frozenset[int], top: int) -> bool:
    """Whether masks hold two values but for a few that were resized with interpolation, which no class table can read.

    Those few are then errors that name the file, where a class for every grey in them would hide the fault.
    """
    between = values - {0, top}
    clean = sum(scan.values is not None and scan.values <= {0, top} for scan in scans)
    return len(between) >= 8 and max(between) > top // 2 and 2 * clean > len(scans)


def _with_ignored(
    names: tuple[str, ...], ids: Sequence[int], ignored: Sequence[int], colours: tuple[Colour, ...]
) -> ClassTable:
    if list(ids) == list(range(len(ids))) and set(ignored) <= {255}:
        return ClassTable(names, colours)
    sources = {value: i for i, value in enumerate(ids)} | dict.fromkeys(ignored, 255)
    return ClassTable(names, colours, source_values=sources)


def _palette_colours(scans: Sequence[MaskScan], ids: Sequence[int], names: Sequence[str]) -> tuple[Colour, ...]:
    """The palette's own colours, if it has one for each id and no two alike; else the default ones."""
    palette: dict[int, Colour] = {}
    for scan in scans:
        palette.update(scan.palette)
    colours = tuple(palette[i] for i in ids if i in palette)
    return colours if len(set(colours)) == len(ids) else default_colours(names)


def _palette_clash(scans: Iterable[MaskScan]) -> int | None:
    """An index that stands for different colours in different files, if all files have palettes."""
    palette: dict[int, Colour] = {}
    clash = None
    for scan in scans:
        if not scan.palette:
            return None
        for index, colour in scan.palette.items():
            if palette.setdefault(index, colour) != colour:
                clash = index
    return clash


def _as_greys(scan: MaskScan) -> frozenset[int] | None:
    if scan.colours is None or not all(r == g == b for r, g, b in scan.colours):
        return None
    return frozenset(r for r, _, _ in scan.colours)


def _with_sources(table: ClassTable, values: dict[int, int]) -> ClassTable:
    """The table with these mask values, whether they stand there as greys or as colours of three equal bands."""
    greys: dict[Colour, int] = {(v, v, v): i for v, i in values.items() if 0 <= v <= 255}
    return dataclasses.replace(table, source_values=values, source_colours=greys)


def _too_many_colours(file: Path, count: str) -> DataError:
    cause = "; JPEG blurs colours, so save masks as PNG" if file.suffix.lower() in _JPEG else ""
    return DataError(
        f"{file}: the masks hold {count} colours, too many to be taken for classes{cause}; "
        "write classes.txt with a name and its colour R G B on each line"
    )
