"""The cache: decoded once, within its limit, equal to the source."""

from __future__ import annotations

import numpy as np
import pytest

from segfield.classes import ClassTable
from segfield.data.cache import CachedDataset
from segfield.data.dataset import Dataset, Sample
from segfield.errors import DataError


class Counting(Dataset):
    """Counts how often each sample is decoded."""

    classes = ClassTable(("a",))
    splits = ("all",)

    def __init__(self) -> None:
        self.decoded = [0] * 6

    @property
    def names(self) -> list[str]:
        return [str(i) for i in range(6)]

    def __getitem__(self, index: int) -> Sample:
        self.decoded[index] += 1
        image = np.full((1, 10, 10), index, np.uint8)
        image.flags.writeable = False
        return Sample(str(index), image, np.zeros((10, 10), np.uint8))

    def split(self, name: str) -> Dataset:
        return self

    def describe(self) -> str:
        return "counting"


@pytest.mark.parametrize(("limit", "expected"), [(10_000, [1] * 6), (0, [3] * 6), (450, [1, 1, 3, 3, 3, 3])])
def test_what_fits_is_decoded_once(limit: int, expected: list[int]) -> None:
    source = Counting()
    cached = CachedDataset(source, limit)
    for _ in range(3):
        assert [int(cached[i].image[0, 0, 0]) for i in range(6)] == list(range(6))
    assert source.decoded == expected


def test_read_all_is_in_order_and_fills_the_cache() -> None:
    source = Counting()
    cached = CachedDataset(source, 10_000)
    seen: list[int] = []
    assert [sample.name for sample in cached.read_all(3, seen.append)] == [str(i) for i in range(6)]
    assert seen == list(range(6))
    list(cached)
    assert source.decoded == [1] * 6


def test_shown_like_another_image() -> None:
    cached = CachedDataset(Counting(), 10_000)
    assert cached[3].image.shape == (1, 10, 10)
    cached.show_like(np.zeros((3, 5, 5), np.uint8))
    assert cached[3].image.shape == (3, 10, 10)
    assert (cached[3].image == 3).all()
    cached.show_like(np.zeros((1, 5, 5), np.uint16))
    with pytest.raises(DataError, match=r"'3' holds uint8.*uint16"):
        cached[3]
    cached.show_like(np.zeros((4, 5, 5), np.uint8))
    with pytest.raises(DataError, match="'3' has 1 band"):
        cached[3]


def test_samples_are_writable_copies_of_read_only_decodings() -> None:
    assert CachedDataset(Counting(), 0)[0].image.flags.writeable


def test_it_passes_for_its_source() -> None:
    cached = CachedDataset(Counting(), 0)
    assert cached.splits == ("all",)
    assert cached.split("all") is cached
    assert cached.describe() == "counting"
    with pytest.raises(DataError, match="no split 'train'"):
        cached.split("train")
