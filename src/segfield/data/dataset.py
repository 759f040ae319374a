"""Sample and Dataset: what every layout on disk, and the drawn scenes, turn into."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from segfield.classes import Array, ClassTable
from segfield.errors import DataError, did_you_mean


@dataclass(frozen=True)
class Sample:
    """One image with what is known of it.

    Attributes:
        name: unique in its data set; may hold '/' where the layout has folders (Cityscapes: `aachen/aachen_000000_000019`).
        image: (C, H, W), uint8, uint16 or float32, in the file's own range.
        labels: (H, W) class ids in `ClassTable.dtype`, the ignored id where nothing is known; None without a mask.
    """

    name: str
    image: Array
    labels: Array | None = None


class Dataset(ABC):
    """Samples with classes and splits. `dataset[i]` decodes; `.split(name)` is again a data set."""

    classes: ClassTable
    split_name: str = "all"

    @property
    @abstractmethod
    def names(self) -> Sequence[str]:
        """Sample names, in order, without decoding anything."""

    @property
    @abstractmethod
    def splits(self) -> Sequence[str]:
        """Names of the splits that are there, e.g. ('train', 'val')."""

    @abstractmethod
    def __getitem__(self, index: int) -> Sample:
        """Decode sample `index`. Raises DataError with the file and its mend, IndexError past the end."""

    @abstractmethod
    def split(self, name: str) -> Dataset:
        """The samples of one split. Raises DataError naming the splits there are."""

    @abstractmethod
    def describe(self) -> str:
        """One or a few lines: layout, where, how many samples in each split, classes."""

    def subset(self, indices: Sequence[int], split_name: str = "subset") -> Dataset:
        """The samples at `indices`, in that order."""
        return Subset(self, indices, split_name)

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Sample]:
        return (self[i] for i in range(len(self)))


class Subset(Dataset):
    """Some samples of another data set, by index; made by `Dataset.subset` and `folds`."""

    def __init__(self, source: Dataset, indices: Sequence[int], split_name: str = "subset") -> None:
        self.source = source
        self.indices = [int(i) for i in indices]
        self.classes = source.classes
        self.split_name = split_name

    @property
    def names(self) -> Sequence[str]:
        return [self.source.names[i] for i in self.indices]

    @property
    def splits(self) -> Sequence[str]:
        return (self.split_name,)

    def __getitem__(self, index: int) -> Sample:
        return self.source[self.indices[index]]

    def split(self, name: str) -> Dataset:
        if name != self.split_name:
            raise unknown_split(name, self.splits)
        return self

    def describe(self) -> str:
        return f"{len(self)} samples ({self.split_name}) of: {self.source.describe()}"


def unknown_split(name: str, known: Sequence[str]) -> DataError:
    """The error for a split that is not there."""
    return DataError(f"there is no split '{name}'; {did_you_mean(name, known)}")


def stretches(count: int, parts: int) -> list[tuple[int, ...]]:
    """Positions 0 … count − 1 in so many stretches of nearly equal length, in order.

    The folds of every cross-validation here: neighbours in a list are often of one film, place or patient; drawn at random,
    nearly the same image would teach and judge.
    """
    return [tuple(part.tolist()) for part in np.array_split(np.arange(count), parts)]


def folds(dataset: Dataset, count: int, seed: int | None = None) -> list[tuple[Dataset, Dataset]]:
    """k-fold cross-validation: `count` pairs (train, val); every sample is in val exactly once.

    Args:
        dataset: labelled samples.
        count: of the folds, k.
        seed: None: each fold is a stretch of the list (`stretches`); a number draws the samples at random by it, for lists in
            which neighbours have nothing in common, or whose order goes by class.

    Raises:
        DataError: if `count` is below 2 or above the number of samples.
    """
    if not 2 <= count <= len(dataset):
        raise DataError(f"{count} folds of {len(dataset)} samples cannot be made; choose 2 to {len(dataset)} folds")
    everything = range(len(dataset))
    order = everything if seed is None else np.random.default_rng(seed).permutation(len(dataset)).tolist()
    pairs = []
    for i, part in enumerate(stretches(len(dataset), count)):
        held_out = {order[position] for position in part}
        train = dataset.subset([j for j in everything if j not in held_out], f"fold{i}-train")
        pairs.append((train, dataset.subset(sorted(held_out), f"fold{i}-val")))
    return pairs
