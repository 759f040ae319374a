"""DAVIS (Perazzi et al. 2016; Pont-Tuset et al. 2017): video sequences, every frame with the mask of its objects."""

from __future__ import annotations

from pathlib import Path

from segfield.classes import ClassTable
from segfield.data.formats.voc import voc_colour
from segfield.data.infer_classes import scan_masks
from segfield.data.pairs import read_pairs
from segfield.data.records import FileDataset, Record
from segfield.data.written import without_own
from segfield.errors import DataError, SettingError, did_you_mean

_RESOLUTIONS = ("480p", "Full-Resolution", "1080p")
_LISTS = ("train", "val", "trainval", "test-dev", "test-challenge")


def davis_classes(objects: int | None = None) -> ClassTable:
    """Background and object; or, with a number of objects (DAVIS 2017), background and each object by its index."""
    if objects is None:
        sources = {0: 0, 255: 1, **dict.fromkeys(range(1, 255), 1)}
        return ClassTable(("background", "object"), ((0, 0, 0), (128, 0, 0)), source_values=sources)
    names = ("background", *(f"object {i}" for i in range(1, objects + 1)))
    return ClassTable(names, tuple(voc_colour(i) for i in range(len(names))), ignored_colour=voc_colour(255))


def find_davis(path: Path) -> Path | None:
    """The folder with JPEGImages/480p and Annotations/480p, at or one below `path`."""
    for folder in (path, path / "DAVIS", path / "DAVIS2016", path / "DAVIS2017"):
        if _resolution(folder) is not None:
            return folder
    return None


def open_davis(path: Path, classes: ClassTable | None = None, objects: str = "one") -> FileDataset:
    """Open DAVIS: the splits of its lists, and each sequence as a split of its own; names are `sequence/00000`.

    A sequence that is named like a list (`train` in DAVIS 2016) has the split `train-sequence`.

    Args:
        path: the folder DAVIS.
        classes: overrides background and object.
        objects: 'one' takes all objects together; 'ids' keeps the indices of DAVIS 2017's palette masks.

    Raises:
        DataError: if the layout is not there, or a list names a sequence that is not.
        SettingError: if `objects` is something else.
    """
    if objects not in ("one", "ids"):
        raise SettingError(f"objects={objects} is unknown; {did_you_mean(objects, ('one', 'ids'))}")
    root = find_davis(path)
    if root is None:
        raise DataError(
            f"{path}: expected JPEGImages/480p and Annotations/480p with a folder a sequence; name the folder DAVIS"
        )
    resolution = _resolution(root) or ""
    folder = root / "JPEGImages" / resolution
    frames = without_own(sorted(folder.glob("*/*.jpg")), folder)
    by_frame = {f"{frame.parent.name}/{frame.stem}": frame for frame in frames}
    index = {name: i for i, name in enumerate(by_frame)}
    splits = _list_splits(root, resolution, index)
    home = {i: split for split in reversed(_LISTS) for i in splits.get(split, ())}
    records = [
        Record(name, frame, _mask(root, resolution, name), home.get(i, frame.parent.name))
        for i, (name, frame) in enumerate(by_frame.items())
    ]
    for i, frame in enumerate(frames):
        sequence = frame.parent.name
        splits.setdefault(f"{sequence}-sequence" if sequence in _LISTS else sequence, []).append(i)
    if classes is None:
        classes = davis_classes(_object_count(records) if objects == "ids" else None)
    return FileDataset(records, classes, "davis", root, splits, [f"frames of {resolution}"])


def _resolution(root: Path) -> str | None:
    there = [
        name
        for name in _RESOLUTIONS
        if (root / "JPEGImages" / name).is_dir() and (root / "Annotations" / name).is_dir()
    ]
    return there[0] if there else None


def _mask(root: Path, resolution: str, name: str) -> Path | None:
    mask = root / "Annotations" / resolution / f"{name}.png"
    return mask if mask.is_file() else None


def _list_splits(root: Path, resolution: str, index: dict[str, int]) -> dict[str, list[int]]:
    """Splits by the lists: pairs of frames (2016, under 480p) or names of sequences (2017, under 2016 and 2017)."""
    splits: dict[str, list[int]] = {}
    for folder in (root / "ImageSets" / name for name in (resolution, "2017", "2016")):
        for file in (folder / f"{name}.txt" for name in _LISTS):
            if file.stem not in splits and file.is_file():
                splits[file.stem] = _listed(file, root, index)
    return {name: splits[name] for name in _LISTS if name in splits}


def _listed(file: Path, root: Path, index: dict[str, int]) -> list[int]:
    lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    if any(len(line.split()) > 1 or "/" in line for line in lines):
        return [index[f"{pair.image.parent.name}/{pair.image.stem}"] for pair in read_pairs(file, root)]
    frames: dict[str, list[int]] = {}
    for name, i in index.items():
        frames.setdefault(name.split("/")[0], []).append(i)
    missing = [line for line in lines if line not in frames]
    if missing:
        raise DataError(f"{file} names the sequence {missing[0]}, which is not in JPEGImages; unpack DAVIS again")
    return [i for line in lines for i in frames[line]]


def _object_count(records: list[Record]) -> int:
    """Largest object index in the first masks of the sequences, where all objects are to be seen."""
    first: dict[str, Path] = {}
    for record in records:
        if isinstance(record.mask, Path):
            first.setdefault(record.mask.parent.name, record.mask)
    largest = max((max(scan.values or {0}) for scan in scan_masks(list(first.values()))), default=0)
    if not 1 <= largest < 255:
        raise SettingError(
            "objects=ids needs the palette masks of DAVIS 2017, but these hold 0 and 255; leave objects=one"
        )
    return largest
