"""Stand-ins for published weights: a library's own names and shapes, values that no two filters share, hardly any memory."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def stand_in(*shape: int) -> Tensor:
    """Random values in which each filter is the one before it shifted by one: VGG's fc6 then needs no 411 MB."""
    size = math.prod(shape[1:])
    strides = [1, *(math.prod(shape[axis + 1 :]) for axis in range(1, len(shape)))]
    return torch.randn(shape[0] + size).as_strided(shape, strides)


def stand_ins(network: nn.Module) -> dict[str, Tensor]:
    """For every tensor of a network (which may be on the meta device)."""
    tensors = {key: stand_in(*value.shape) for key, value in network.state_dict().items() if value.ndim}
    return {key: value.abs() + 0.5 if key.endswith("running_var") else value for key, value in tensors.items()}
