"""Pascal VOC segmentation (Everingham et al. 2010), and SBD (Hariharan et al. 2011) for its split trainaug."""

from __future__ import annotations

from pathlib import Path

from segfield.classes import ClassTable, Colour
from segfield.data.files import unreadable
from segfield.data.records import FileDataset, Record
from segfield.errors import DataError

VOC_NAMES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
    "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
_SBD_PLACES = ("", "SBD", "sbd", "benchmark_RELEASE/dataset", "SBD/benchmark_RELEASE/dataset", "SBD/dataset", "dataset")
_LISTS = ("train", "val", "trainval", "test")


def voc_colour(index: int) -> Colour:
    """The official colour of a palette index: its bits, three at a time, go to R, G, B from the top bit down."""
    r = g = b = 0
    for shift in range(7, -1, -1):
        r, g, b = (r | (index & 1) << shift, g | (index >> 1 & 1) << shift, b | (index >> 2 & 1) << shift)
        index >>= 3
    return (r, g, b)


def voc_classes() -> ClassTable:
    """Background and 20 classes in the official colours; 255 is the border, ignored."""
    colours = tuple(voc_colour(i) for i in range(len(VOC_NAMES)))
    return ClassTable(VOC_NAMES, colours, ignored_colour=voc_colour(255))


def find_voc(path: Path) -> Path | None:
    """The VOC20xx folder at or below `path`; the newest year where there are several."""
    years = [*path.glob("VOC20*"), *path.glob("VOCdevkit/VOC20*")] if path.is_dir() else []
    for folder in (path, *sorted(years, key=lambda folder: folder.name, reverse=True)):
        if (folder / "JPEGImages").is_dir() and (folder / "ImageSets" / "Segmentation").is_dir():
            return folder
    return None


def open_voc(path: Path, classes: ClassTable | None = None) -> FileDataset:
    """Open VOC: splits train, val, trainval, test as far as their lists are there, and trainaug where SBD is.

    trainaug comes from `SegmentationClassAug/` with its list `trainaug.txt`, or from SBD's own folder (`cls/*.mat`,
    train.txt, val.txt) within or beside VOC: all of SBD and VOC's train without VOC's val. VOC's own mask is taken
    where an image has both, for it marks the uncertain border.

    Args:
        path: VOCdevkit, VOC2012, or the folder that holds either.
        classes: overrides the 21 official ones.

    Raises:
        DataError: if the layout or a listed image is missing.
    """
    root = find_voc(path)
    if root is None:
        raise DataError(
            f"{path}: expected VOCdevkit/VOC2012 with JPEGImages and ImageSets/Segmentation; name that folder"
        )
    splits: dict[str, list[str]] = {}
    for name in _LISTS:
        file = root / "ImageSets" / "Segmentation" / f"{name}.txt"
        if file.is_file():
            splits[name] = read_names(file)
    masks: dict[str, Path] = {}
    notes = _add_trainaug(root, splits, masks)
    records: dict[str, Record] = {}
    for split in [name for name in ("train", "val", "trainaug", "trainval", "test") if name in splits]:
        for name in splits[split]:
            if name not in records:
                records[name] = _record(root, name, split, masks.get(name))
    index = {name: i for i, name in enumerate(records)}
    indices = {split: [index[name] for name in names] for split, names in splits.items()}
    return FileDataset(list(records.values()), classes or voc_classes(), "voc", root, indices, notes)


def read_names(file: Path) -> list[str]:
    """The stems a list names: first word of each line, folders and suffix dropped."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(file, error, "list") from error
    return [Path(line.split()[0].replace("\\", "/")).stem for line in lines if line.strip()]


def _record(root: Path, name: str, split: str, augmented: Path | None) -> Record:
    image = root / "JPEGImages" / f"{name}.jpg"
    if not image.is_file() and augmented is not None:
        image = augmented.parent.parent / "img" / f"{name}.jpg"  # SBD brings images of its own
    if not image.is_file():
        raise DataError(f"{root / 'JPEGImages' / name}.jpg is in the {split} list but is not there; unpack VOC again")
    own = root / "SegmentationClass" / f"{name}.png"
    return Record(name, image, own if own.is_file() else augmented, split)


def _add_trainaug(root: Path, splits: dict[str, list[str]], masks: dict[str, Path]) -> list[str]:
    """Fill in the split trainaug and where its masks lie; says which kind was found."""
    folder = root / "SegmentationClassAug"
    if folder.is_dir():
        listed = [f for f in (root / "ImageSets" / "Segmentation", root, folder) if (f / "trainaug.txt").is_file()]
        masks.update({file.stem: file for file in folder.glob("*.png")})
        val = set(splits.get("val", ()))
        names = read_names(listed[0] / "trainaug.txt") if listed else sorted(set(masks) - val)
        splits["trainaug"] = [name for name in names if name in masks]
        return [f"trainaug: masks of {folder.name}" + ("" if listed else ", all of them that are not in val")]
    for place in (base / name for base in (root, root.parent, root.parent.parent) for name in _SBD_PLACES):
        if (place / "cls").is_dir() and (place / "train.txt").is_file():
            masks.update({file.stem: file for file in (place / "cls").glob("*.mat")})
            lists = [place / f"{part}.txt" for part in ("train", "val") if (place / f"{part}.txt").is_file()]
            sbd = {name for file in lists for name in read_names(file)} & set(masks)
            splits["trainaug"] = sorted((sbd | set(splits.get("train", ()))) - set(splits.get("val", ())))
            return [f"trainaug: masks of SBD in {place}, and VOC's own where it has them"]
    return []
