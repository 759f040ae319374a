"""Objective: what a training step minimises, with the networks and optimisers that belong to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn
from torch.optim import Optimizer

from segfield.crf.refiner import Refiner


@dataclass(frozen=True)
class Batch:
    """What a step gets: images (B, C, H, W) float32 in the files' range, labels (B, H, W) uint8 or int32, weights (B, H, W)."""

    images: Tensor
    labels: Tensor
    pixel_weights: Tensor | None = None


class Objective(ABC):
    """Named losses for a batch. The loop adds them up, differentiates and steps; it knows nothing else of an objective.

    Attributes:
        networks: by name; 'classifier' is the one that is validated and saved.
        as_they_are: names of networks that are called in the precision of what they are given.
        optimisers: by name.
    """

    networks: dict[str, nn.Module]
    as_they_are: frozenset[str] = frozenset()
    optimisers: dict[str, Optimizer]

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
