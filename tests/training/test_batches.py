"""Batches: the same stream whatever the workers, processes and restarts; nothing left out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from segfield.classes import ClassTable
from segfield.data.augment import Augmentation
from segfield.data.augmentation import AugmentationConfig
from segfield.data.dataset import Dataset, Sample
from segfield.errors import SettingError
from segfield.training.batches import Batches, HeldBatches, TrainingItems, should_hold
from segfield.training.stream import Stream


class Numbered(Dataset):
    """Sample i is an image of value i with a random label map."""

    classes = ClassTable(("a", "b", "c"))
    splits = ("all",)

    def __init__(self, count: int) -> None:
        self.count = count

    @property
    def names(self) -> list[str]:
        return [str(i) for i in range(self.count)]

    def __getitem__(self, index: int) -> Sample:
        labels = np.random.default_rng(index).integers(0, 3, (40, 48)).astype(np.uint8)
        return Sample(str(index), np.full((3, 40, 48), index, np.uint8), labels)

    def split(self, name: str) -> Dataset:
        return self

    def describe(self) -> str:
        return "numbered"


def _batches(workers: int = 0, rank: int = 0, world: int = 1, size: int = 4, border: float = 0.0) -> Batches:
    dataset = Numbered(10)
    augmentation = Augmentation(AugmentationConfig(crop=(32, 32)), dataset.classes.ignored_id)
    items = TrainingItems(dataset, augmentation, Stream(10, seed=5), border_weight=border)
    return Batches(items, size, workers, rank, world, torch.device("cpu"))


def test_workers_and_restarts_do_not_change_batches() -> None:
    plain = list(_batches().steps(0, 5))
    with_workers = list(_batches(workers=2).steps(0, 5))
    restarted = [*_batches().steps(0, 2), *_batches().steps(2, 5)]
    for other in (with_workers, restarted):
        assert all(torch.equal(a.images, b.images) and torch.equal(a.labels, b.labels) for a, b in zip(plain, other))
    assert len(plain) == len(with_workers) == len(restarted) == 5


def test_processes_share_out_a_step() -> None:
    one = list(_batches(size=4).steps(0, 3))
    ranks = [list(_batches(rank=rank, world=2, size=2).steps(0, 3)) for rank in range(2)]
    for step in range(3):
        joined = torch.cat([ranks[0][step].images, ranks[1][step].images])
        assert torch.equal(one[step].images, joined)


def test_weight_maps_go_along() -> None:
    batch = next(_batches(border=10.0).steps(0, 1))
    assert batch.pixel_weights is not None
    assert batch.pixel_weights.shape == batch.labels.shape
    assert float(batch.pixel_weights.max()) > 1


@pytest.mark.parametrize("steps", [(0, 0), (3, 4)])
def test_counts_of_steps(steps: tuple[int, int]) -> None:
    assert len(list(_batches().steps(*steps))) == steps[1] - steps[0]


def test_a_held_data_set_gives_the_same_draws() -> None:
    host = next(_batches(size=6).steps(1, 2))
    dataset = Numbered(10)
    augmentation = Augmentation(AugmentationConfig(crop=(32, 32)), dataset.classes.ignored_id)
    items = TrainingItems(dataset, augmentation, Stream(10, seed=5))
    held = next(HeldBatches(items, 6, 0, 1, torch.device("cpu")).steps(1, 2))
    # same samples, same crops; values differ only by the interpolation where an image shrinks
    assert held.images.shape == host.images.shape
    assert (held.images.mean((1, 2, 3)) - host.images.mean((1, 2, 3))).abs().max() < 1.0
    assert (held.labels == host.labels).float().mean() > 0.7


@pytest.mark.parametrize(
    ("hold", "same_size", "weighted", "expected"),
    [("no", True, False, False), ("yes", True, False, True), ("auto", True, False, False)],
)
def test_whether_to_hold(hold: str, same_size: bool, weighted: bool, expected: bool) -> None:
    assert should_hold(hold, torch.device("cpu"), 10, same_size, weighted) is expected


@pytest.mark.parametrize(("same_size", "weighted", "word"), [(False, False, "differ in size"), (True, True, "weights")])
def test_what_cannot_be_held_is_said(same_size: bool, weighted: bool, word: str) -> None:
    with pytest.raises(SettingError, match=word):
        should_hold("yes", torch.device("cpu"), 10, same_size, weighted)
