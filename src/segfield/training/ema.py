"""A running average of a network's weights, which often segments better than the weights themselves (Polyak 1992)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class RunningAverage:
    """average ← d·average + (1 − d)·weights after every step, buffers of batch norm included.

    The decay starts low, d = min(decay, (1 + n)/(10 + n)) after n steps, so that the start is forgotten quickly.

    Args:
        network: whose weights are averaged.
        decay: the final d.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.average = {key: value.detach().clone() for key, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take in the weights after step number `step` (0-based)."""
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        averages, values = [], []
        for key, value in network.state_dict().items():
            if value.dtype.is_floating_point:
                averages.append(self.average[key])
                values.append(value)
            else:
                self.average[key].copy_(value)
        torch._foreach_lerp_(averages, values, weight)

    def load(self, average: Mapping[str, Tensor]) -> None:
        """Take over the averages of an earlier run."""
        for key, value in self.average.items():
            value.copy_(average[key])
