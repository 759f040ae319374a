"""Images without masks in the stream: two views in the same place, from the seed alone, whatever the workers and processes."""

from __future__ import annotations

import dataclasses

import torch

from segfield.data.augment import Augmentation
from segfield.data.augmentation import AugmentationConfig
from segfield.data.value_range import ValueRange
from segfield.training.batches import Batches, HeldBatches, TrainingItems
from segfield.training.objective import Batch
from segfield.training.stream import Stream
from segfield.training.unlabelled_items import NO_COLOUR, UnlabelledItems, batch_count
from tests.training.test_batches import Numbered

CONFIG = AugmentationConfig(crop=(32, 32), scale=(0.5, 2.0))
VALUES = ValueRange("uint8", 255.0)


def unlabelled(count: int = 3) -> UnlabelledItems:
    return UnlabelledItems(Numbered(7), CONFIG, 255, VALUES, seed=5, count=count)


def batches(workers: int = 0, rank: int = 0, world: int = 1, size: int = 4, count: int = 3) -> Batches:
    items = TrainingItems(Numbered(10), Augmentation(CONFIG, 255), Stream(10, seed=5))
    return Batches(items, size, workers, rank, world, torch.device("cpu"), unlabelled(count))


def same(one: Batch, other: Batch) -> bool:
    assert one.unlabelled is not None and other.unlabelled is not None
    pairs = zip(vars(one.unlabelled).values(), vars(other.unlabelled).values())
    return torch.equal(one.images, other.images) and all(torch.equal(a, b) for a, b in pairs)


def test_the_weak_view_is_the_geometry_alone() -> None:
    items = unlabelled()
    item = items[4]
    image = torch.from_numpy(items.dataset[items.stream[4]].image)
    plain = Augmentation(dataclasses.replace(CONFIG, **NO_COLOUR), 255, values=VALUES)  # type: ignore[arg-type]
    assert any(torch.equal(item.weak, plain(image, image[0], seed)[0]) for seed in [_seed(items, 4)])
    assert item.weak.shape == item.strong.shape == (3, 32, 32) and item.known.shape == (32, 32)
    assert item.known.dtype == torch.bool
    # images of one value: the weak view is that value wherever the image is
    assert torch.allclose(item.weak[:, item.known], image[:, :1, 0].float())
    assert not torch.equal(items[5].weak, items[5].strong)


def _seed(items: UnlabelledItems, position: int) -> int:
    from segfield.training.stream import item_seed

    return item_seed(items.stream.seed, position)


def test_what_lies_outside_the_image_is_not_known() -> None:
    shares = [float(unlabelled()[position].known.float().mean()) for position in range(40)]
    assert min(shares) < 1 and max(shares) == 1


def test_workers_and_restarts_do_not_change_batches() -> None:
    plain = list(batches().steps(0, 4))
    for other in (list(batches(workers=2).steps(0, 4)), [*batches().steps(0, 1), *batches().steps(1, 4)]):
        assert all(same(a, b) for a, b in zip(plain, other, strict=True))


def test_those_with_masks_stay_as_they_are() -> None:
    items = TrainingItems(Numbered(10), Augmentation(CONFIG, 255), Stream(10, seed=5))
    alone = list(Batches(items, 4, 0, 0, 1, torch.device("cpu")).steps(0, 3))
    for one, other in zip(alone, batches().steps(0, 3)):
        assert torch.equal(one.images, other.images) and torch.equal(one.labels, other.labels)
        assert one.unlabelled is None


def test_processes_share_out_a_step() -> None:
    one = list(batches(size=4, count=4).steps(0, 3))
    ranks = [list(batches(rank=rank, world=2, size=2, count=2).steps(0, 3)) for rank in range(2)]
    for step in range(3):
        joined = torch.cat([rank[step].unlabelled.weak for rank in ranks])  # type: ignore[union-attr]
        assert torch.equal(one[step].unlabelled.weak, joined)  # type: ignore[union-attr]


def test_held_on_the_device_they_are_the_same_images() -> None:
    items = TrainingItems(Numbered(10), Augmentation(CONFIG, 255), Stream(10, seed=5))
    held = next(HeldBatches(items, 4, 0, 1, torch.device("cpu"), unlabelled()).steps(2, 3)).unlabelled
    host = next(batches().steps(2, 3)).unlabelled
    assert held is not None and host is not None
    assert (held.weak.mean((1, 2, 3)) - host.weak.mean((1, 2, 3))).abs().max() < 1
    assert (held.known == host.known).float().mean() > 0.9


def test_how_many() -> None:
    assert [batch_count(8, ratio) for ratio in (0.01, 0.5, 1.0, 2.0)] == [1, 4, 8, 16]
