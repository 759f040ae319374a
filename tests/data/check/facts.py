"""Small facts and data sets for the tests of check."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from segfield.classes import ClassTable
from segfield.data.check.sample import SampleFacts
from segfield.data.dataset import Dataset, Sample, unknown_split
from segfield.data.records import FileDataset, Record

CLASSES = ClassTable(("sky", "road", "car"), ((70, 130, 180), (128, 64, 128), (0, 0, 142)))


def fact(
    name: str = "a", splits: Sequence[str] = ("train",), counts: Sequence[int] | None = (5, 3, 2), **more: Any
) -> SampleFacts:
    """The facts of a healthy 2×5 RGB sample, changed by `more`."""
    given: dict[str, Any] = {
        "size": (2, 5),
        "bands": 3,
        "dtype": "uint8",
        "digest": name.encode(),
        "counts": None if counts is None else np.array(counts, dtype=np.int64),
    }
    return SampleFacts(0, name, tuple(splits), **{**given, **more})


class Memory(Dataset):
    """A data set without files: name → (split, image, labels)."""

    def __init__(
        self, samples: dict[str, tuple[str, Any, Any]], classes: ClassTable = CLASSES, split: str = "all"
    ) -> None:
        self.samples, self.classes, self.split_name = samples, classes, split

    @property
    def names(self) -> list[str]:
        return list(self.samples)

    @property
    def splits(self) -> list[str]:
        return list(dict.fromkeys(split for split, _, _ in self.samples.values()))

    def __getitem__(self, index: int) -> Sample:
        name = self.names[index]
        return Sample(name, *self.samples[name][1:])

    def split(self, name: str) -> Dataset:
        if name not in self.splits:
            raise unknown_split(name, self.splits)
        return Memory({k: v for k, v in self.samples.items() if v[0] == name}, self.classes, name)

    def describe(self) -> str:
        return f"{len(self)} samples in memory"


def picture(seed: int, height: int = 20, width: int = 30) -> np.ndarray[Any, Any]:
    """(H, W, 3) uint8 noise."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def files_dataset(
    folder: Path, masks: dict[str, Any], splits: Sequence[str] = (), classes: ClassTable = CLASSES
) -> FileDataset:
    """Images of noise with the given masks (arrays, Pillow images, or None), written as PNG."""
    records = []
    for i, (name, mask) in enumerate(masks.items()):
        image_file, mask_file = folder / "images" / f"{name}.png", folder / "masks" / f"{name}.png"
        for file in (image_file, mask_file):
            file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(i)).save(image_file)
        if mask is not None:
            (mask if isinstance(mask, Image.Image) else Image.fromarray(mask)).save(mask_file)
        split = splits[i] if splits else "train"
        records.append(Record(name, image_file, None if mask is None else mask_file, split))
    return FileDataset(records, classes, "folder", folder)


def labels(*values: int, height: int = 20, width: int = 30) -> np.ndarray[Any, Any]:
    """(H, W) uint8 in vertical stripes of the values."""
    return np.resize(np.repeat(np.array(values, dtype=np.uint8), -(-width // len(values))), (1, width)).repeat(
        height, axis=0
    )
