"""Stanford Background (Gould, Fulton, Koller 2009): outdoor scenes, labels as integer matrices in text files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from segfield.classes import ClassTable
from segfield.data.records import FileDataset, Record
from segfield.errors import DataError

FOLDS = 5


def stanford_classes() -> ClassTable:
    """The 8 region classes; −1 in the files is unknown, ignored."""
    names = ("sky", "tree", "road", "grass", "water", "building", "mountain", "foreground object")
    colours = (
        (128, 180, 230), (60, 120, 40), (128, 64, 128), (120, 200, 80), (40, 90, 190), (150, 70, 60), (150, 140, 120),
        (240, 150, 40),
    )  # fmt: skip
    return ClassTable(names, colours, source_values={-1: 255, **{i: i for i in range(8)}})


def find_stanford(path: Path) -> Path | None:
    """The folder iccv09Data, at or one below `path`."""
    for folder in (path, path / "iccv09Data"):
        if (folder / "images").is_dir() and next((folder / "labels").glob("*.regions.txt"), None) is not None:
            return folder
    return None


def open_stanford(path: Path, classes: ClassTable | None = None) -> FileDataset:
    """Open Stanford Background with five folds: `fold1-train`, `fold1-val` … `fold5-val`.

    A fold's val is one of five consecutive slices of the sorted names (143 of the full 715), its train the rest (572).
    The splits train and val are those of fold 1.

    Raises:
        DataError: if the layout is not there, or an image has no labels.
    """
    root = find_stanford(path)
    if root is None:
        hint = "unpack iccv09Data.tar.gz first" if any(path.glob("iccv09Data.tar.*")) else "name the folder iccv09Data"
        raise DataError(f"{path}: expected images/*.jpg and labels/*.regions.txt; {hint}")
    records = []
    for image in sorted((root / "images").glob("*.jpg")):
        mask = root / "labels" / f"{image.stem}.regions.txt"
        if not mask.is_file():
            raise DataError(f"{mask} is not there for {image.name}; unpack the data set again, or remove the image")
        records.append(Record(image.stem, image, mask, "train"))
    splits: dict[str, list[int]] = {}
    order = np.arange(len(records))
    for i, held_out in enumerate(np.array_split(order, FOLDS), 1):
        splits[f"fold{i}-train"] = np.setdiff1d(order, held_out).tolist()
        splits[f"fold{i}-val"] = held_out.tolist()
    splits = {"train": splits["fold1-train"], "val": splits["fold1-val"], **splits}
    first = set(splits["val"])
    records = [Record(r.name, r.image, r.mask, "val" if i in first else "train") for i, r in enumerate(records)]
    note = f"{FOLDS} folds of consecutive slices of the sorted names; train and val are fold 1"
    return FileDataset(records, classes or stanford_classes(), "stanford_background", root, splits, [note])
