"""Tests of the cache of decoded samples: read once, within its limit, in memory that torch may share."""

from __future__ import annotations

import warnings

import numpy as np
import torch

from segfield.classes import ClassTable
from segfield.data.cache import CachedDataset
from segfield.data.dataset import Dataset, Sample


class Counted(Dataset):
    """Three samples, read-only as some decoders give them; counts how often each is read."""

    classes = ClassTable(("a", "b"))
    names = ("x", "y", "z")
    splits = ("all",)

    def __init__(self):
        self.reads = [0, 0, 0]

    def __getitem__(self, index):
        self.reads[index] += 1
        image = np.full((1, 4, 5), index, np.uint8)
        labels = np.zeros((4, 5), np.uint8)
        image.flags.writeable = labels.flags.writeable = False
        return Sample(self.names[index], image, None if index == 2 else labels)

    def split(self, name):
        return self

    def describe(self):
        return "three"


def test_a_sample_is_read_once():
    source = Counted()
    cache = CachedDataset(source, limit=10_000)
    first = [cache[i].image.copy() for i in range(3)]
    assert all(np.array_equal(cache[i].image, first[i]) for i in range(3))
    assert source.reads == [1, 1, 1]


def test_what_does_not_fit_is_read_anew():
    source = Counted()
    cache = CachedDataset(source, limit=40)  # the first sample's 20 + 20 bytes
    for _ in range(2):
        assert [int(cache[i].image[0, 0, 0]) for i in range(3)] == [0, 1, 2]
    assert source.reads == [1, 2, 2]
    assert cache.used == 40


def test_read_all_keeps_the_order_and_fills_the_cache():
    source = Counted()
    cache = CachedDataset(source, limit=10_000)
    seen = []
    assert [sample.name for sample in cache.read_all(2, seen.append)] == ["x", "y", "z"]
    assert seen == [0, 1, 2]
    assert cache[1].name == "y" and source.reads == [1, 1, 1]


def test_torch_shares_the_samples_without_a_warning():
    cache = CachedDataset(Counted(), limit=10_000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.from_numpy(cache[0].image).shape == (1, 4, 5)
        assert torch.from_numpy(cache[0].labels).shape == (4, 5)
    assert cache[0].labels.flags.writeable
    assert cache[2].labels is None
