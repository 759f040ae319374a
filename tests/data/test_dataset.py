"""Dataset, Subset and folds, on a data set that lives in memory."""

from __future__ import annotations

import numpy as np
import pytest

from segfield.classes import ClassTable
from segfield.data.dataset import Dataset, Sample, Subset, folds, unknown_split
from segfield.errors import DataError


class Numbers(Dataset):
    """Sample i is an image full of i."""

    def __init__(self, count):
        self.count = count
        self.classes = ClassTable(("a", "b"))

    @property
    def names(self):
        return [f"n{i}" for i in range(self.count)]

    @property
    def splits(self):
        return ("all",)

    def __getitem__(self, index):
        return Sample(self.names[index], np.full((1, 2, 2), index, np.uint8))

    def split(self, name):
        raise unknown_split(name, self.splits)

    def describe(self):
        return "numbers"


def test_length_and_iteration_follow_the_names():
    dataset = Numbers(4)
    assert len(dataset) == 4
    assert [int(sample.image[0, 0, 0]) for sample in dataset] == [0, 1, 2, 3]
    with pytest.raises(IndexError):
        dataset[4]


def test_a_sample_may_lack_labels():
    assert Numbers(1)[0].labels is None


def test_subset_keeps_the_given_order():
    subset = Numbers(5).subset([4, 0, 2], "odd ones")
    assert isinstance(subset, Subset)
    assert list(subset.names) == ["n4", "n0", "n2"]
    assert int(subset[0].image[0, 0, 0]) == 4
    assert subset.classes.names == ("a", "b")
    assert subset.splits == ("odd ones",)
    assert subset.split("odd ones") is subset
    assert "3 samples (odd ones) of: numbers" in subset.describe()


def test_subset_of_a_subset():
    assert list(Numbers(6).subset([5, 3, 1]).subset([2, 0]).names) == ["n1", "n5"]


def test_an_unknown_split_gets_the_near_spelling():
    with pytest.raises(DataError, match=r"split 'al'.*mean all"):
        Numbers(2).split("al")
    with pytest.raises(DataError, match="Known: subset"):
        Numbers(2).subset([0]).split("train")


@pytest.mark.parametrize(("count", "samples"), [(2, 2), (3, 10), (5, 12), (7, 7)])
def test_folds_hold_each_sample_out_once(count, samples):
    pairs = folds(Numbers(samples), count, seed=3)
    assert len(pairs) == count
    held_out = [name for _, val in pairs for name in val.names]
    assert sorted(held_out) == sorted(Numbers(samples).names)
    for train, val in pairs:
        assert set(train.names) | set(val.names) == set(held_out)
        assert not set(train.names) & set(val.names)
    sizes = [len(val) for _, val in pairs]
    assert max(sizes) - min(sizes) <= 1


def test_folds_are_stretches_of_the_list():
    assert [list(val.names) for _, val in folds(Numbers(7), 3)] == [
        ["n0", "n1", "n2"],
        ["n3", "n4"],
        ["n5", "n6"],
    ]


def test_folds_drawn_at_random_depend_on_the_seed_alone():
    first, again, other = ([list(val.names) for _, val in folds(Numbers(20), 4, seed)] for seed in (0, 0, 1))
    assert first == again
    assert first != other


@pytest.mark.parametrize("count", [0, 1, 4])
def test_folds_refuse(count):
    with pytest.raises(DataError, match="choose 2 to 3 folds"):
        folds(Numbers(3), count)
