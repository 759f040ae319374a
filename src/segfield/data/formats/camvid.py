"""CamVid (Brostow et al. 2008) as SegNet's authors prepared it.

480×360 pixels, 11 classes, lists train.txt, val.txt and test.txt.
"""

from __future__ import annotations

from pathlib import Path

from segfield.classes import ClassTable
from segfield.data.pairs import read_pairs
from segfield.data.records import FileDataset, Record
from segfield.errors import DataError

_SPLITS = ("train", "val", "test")


def camvid_classes() -> ClassTable:
    """SegNet's 11 classes in its order and colours; 11 in the files is void, ignored."""
    names = (
        "Sky", "Building", "Pole", "Road", "Pavement", "Tree", "SignSymbol", "Fence", "Car", "Pedestrian", "Bicyclist",
    )  # fmt: skip
    colours = (
        (128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (60, 40, 222), (128, 128, 0), (192, 128, 128),
        (64, 64, 128), (64, 0, 128), (64, 64, 0), (0, 128, 192),
    )  # fmt: skip
    return ClassTable(names, colours, source_values={**{i: i for i in range(11)}, 11: 255})


def find_camvid(path: Path) -> Path | None:
    """The folder with the lists and trainannot or valannot, at or one below `path`."""
    for folder in (path, path / "CamVid", path / "SegNet" / "CamVid"):
        if any((folder / f"{split}.txt").is_file() and (folder / f"{split}annot").is_dir() for split in _SPLITS):
            return folder
    return None


def open_camvid(path: Path, classes: ClassTable | None = None) -> FileDataset:
    """Open CamVid: the splits whose lists and folders are there.

    Raises:
        DataError: if the layout is not there, or a listed file is missing from a split that is.
    """
    root = find_camvid(path)
    if root is None:
        raise DataError(
            f"{path}: expected train.txt beside train and trainannot (SegNet's CamVid); name the folder CamVid"
        )
    records, absent = [], []
    for split in _SPLITS:
        if not (root / f"{split}.txt").is_file() or not (root / split).is_dir():
            absent.append(split)
            continue
        pairs = read_pairs(root / f"{split}.txt", root)
        records += [Record(pair.image.stem, pair.image, pair.mask, split) for pair in pairs]
    notes = [f"not here: {', '.join(absent)}"] if absent else []
    return FileDataset(records, classes or camvid_classes(), "camvid", root, notes=notes)
