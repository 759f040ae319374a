"""Record and FileDataset: samples that lie in files. Formats only find the files and name the classes."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from segfield.classes import ClassTable
from segfield.data.dataset import Dataset, Sample, unknown_split
from segfield.data.images import exif_orientation, read_image
from segfield.data.masks import read_labels
from segfield.errors import DataError

UNLABELLED = "unlabelled"


@dataclass(frozen=True)
class Record:
    """Where one sample lies.

    Attributes:
        name: unique in its data set.
        image: the image file.
        mask: the mask file, several of them (one an object), or None where there is none.
        split: the split the sample belongs to first of all.
    """

    name: str
    image: Path
    mask: Path | tuple[Path, ...] | None
    split: str


class FileDataset(Dataset):
    """Samples read from files when asked for.

    Args:
        records: one a sample; equal names are told apart here.
        classes: the class table of the labels that come out.
        layout: name of the format, for `describe`.
        where: the folder or list file, for `describe` and errors.
        splits: split name → indices into records; by default from the records' own splits.
        notes: what the format decided or left out, one sentence each, for `describe`.
        mask_classes: the table that reads the mask files, where it differs from `classes` in source values only.

    Raises:
        DataError: if there are no records.
    """

    def __init__(
        self,
        records: Sequence[Record],
        classes: ClassTable,
        layout: str,
        where: Path,
        splits: Mapping[str, Sequence[int]] | None = None,
        notes: Sequence[str] = (),
        mask_classes: ClassTable | None = None,
        split_name: str = "all",
    ) -> None:
        if not records and split_name == "all":
            raise DataError(f"{where}: no images were found in the {layout} layout; check the folder")
        self.records = unique_names(records)
        self.classes = classes
        self.mask_classes = classes if mask_classes is None else mask_classes
        self.layout = layout
        self.where = where
        self.notes = tuple(notes)
        self.split_name = split_name
        self._splits = {name: list(i) for name, i in (by_split(records) if splits is None else splits).items() if i}

    @property
    def names(self) -> Sequence[str]:
        return [record.name for record in self.records]

    @property
    def splits(self) -> Sequence[str]:
        return tuple(self._splits)

    def __len__(self) -> int:
        return len(self.records)

    def record(self, index: int) -> Record:
        """The files of sample `index`; nothing is read."""
        return self.records[index]

    def __getitem__(self, index: int) -> Sample:
        record = self.records[index]
        image = read_image(record.image)
        if record.mask is None:
            return Sample(record.name, image)
        labels = read_labels(record.mask, self.mask_classes)
        if labels.shape != image.shape[1:]:
            raise size_mismatch(record, image.shape[1:], labels.shape)
        return Sample(record.name, image, labels)

    def split(self, name: str) -> FileDataset:
        if name == self.split_name:
            return self
        if name not in self._splits:
            raise unknown_split(name, self.splits)
        return self.subset(self._splits[name], name)

    def subset(self, indices: Sequence[int], split_name: str = "subset") -> FileDataset:
        chosen = [self.records[int(i)] for i in indices]
        everything = {split_name: range(len(chosen))}
        return FileDataset(
            chosen, self.classes, self.layout, self.where, everything, self.notes, self.mask_classes, split_name
        )

    def describe(self) -> str:
        shown = list(self._splits.items())[:12]
        counts = ", ".join(f"{name} {len(indices)}" for name, indices in shown)
        more = f", and {len(self._splits) - 12} more splits" if len(self._splits) > 12 else ""
        names = ", ".join(self.classes.names[:20]) + (", …" if len(self.classes) > 20 else "")
        lines = [
            f"{self.layout} in {self.where}: {len(self)} samples ({counts}{more})",
            f"{len(self.classes)} classes: {names}",
            *self.notes,
        ]
        return "\n".join(lines)


def by_split(records: Sequence[Record]) -> dict[str, list[int]]:
    """Indices by the records' own splits: train, val, test first, then the others as they come."""
    splits: dict[str, list[int]] = {"train": [], "val": [], "test": []}
    for i, record in enumerate(records):
        splits.setdefault(record.split, []).append(i)
    return {name: indices for name, indices in splits.items() if indices}


def unique_names(records: Sequence[Record]) -> list[Record]:
    """Records with equal names told apart: by their split where that suffices, then by a number (`a~2`)."""
    counts = Counter(record.name for record in records)
    with_split = Counter((record.name, record.split) for record in records)
    taken: set[str] = set()
    renamed = []
    for record in records:
        name = record.name
        if counts[name] > 1 and with_split[name, record.split] < counts[name]:
            name = f"{record.split}/{name}"
        candidate, number = name, 1
        while candidate in taken or (candidate != record.name and candidate in counts):
            number += 1
            candidate = f"{name}~{number}"
        taken.add(candidate)
        renamed.append(record if candidate == record.name else dataclasses.replace(record, name=candidate))
    return renamed


def split_by_name(records: Sequence[Record], seed: int = 0, share: float = 0.2) -> list[Record]:
    """Give `share` of the labelled records to val and the rest to train.

    A hash of seed and name ranks them, so that the order of files does not matter and a new file moves few others.
    One labelled record alone stays in train.
    """

    def rank(record: Record) -> str:
        return hashlib.sha1(f"{seed}:{record.name}".encode()).hexdigest()

    labelled = sorted((record for record in records if record.mask is not None), key=rank)
    count = min(max(1, round(share * len(labelled))), len(labelled) - 1) if labelled else 0
    val = {record.name for record in labelled[:count]}
    return [
        record if record.mask is None else dataclasses.replace(record, split="val" if record.name in val else "train")
        for record in records
    ]


def size_mismatch(record: Record, image: tuple[int, ...], mask: tuple[int, ...]) -> DataError:
    """The error for an image (H, W) and a mask (H, W) that do not agree, with both files and sizes."""
    file = record.mask if isinstance(record.mask, Path) or record.mask is None else record.mask[0]
    mend = "give a mask of the image's size"
    if mask == image[::-1] and exif_orientation(record.image) in (5, 6, 7, 8):
        mend = "the image was rotated by its EXIF tag and the mask was not: rotate the mask, or remove the image's tag"
    return DataError(
        f"{record.image} is {image[1]}×{image[0]} pixels but its mask {file} is {mask[1]}×{mask[0]}; {mend}"
    )
