"""Objective: what a training step minimises, with the networks and optimisers that belong to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from segfield.crf.refiner import Refiner


@dataclass(frozen=True)
class Unlabelled:
    """Images without masks: both views (U, C, H, W) float32 in the files' range, known (U, H, W) bool.

    The weak view is moved, flipped and cut as an image with a mask is; the strong view is the same with other colours; `known`
    is False outside the image.
    """

    weak: Tensor
    strong: Tensor
    known: Tensor


@dataclass(frozen=True)
class Batch:
    """What a step gets: images (B, C, H, W) float32 in the files' range, labels (B, H, W) uint8 or int32, weights (B, H, W)."""

    images: Tensor
    labels: Tensor
    pixel_weights: Tensor | None = None
    unlabelled: Unlabelled | None = None


class Objective(ABC):
    """Named losses for a batch. The loop adds them up, differentiates and steps; it knows nothing else of an objective.

    Attributes:
        networks: by name; 'classifier' is the one that is validated and saved.
        as_they_are: names of networks that are called in the precision of what they are given.
        optimisers: by name.
        measures: names of what a step measures beside its loss; each is a column of the curves.
    """

    networks: dict[str, nn.Module]
    as_they_are: frozenset[str] = frozenset()
    optimisers: dict[str, Optimizer]
    measures: tuple[str, ...] = ()

    def begin_step(self, step: int, progress: float) -> None:  # noqa: B027 - most objectives do the same in every step
        """Told before each step: its number, and how much of the run lies behind, 0..1."""

    def measured(self) -> Tensor:
        """(len(measures),) of the step just made, on the device; NaN for what it did not measure."""
        return torch.zeros(0)

    def remarks(self, row: Mapping[str, float]) -> list[str]:
        """Sentences for the user about a row of the curves: what goes wrong, with what to change."""
        return []

    def train_mode(self) -> None:
        """Put the networks in training mode; called before every stretch of steps."""
        for network in self.networks.values():
            network.train()

    def refiner(self) -> Refiner | None:
        """The refiner that belongs behind the classifier as it stands; None where there is none."""
        return None

    @abstractmethod
    def turns(self, batch: Batch) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """For each optimiser to step, in order: its name, and the named losses whose sum it minimises."""
