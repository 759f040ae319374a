"""Training batches. What stands at a position of the endless stream follows from the seed alone: not from workers or restarts."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, get_worker_info
from torch.utils.data import Dataset as TorchDataset

from segfield.classes import Array
from segfield.data.augment import Augmentation
from segfield.data.dataset import Dataset
from segfield.errors import DataError, SegfieldError, SettingError
from segfield.losses.weight_map import border_weight_map
from segfield.training.objective import Batch, Unlabelled
from segfield.training.passing import Passed, came_by_pipe, received, sent, size_of, too_little
from segfield.training.stream import Stream, item_seed
from segfield.training.unlabelled_items import UnlabelledItem, UnlabelledItems
from segfield.training.workers import TIMEOUT, begin, born_shielded, faults_in_words

Item = tuple[Tensor, Tensor, Tensor | None]


class TrainingItems(TorchDataset[Item]):
    """Position in the stream → augmented image, labels and, where asked for, weights.

    Args:
        dataset: labelled samples.
        augmentation: the random changes.
        stream: which sample stands at which position.
        border_weight, border_sigma: of U-Net's weight map; 0 leaves it out.
    """

    def __init__(
        self,
        dataset: Dataset,
        augmentation: Augmentation,
        stream: Stream,
        border_weight: float = 0.0,
        border_sigma: float = 5.0,
    ) -> None:
        self.dataset = dataset
        self.augmentation = augmentation
        self.stream = stream
        self.border = (border_weight, border_sigma)
        self._weight_maps: dict[int, Tensor] = {}

    def __getitem__(self, position: int) -> Item:
        index = self.stream[position]
        sample = self.dataset[index]
        labels = torch.from_numpy(np.ascontiguousarray(sample.labels))
        seed = item_seed(self.stream.seed, position)
        image = torch.from_numpy(np.ascontiguousarray(sample.image))
        if not self.border[0]:
            changed, changed_labels = self.augmentation(image, labels, seed)
            return changed, changed_labels, None
        return self.augmentation(image, labels, seed, self._weight_map(index, sample.labels))

    def _weight_map(self, index: int, labels: Array | None) -> Tensor:
        if labels is None:
            raise DataError(f"sample '{self.dataset.names[index]}' has no labels to make border weights of")
        if index not in self._weight_maps:
            weights = border_weight_map(
                labels, self.dataset.classes.ignored_id, w0=self.border[0], sigma=self.border[1]
            )
            self._weight_maps[index] = torch.from_numpy(weights)
        return self._weight_maps[index]


class _Positions:
    """Batches of positions for a DataLoader; moved on each epoch, so that workers stay alive."""

    def __init__(self) -> None:
        self.batches: Sequence[list[int]] = ()

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


class _Told(TorchDataset["Item | UnlabelledItem | SegfieldError"]):
    """The items; what is wrong with one comes in its place, so that it reaches the run as it is, not as a worker's traceback.

    Position p of those without a mask is −1 − p.
    """

    def __init__(self, items: TrainingItems, unlabelled: UnlabelledItems | None) -> None:
        self.items, self.unlabelled = items, unlabelled

    def __getitem__(self, position: int) -> Item | UnlabelledItem | SegfieldError:
        try:
            if position < 0 and self.unlabelled is not None:
                return self.unlabelled[-1 - position]
            return self.items[position]
        except SegfieldError as error:
            return error


class Batches:
    """Batches of one process of a run, by step number.

    Args:
        items: what stands at each position.
        batch_size: items in a batch.
        workers: processes that prepare batches; 0 prepares them in this one.
        rank, world: this process among all; they share out each step's positions.
        device: where batches go.
        unlabelled: what stands in each batch beside these, without masks; None for nothing.
    """

    def __init__(
        self,
        items: TrainingItems,
        batch_size: int,
        workers: int,
        rank: int,
        world: int,
        device: torch.device,
        unlabelled: UnlabelledItems | None = None,
    ) -> None:
        self.batch_size, self.workers, self.unlabelled = batch_size, workers, unlabelled
        self.rank, self.world = rank, world
        self.device = device
        self._positions = _Positions()
        self._noted = False
        self._loader = DataLoader(
            _Told(items, unlabelled),
            batch_sampler=self._positions,
            num_workers=workers,
            collate_fn=_passed,
            pin_memory=device.type == "cuda",
            persistent_workers=workers > 0,
            worker_init_fn=begin,
            timeout=TIMEOUT if workers else 0,
            generator=torch.Generator(),  # a loader draws a number at every start: not from the run's own randomness
        )

    def steps(self, first: int, last: int) -> Iterator[Batch]:
        """The batches of step numbers first … last − 1.

        Raises:
            SegfieldError: if an item cannot be made, or its process does not answer.
        """
        self._positions.batches = [self._of_step(step) for step in range(first, last)]
        with born_shielded():
            coming = iter(self._loader)
        while True:
            with faults_in_words():
                passed = next(coming, None)
            if passed is None:
                return
            if isinstance(passed, SegfieldError):
                raise passed
            if not self._noted and came_by_pipe(passed):
                self._noted = True
                warnings.warn(too_little(size_of(passed), self.workers), stacklevel=2)
            images, labels, weights, weak, strong, known = map(self._on_device, received(passed))
            without = None if weak is None or strong is None or known is None else Unlabelled(weak, strong, known)
            if images is not None and labels is not None:
                yield Batch(images, labels, weights, without)

    def _of_step(self, step: int) -> list[int]:
        """Positions of the items with a mask, then of those without, as `_Told` takes them."""
        start = (step * self.world + self.rank) * self.batch_size
        without = () if self.unlabelled is None else self.unlabelled.positions(step, self.rank, self.world)
        return [*range(start, start + self.batch_size), *(-1 - position for position in without)]

    def _on_device(self, tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else tensor.to(self.device, non_blocking=True)


def _passed(items: Sequence[Item | UnlabelledItem | SegfieldError]) -> SegfieldError | tuple[Passed, ...]:
    """A batch as it leaves its process, or what is wrong with an item of it."""
    whole: list[Item] = []
    without: list[UnlabelledItem] = []
    for item in items:
        if isinstance(item, SegfieldError):
            return item
        if isinstance(item, UnlabelledItem):
            without.append(item)
        else:
            whole.append(item)
    views = [torch.stack(list(view)) for view in zip(*without)] if without else [None, None, None]
    batch = (*collate(whole), *views)
    return batch if get_worker_info() is None else sent(batch)


class HeldBatches:
    """Batches cut on the device from a whole data set that is held there: for GPUs and images of one size.

    Args:
        items: what stands at each position; its augmentation's batched form makes the same draws.
        batch_size: items in a batch.
        rank, world: this process among all.
        device: where the data set is held.
        unlabelled: what stands in each batch beside these, without masks, and is held as well; None for nothing.
    """

    def __init__(
        self,
        items: TrainingItems,
        batch_size: int,
        rank: int,
        world: int,
        device: torch.device,
        unlabelled: UnlabelledItems | None = None,
    ) -> None:
        self.items, self.unlabelled = items, unlabelled
        self.batch_size = batch_size
        self.rank, self.world = rank, world
        samples = [items.dataset[index] for index in range(len(items.dataset))]
        self.images = torch.stack([torch.from_numpy(sample.image) for sample in samples]).to(device)
        self.labels = torch.stack([torch.from_numpy(sample.labels) for sample in samples]).to(device)
        if unlabelled is not None:
            without = [unlabelled.dataset[index] for index in range(len(unlabelled.dataset))]
            self.without = torch.stack([torch.from_numpy(sample.image) for sample in without]).to(device)

    def steps(self, first: int, last: int) -> Iterator[Batch]:
        """The batches of step numbers first … last − 1."""
        stream = self.items.stream
        for step in range(first, last):
            start = (step * self.world + self.rank) * self.batch_size
            positions = range(start, start + self.batch_size)
            chosen = torch.tensor([stream[p] for p in positions], device=self.images.device)
            seeds = [item_seed(stream.seed, p) for p in positions]
            images, labels = self.items.augmentation.batch(self.images[chosen], self.labels[chosen], seeds)
            yield Batch(images, labels, None, self._without(step))

    def _without(self, step: int) -> Unlabelled | None:
        if self.unlabelled is None:
            return None
        positions = self.unlabelled.positions(step, self.rank, self.world)
        chosen = torch.tensor([self.unlabelled.stream[position] for position in positions], device=self.without.device)
        return Unlabelled(*self.unlabelled.batch(self.without[chosen], positions))


def should_hold(hold: str, device: torch.device, needed: int, same_size: bool, weighted: bool) -> bool:
    """Whether the data set goes to the device: 'yes', 'no', or 'auto': on a GPU, where it takes under a third of what is free.

    Args:
        hold: the recipe's setting.
        needed: bytes of images and labels.
        same_size: whether all images are of one size.
        weighted: whether pixel weights are asked for, which the batched form does not carry.

    Raises:
        SettingError: if 'yes' is asked for and cannot be had.
    """
    if hold == "yes" and (weighted or not same_size):
        cause = "pixel weights are made on the host" if weighted else "its images differ in size"
        raise SettingError(
            f"hold is yes, but the data set cannot be held on the device because {cause}; give hold auto"
        )
    if hold != "auto":
        return hold == "yes"
    if device.type != "cuda" or weighted or not same_size:
        return False
    return needed < torch.cuda.mem_get_info(device)[0] / 3


def collate(items: Sequence[Item]) -> tuple[Tensor, Tensor, Tensor | None]:
    """Items of one size → tensors with a batch axis; smaller ones are not expected (the crop makes sizes equal)."""
    images, labels, weights = zip(*items)
    stacked = None if weights[0] is None else torch.stack(list(weights))
    return torch.stack(list(images)), torch.stack(list(labels)), stacked
