"""Nuclei of the Data Science Bowl 2018 (Caicedo et al. 2019): a folder an image, a mask file a nucleus."""

from __future__ import annotations

from pathlib import Path

from segfield.classes import ClassTable
from segfield.data.images import IMAGE_SUFFIXES
from segfield.data.records import UNLABELLED, FileDataset, Record, split_by_name
from segfield.data.written import without_own
from segfield.errors import DataError, SettingError


def nuclei_classes() -> ClassTable:
    """Background and nucleus: the union of an image's mask files, however they overlap."""
    return ClassTable(("background", "nucleus"), ((0, 0, 0), (80, 160, 255)), source_values={0: 0, 255: 1})


def find_nuclei(path: Path) -> Path | None:
    """The folder whose folders hold images and masks: stage1_train, at or one below `path`."""
    return next((folder for folder in (path, path / "stage1_train") if _looks_right(folder)), None)


def open_nuclei(path: Path, classes: ClassTable | None = None, seed: str = "0") -> FileDataset:
    """Open the nuclei: 20 % of the images, drawn by `seed` and name, are val, the rest train.

    Images without masks are in the split 'unlabelled'; those of stage1_test beside stage1_train in 'test'.

    Raises:
        DataError: if the layout is not there.
    """
    root = find_nuclei(path)
    if root is None:
        raise DataError(
            f"{path}: expected ID/images/ID.png and ID/masks/*.png for each image; name the folder stage1_train"
        )
    if not seed.isdigit():
        raise SettingError(f"seed={seed} is not a whole number; write e.g. seed=0")
    records = split_by_name(_records(root, UNLABELLED), int(seed))
    test = root.parent / "stage1_test"
    if root.name == "stage1_train" and test.is_dir():
        records += _records(test, "test")
    note = f"val is 20 % of the images, drawn by name with seed {seed}; where nuclei overlap the pixel is nucleus once"
    return FileDataset(records, classes or nuclei_classes(), "nuclei", root, notes=[note])


def _looks_right(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    # The layout is the same in every folder, so the first few tell.
    below = [entry for entry in sorted(folder.iterdir())[:5] if entry.is_dir()]
    return any(_is_sample(entry) and (entry / "masks").is_dir() for entry in below)


def _is_sample(folder: Path) -> bool:
    images = _images(folder / "images")
    return len(images) == 1 and images[0].stem == folder.name


def _images(folder: Path) -> list[Path]:
    there = sorted(f for f in folder.iterdir() if f.suffix.lower() in IMAGE_SUFFIXES) if folder.is_dir() else []
    return without_own(there, folder) if len(there) > 1 else there


def _records(root: Path, split: str) -> list[Record]:
    records = []
    for folder in sorted(entry for entry in root.iterdir() if entry.is_dir()):
        if _is_sample(folder):
            masks = tuple(_images(folder / "masks"))
            records.append(Record(folder.name, _images(folder / "images")[0], masks or None, split))
    return records
