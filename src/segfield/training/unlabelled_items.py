"""Images without masks in the endless stream: a weak and a strong view of each, both following from the seed alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from segfield.data.augment import Augmentation
from segfield.data.augmentation import AugmentationConfig
from segfield.data.dataset import Dataset
from segfield.data.value_range import ValueRange
from segfield.training.stream import Stream, item_seed

NO_COLOUR = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0, "grey": 0.0, "blur": 0.0, "noise": 0.0}

STRONG = AugmentationConfig(
    flip=False, scale=(1.0, 1.0), brightness=0.5, contrast=0.5, saturation=0.5, hue=0.25, grey=0.2, blur=0.5,
    blur_sigma=(0.1, 2.0),
)  # fmt: skip
"""What the strong view has beside the weak one's place, size and flips (the strengths of UniMatch, Yang et al. 2023)."""


def batch_count(batch_size: int, ratio: float) -> int:
    """Images without a mask beside so many with one."""
    return max(1, round(batch_size * ratio))


class UnlabelledItem(NamedTuple):
    """Both views (C, h, w) float32, and where they show the image, (h, w) bool."""

    weak: Tensor
    strong: Tensor
    known: Tensor


class UnlabelledItems:
    """Position in their own stream → views.

    Args:
        dataset: images.
        config: the recipe's augmentation: its geometry is the weak view's.
        ignored_id: of the class table.
        values: what the images' numbers mean.
        seed: of the run.
        count: of them in a batch.
    """

    def __init__(
        self, dataset: Dataset, config: AugmentationConfig, ignored_id: int, values: ValueRange, seed: int, count: int
    ) -> None:
        self.dataset, self.count = dataset, count
        own_seed = int(np.random.SeedSequence([seed, 3]).generate_state(1, np.uint64)[0] >> np.uint64(1))
        self.stream = Stream(len(dataset), own_seed)
        self.weak = Augmentation(dataclasses.replace(config, **NO_COLOUR), ignored_id, values=values)  # type: ignore[arg-type]
        self.strong = Augmentation(STRONG, ignored_id, values=values)
        self.ignored_id = ignored_id

    def __getitem__(self, position: int) -> UnlabelledItem:
        image = torch.from_numpy(np.ascontiguousarray(self.dataset[self.stream[position]].image))
        seed = item_seed(self.stream.seed, position)
        weak, labels = self.weak(image, self._inside(image[0]), seed)
        return UnlabelledItem(weak, self.strong.recolour(weak, seed, image.dtype), labels != self.ignored_id)

    def batch(self, images: Tensor, positions: Sequence[int]) -> UnlabelledItem:
        """The items at these positions, whose images (U, C, H, W) are on the device already."""
        seeds = [item_seed(self.stream.seed, position) for position in positions]
        weak, labels = self.weak.batch(images, self._inside(images[:, 0]), seeds)
        strong = [self.strong.recolour(image, seed, images.dtype) for image, seed in zip(weak, seeds)]
        return UnlabelledItem(weak, torch.stack(strong), labels != self.ignored_id)

    def positions(self, step: int, rank: int, world: int) -> range:
        """Of a process's items in the batch of a step."""
        start = (step * world + rank) * self.count
        return range(start, start + self.count)

    def _inside(self, plane: Tensor) -> Tensor:
        """Labels of another value than the ignored id, in the shape of `plane`."""
        return torch.full_like(plane, int(self.ignored_id == 0), dtype=torch.int32)
