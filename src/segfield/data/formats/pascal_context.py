"""Pascal Context (Mottaghi et al. 2014): VOC 2010 images labelled whole; 459 classes, or the 59 frequent ones."""

from __future__ import annotations

from pathlib import Path

from segfield.classes import ClassTable
from segfield.data.files import unreadable
from segfield.data.formats.voc import read_names
from segfield.data.records import FileDataset, Record
from segfield.errors import DataError, SettingError, did_you_mean

VARIANTS = ("59", "59+1", "459")
_NAMES_59 = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor", "bag", "bed", "bench",
    "book", "building", "cabinet", "ceiling", "clothes", "computer", "cup", "door", "fence", "floor", "flower", "food",
    "grass", "ground", "keyboard", "light", "mountain", "mouse", "curtain", "platform", "sign", "plate", "road",
    "rock", "shelves", "sidewalk", "sky", "snow", "bedcloth", "track", "tree", "truck", "wall", "water", "window",
    "wood",
)  # fmt: skip
# The list of 59 names writes these three otherwise than labels.txt, whose ids stand in the files.
_IN_LABELS_TXT = {"diningtable": "table", "bedcloth": "bedclothes", "clothes": "cloth"}


def context_classes(labels: dict[str, int], variant: str = "59+1") -> ClassTable:
    """The class table of a variant.

    Args:
        labels: name → id in the files, of labels.txt.
        variant: '59' (all else is ignored), '59+1' (all else is background) or '459' (every id; 0 is ignored).

    Raises:
        SettingError: if the variant is unknown.
        DataError: if labels.txt lacks one of the names.
    """
    if variant not in VARIANTS:
        raise SettingError(f"Pascal Context has no variant classes={variant}; {did_you_mean(variant, VARIANTS)}")
    if variant == "459":
        ordered = sorted(labels.items(), key=lambda item: item[1])
        sources = {value: i for i, (_, value) in enumerate(ordered)}
        ignored = 255 if len(ordered) <= 255 else 65535
        return ClassTable(tuple(n for n, _ in ordered), ignored_id=ignored, source_values={**sources, 0: ignored})
    squeezed = {name.replace(" ", ""): value for name, value in labels.items()}
    spelt = {name: _IN_LABELS_TXT.get(name, name) for name in _NAMES_59}
    missing = [name for name in spelt.values() if name not in squeezed]
    if missing:
        raise DataError(
            f"labels.txt lacks {', '.join(missing)}; use the file that comes with Pascal Context (459 lines)"
        )
    names = _NAMES_59 if variant == "59" else ("background", *_NAMES_59)
    values = {squeezed[spelt[name]]: i for i, name in enumerate(names) if name in spelt}
    rest = 255 if variant == "59" else 0
    return ClassTable(names, source_values={**values, **{v: rest for v in (0, *labels.values()) if v not in values}})


def find_context(path: Path) -> Path | None:
    """The folder with trainval/*.mat and labels.txt, at or one below `path`."""
    for folder in (path, path / "pascal-context", path / "pascal_context", path / "PASCAL-Context", path / "VOC2010"):
        if (folder / "labels.txt").is_file() and next((folder / "trainval").glob("*.mat"), None) is not None:
            return folder
    return None


def open_context(path: Path, classes: ClassTable | str | None = None, voc: str = "") -> FileDataset:
    """Open Pascal Context: splits train and val by the lists of VOC 2010 (4,998 and 5,105 samples).

    Args:
        path: the folder with trainval/ and labels.txt.
        classes: '59', '59+1' (default) or '459'; or a table that overrides them.
        voc: the folder VOC2010 or VOCdevkit; looked for in and beside `path` where not given.

    Raises:
        DataError: if a part of the layout is not there.
        SettingError: if the variant is unknown.
    """
    root = find_context(path)
    if root is None:
        raise DataError(
            f"{path}: expected trainval/*.mat and labels.txt of Pascal Context; name the folder that holds both"
        )
    voc_root = _find_voc2010([Path(voc)] if voc else [root, root.parent, path])
    if voc_root is None:
        raise DataError(
            f"{voc or root}: the images and lists of VOC2010 (JPEGImages, ImageSets/Main) were not found; "
            "put VOCdevkit beside the labels, or write pascal_context:PATH?voc=FOLDER"
        )
    if not isinstance(classes, ClassTable):
        classes = context_classes(read_label_names(root / "labels.txt"), classes or "59+1")
    masks = {file.stem: file for file in (root / "trainval").glob("*.mat")}
    records = []
    for split in ("train", "val"):
        file = voc_root / "ImageSets" / "Main" / f"{split}.txt"
        for name in (name for name in read_names(file) if name in masks) if file.is_file() else ():
            records.append(Record(name, voc_root / "JPEGImages" / f"{name}.jpg", masks[name], split))
    if not records:
        raise DataError(
            f"{voc_root}: the lists ImageSets/Main/train.txt and val.txt name no sample of {root / 'trainval'}"
        )
    return FileDataset(records, classes, "pascal_context", root, notes=[f"images of {voc_root}"])


def read_label_names(file: Path) -> dict[str, int]:
    """Name → id of labels.txt, whose lines are `2: aeroplane`."""
    names = {}
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(file, error, "list of labels") from error
    for number, line in enumerate(lines, 1):
        value, colon, name = line.partition(":")
        if not line.strip():
            continue
        if not colon or not value.strip().isdigit():
            raise DataError(
                f"{file}, line {number}: '{line}' is not 'ID: name'; use the file that comes with Pascal Context"
            )
        names[name.strip()] = int(value)
    return names


def _find_voc2010(places: list[Path]) -> Path | None:
    for place in places:
        for folder in (place, place / "VOC2010", place / "VOCdevkit" / "VOC2010"):
            if (folder / "JPEGImages").is_dir() and (folder / "ImageSets" / "Main").is_dir():
                return folder
    return None
