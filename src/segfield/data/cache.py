"""Decoded samples kept in memory up to a limit, so that each file is read and decoded once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from segfield.data.dataset import Dataset, Sample, unknown_split


class CachedDataset(Dataset):
    """Another data set, whose samples stay decoded once read while they fit into `limit` bytes.

    Args:
        source: the data set.
        limit: bytes; 0 keeps nothing.
    """

    def __init__(self, source: Dataset, limit: int) -> None:
        self.source = source
        self.classes = source.classes
        self.split_name = source.split_name
        self.limit = limit
        self.used = 0
        self.kept: dict[int, Sample] = {}

    @property
    def names(self) -> Sequence[str]:
        return self.source.names

    @property
    def splits(self) -> Sequence[str]:
        return (self.split_name,)

    def __getitem__(self, index: int) -> Sample:
        sample = self.kept.get(index)
        if sample is None:
            sample = _own(self.source[index])
            size = sample.image.nbytes + (0 if sample.labels is None else sample.labels.nbytes)
            if self.used + size <= self.limit:
                self.used += size
                self.kept[index] = sample
        return sample

    def split(self, name: str) -> Dataset:
        if name != self.split_name:
            raise unknown_split(name, self.splits)
        return self

    def describe(self) -> str:
        return self.source.describe()

    def read_all(self, threads: int, on_sample: Callable[[int], None] | None = None) -> Iterator[Sample]:
        """Every sample in order, decoded by `threads` threads; what fits stays in the cache."""
        with ThreadPoolExecutor(threads) as pool:
            for index, sample in enumerate(pool.map(self.__getitem__, range(len(self)))):
                if on_sample is not None:
                    on_sample(index)
                yield sample


def _own(sample: Sample) -> Sample:
    """The sample in memory of its own: torch shares an array's memory, and warns where a decoder gave it read-only."""
    image = np.require(sample.image, requirements=("C", "W"))
    labels = None if sample.labels is None else np.require(sample.labels, requirements=("C", "W"))
    return Sample(sample.name, image, labels)
