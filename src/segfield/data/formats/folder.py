"""A folder of images and masks in whatever arrangement people have, or a list of pairs; no code and no names needed."""

from __future__ import annotations

from pathlib import Path

from segfield.classes import ClassTable
from segfield.data.class_files import CLASS_FILES, read_class_table
from segfield.data.infer_classes import binary_classes, infer_classes
from segfield.data.pairing import SPLIT_WORDS, paired_files, words_of
from segfield.data.pairs import Pair, read_pairs
from segfield.data.records import UNLABELLED, FileDataset, Record, split_by_name
from segfield.errors import DataError, SettingError

LISTS = (".txt", ".csv", ".tsv", ".lst")


def recognise_folder(path: Path) -> bool:
    """Whether `path` is a list file, or a folder (any folder: this is the last resort)."""
    return path.is_dir() or (path.is_file() and path.suffix.lower() in LISTS)


def open_folder(path: Path, classes: ClassTable | None = None, seed: str = "0") -> FileDataset:
    """Open images and masks that lie in folders or in a list.

    * `images/` and `masks/` (or labels, annotations …), with `train`, `val`, `test` above or below them or not at all;
      `train/` beside `trainannot/`; or images and masks in one folder, told apart by `_mask` and the like.
    * a list file: an image and its mask a line; or CSV with the columns image, mask and split.
    * `train.txt`, `val.txt`, `test.txt` in the folder: names, or pairs, of the samples of each split.

    Classes come from `classes.yaml`, `classes.json` or `classes.txt` in the folder, else from the masks.

    Args:
        path: the folder, or the list file.
        classes: overrides what the folder says.
        seed: of the draw of 20 % for val, where there is no val split.

    Raises:
        DataError: if there are no images, no masks, or masks that fit no image.
    """
    if not seed.isdigit():
        raise SettingError(f"seed={seed} is not a whole number; write e.g. seed=0")
    root = path if path.is_dir() else path.parent
    records, notes = _from_list(path) if path.is_file() else _from_folder(path)
    records, split_notes = _with_val(records, int(seed))
    masks = sorted({record.mask for record in records if isinstance(record.mask, Path)})
    if classes is None:
        class_file = next((root / name for name in CLASS_FILES if (root / name).is_file()), None)
        classes = None if class_file is None else read_class_table(class_file)
    if not masks and classes is None:
        raise DataError(
            f"{path}: {len(records)} images but no masks were found; put masks of the same names into {root / 'masks'}"
        )
    table, class_notes = infer_classes(masks) if classes is None else binary_classes(classes, masks)
    return FileDataset(records, table, "folder", path, notes=[*split_notes, *class_notes, *notes])


def _from_list(path: Path) -> tuple[list[Record], list[str]]:
    pairs = read_pairs(path)
    splits = [SPLIT_WORDS.get((pair.split or "").casefold(), pair.split or "") for pair in pairs]
    return _pair_records(pairs, splits), []


def _from_folder(root: Path) -> tuple[list[Record], list[str]]:
    records, notes = paired_files(root)
    lists = [file for file in sorted(root.glob("*.txt")) if file.stem.casefold() in SPLIT_WORDS]
    if not lists:
        return records, notes
    return _from_split_lists(root, lists, records), [*notes, f"splits are those of {', '.join(f.name for f in lists)}"]


def _from_split_lists(root: Path, lists: list[Path], records: list[Record]) -> list[Record]:
    """The records that train.txt, val.txt … name, each by its name, its file name, or as a pair."""
    known = {record.name.rsplit("/", 1)[-1]: record for record in records} | {record.name: record for record in records}
    chosen = []
    for file in lists:
        split = SPLIT_WORDS[file.stem.casefold()]
        lines = [line.strip() for line in words_of(file) if line.strip()]
        named = [known.get(line) or known.get(Path(line.replace("\\", "/")).stem) for line in lines]
        if all(record is not None for record in named):
            chosen += [Record(r.name, r.image, r.mask, split) for r in named if r is not None]
        else:
            pairs = read_pairs(file, root)
            chosen += _pair_records(pairs, [split] * len(pairs))
    return chosen


def _pair_records(pairs: list[Pair], splits: list[str]) -> list[Record]:
    """Records named by what is different in the images' paths."""
    folders = [pair.image.parent.parts for pair in pairs]
    shared = 0
    while all(len(parts) > shared and parts[shared] == folders[0][shared] for parts in folders):
        shared += 1
    records = []
    for pair, split in zip(pairs, splits):
        name = Path(*pair.image.parts[shared:]).with_suffix("").as_posix()
        records.append(Record(name, pair.image, pair.mask, split or ("" if pair.mask else UNLABELLED)))
    return records


def _with_val(records: list[Record], seed: int) -> tuple[list[Record], list[str]]:
    """Where no val split was given, draw one from the samples that would be trained on."""
    present = {record.split for record in records if record.mask is not None}
    if "val" in present or not present & {"", "train"}:
        return [Record(r.name, r.image, r.mask, r.split or "train") for r in records], []
    drawn = [record for record in records if record.split in ("", "train")]
    kept = [record for record in records if record.split not in ("", "train")]
    named = [Record(r.name, r.image, r.mask, "train" if r.mask else UNLABELLED) for r in drawn]
    halves = split_by_name(named, seed)
    note = f"there is no val split, so 20 % of the samples were drawn for it (seed {seed})"
    if all(record.split != "val" for record in halves):
        note = "there is one labelled sample, so there is no val split"
    return [*halves, *kept], [note]
