"""Cityscapes (Cordts et al. 2016): leftImg8bit and gtFine, by official label ids or by train ids."""

from __future__ import annotations

from pathlib import Path

from segfield.classes import ClassTable, Colour
from segfield.data.infer_classes import scan_masks
from segfield.data.records import FileDataset, Record, by_split
from segfield.data.written import without_own
from segfield.errors import DataError

_CLASSES: tuple[tuple[int, str, Colour], ...] = (
    (7, "road", (128, 64, 128)),
    (8, "sidewalk", (244, 35, 232)),
    (11, "building", (70, 70, 70)),
    (12, "wall", (102, 102, 156)),
    (13, "fence", (190, 153, 153)),
    (17, "pole", (153, 153, 153)),
    (19, "traffic light", (250, 170, 30)),
    (20, "traffic sign", (220, 220, 0)),
    (21, "vegetation", (107, 142, 35)),
    (22, "terrain", (152, 251, 152)),
    (23, "sky", (70, 130, 180)),
    (24, "person", (220, 20, 60)),
    (25, "rider", (255, 0, 0)),
    (26, "car", (0, 0, 142)),
    (27, "truck", (0, 0, 70)),
    (28, "bus", (0, 60, 100)),
    (31, "train", (0, 80, 100)),
    (32, "motorcycle", (0, 0, 230)),
    (33, "bicycle", (119, 11, 32)),
)
_IMAGE_TAIL = "_leftImg8bit"
_MASK_TAILS = ("_labelIds.png", "_labelTrainIds.png")
_PEEKED = 8  # masks looked at to tell the two numberings apart; one street scene nearly always suffices


def cityscapes_classes() -> ClassTable:
    """The 19 evaluated classes; source values are the official label ids, all others (and −1) ignored.

    `to_source` of this table gives the ids that the benchmark server wants, whichever masks were trained on.
    """
    ids = {label_id: i for i, (label_id, _, _) in enumerate(_CLASSES)}
    sources = {value: ids.get(value, 255) for value in (*range(34), -1, 255)}
    return ClassTable(tuple(name for _, name, _ in _CLASSES), tuple(c for _, _, c in _CLASSES), source_values=sources)


def train_id_classes() -> ClassTable:
    """The table that reads masks of train ids: 0 to 18 as they are, 255 ignored."""
    table = cityscapes_classes()
    return ClassTable(table.names, table.colours)


def find_cityscapes(path: Path) -> Path | None:
    """The folder that holds leftImg8bit, at or one below `path`."""
    below = sorted(path.iterdir()) if path.is_dir() else []
    return next((folder for folder in (path, *below) if (folder / "leftImg8bit").is_dir()), None)


def open_cityscapes(path: Path, classes: ClassTable | None = None) -> FileDataset:
    """Open Cityscapes: splits train, val, test as far as they are there; names are `city/city_000000_000019`.

    Args:
        path: the folder with leftImg8bit and gtFine.
        classes: overrides the 19 official ones; its source values are those in the mask files.

    Raises:
        DataError: if the layout is not there.
    """
    root = find_cityscapes(path)
    if root is None:
        raise DataError(f"{path}: expected the folders leftImg8bit and gtFine; name the folder that holds both")
    records = [
        _record(root, image, split.name)
        for split in sorted((root / "leftImg8bit").iterdir(), key=_by_usual_order)
        if split.is_dir()
        for image in without_own(sorted(split.glob(f"*/*{_IMAGE_TAIL}.png")), split, split.parent)
    ]
    if not records:
        raise DataError(f"{root / 'leftImg8bit'}: no images SPLIT/CITY/*{_IMAGE_TAIL}.png; unpack the images there")
    train_ids, note = _numbering([record.mask for record in records if isinstance(record.mask, Path)])
    reading = classes or (train_id_classes() if train_ids else cityscapes_classes())
    return FileDataset(
        records, classes or cityscapes_classes(), "cityscapes", root, by_split(records), [note], mask_classes=reading
    )


def _by_usual_order(split: Path) -> tuple[int, str]:
    usual = ("train", "val", "test")
    return (usual.index(split.name) if split.name in usual else len(usual), split.name)


def _record(root: Path, image: Path, split: str) -> Record:
    stem = image.stem.removesuffix(_IMAGE_TAIL)
    folder = root / "gtFine" / split / image.parent.name
    masks = [folder / f"{stem}_gtFine{tail}" for tail in _MASK_TAILS]
    mask = next((file for file in masks if file.is_file()), None)
    return Record(f"{image.parent.name}/{stem}", image, mask, split)


def _numbering(masks: list[Path]) -> tuple[bool, str]:
    """Whether masks hold train ids, by what is in them; where that leaves it open, by their file names."""
    if not masks:
        return False, "no masks in gtFine: all samples are without labels"
    for scan in scan_masks(masks[:: max(1, len(masks) // _PEEKED)][:_PEEKED]):
        values = scan.values or frozenset()
        if any(18 < value < 255 for value in values):
            return False, "masks hold the official label ids (labelIds)"
        if 255 in values:
            return True, "masks hold train ids (0 to 18, 255 ignored); to_source gives the official label ids"
    named = masks[0].name.endswith(_MASK_TAILS[1])
    return named, f"masks are taken for {'train ids' if named else 'official label ids'} by their file names"
