"""Decoded samples kept in memory up to a limit, so that each file is read and decoded once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from segfield.classes import Array
from segfield.data.dataset import Dataset, Sample, unknown_split
from segfield.data.images import fit_bands
from segfield.errors import DataError


class CachedDataset(Dataset):
    """Another data set, whose samples stay decoded once read while they fit into `limit` bytes.

    Args:
        source: the data set.
        limit: bytes; 0 keeps nothing.

    Attributes:
        like: where given, an image (C, H, W) whose bands and dtype all samples have: grey is repeated for RGB, any other
            difference is a DataError.
    """

    def __init__(self, source: Dataset, limit: int) -> None:
        self.source = source
        self.classes = source.classes
        self.split_name = source.split_name
        self.limit = limit
        self.used = 0
        self.kept: dict[int, Sample] = {}
        self.like: Array | None = None

    def show_like(self, image: Array) -> None:
        """Give all samples the bands of `image` from now on."""
        self.like = image
        self.kept, self.used = {}, 0

    @property
    def names(self) -> Sequence[str]:
        return self.source.names

    @property
    def splits(self) -> Sequence[str]:
        return (self.split_name,)

    def __getitem__(self, index: int) -> Sample:
        sample = self.kept.get(index)
        if sample is None:
            sample = _own(self._alike(self.source[index]))
            size = sample.image.nbytes + (0 if sample.labels is None else sample.labels.nbytes)
            if self.used + size <= self.limit:
                self.used += size
                self.kept[index] = sample
        return sample

    def _alike(self, sample: Sample) -> Sample:
        if self.like is None:
            return sample
        if sample.image.dtype != self.like.dtype:
            raise DataError(
                f"image '{sample.name}' holds {sample.image.dtype}, the images trained on {self.like.dtype}; "
                "bring all images to one form"
            )
        return Sample(sample.name, fit_bands(sample.image, len(self.like), sample.name), sample.labels)

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
