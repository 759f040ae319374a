"""Removal of a network's smallest kernels: the channels with the least L1 norm go, and every tensor that knows them is cut.

The criterion is that of Li et al. 2017 (arXiv:1608.08710, section 3), by which ICNet (Zhao et al. 2017, arXiv:1704.08545) was
made from a wider network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from segfield.errors import SettingError

NORM_VECTORS = ("weight", "bias", "running_mean", "running_var")


@dataclass(frozen=True)
class Producer:
    """A convolution by its name in the state dict, and the batch norm of its outputs, if there is one."""

    convolution: str
    norm: str | None = None


@dataclass(frozen=True)
class SharedChannels:
    """Channels that stand or fall together: those of one map, or of all maps that a stage of residual blocks adds up.

    Attributes:
        producers: the convolutions whose outputs are these channels.
        consumers: names of the convolutions that read them.
    """

    producers: tuple[Producer, ...]
    consumers: tuple[str, ...]


def largest_kernels(weights: Sequence[Tensor], count: int) -> Tensor:
    """Which output channels have the largest L1 norm, summed over the convolutions that share them.

    Args:
        weights: (C_out, C_in, k, k) each, with the same C_out.
        count: how many channels to keep, 1 to C_out.

    Returns:
        (count,) int64, ascending: what stays keeps its order.
    """
    norms = torch.stack([weight.float().abs().flatten(1).sum(1) for weight in weights]).sum(0)  # (C_out,)
    return torch.argsort(norms, descending=True, stable=True)[:count].sort().values


def prune(
    tensors: Mapping[str, Tensor], channels: Sequence[SharedChannels], counts: Sequence[int]
) -> dict[str, Tensor]:
    """The tensors of a narrower network: of each set of channels, those with the largest kernels.

    The norms are those of the tensors as given, so the order of `channels` does not matter (Li et al.'s independent pruning).

    Args:
        tensors: a state dict.
        channels: sets that have no producer in common; what none of them names stays whole.
        counts: of each set, how many channels stay.

    Returns:
        all tensors by the same names, those that know a removed channel cut.

    Raises:
        SettingError: if a tensor is not there, or has fewer channels than are to stay.
    """
    pruned = dict(tensors)
    for shared, count in zip(channels, counts, strict=True):
        weights = [_weight(tensors, producer.convolution) for producer in shared.producers]
        fewest = min(len(weight) for weight in weights)
        if not 1 <= count <= fewest:
            raise SettingError(
                f"{shared.producers[0].convolution} has {fewest} channels, and {count} are to stay; kernels can be "
                "removed, not made: start from a network that is at least as wide"
            )
        kept = largest_kernels(weights, count)
        for producer in shared.producers:
            for name in _vectors(producer, tensors):
                pruned[name] = pruned[name].index_select(0, kept)
        for consumer in shared.consumers:
            _weight(tensors, consumer)
            pruned[f"{consumer}.weight"] = pruned[f"{consumer}.weight"].index_select(1, kept)
    return pruned


def _vectors(producer: Producer, tensors: Mapping[str, Tensor]) -> list[str]:
    """Names of the tensors whose first axis is the producer's output channels."""
    names = [f"{producer.convolution}.{kind}" for kind in ("weight", "bias")]
    if producer.norm is not None:
        names += [f"{producer.norm}.{kind}" for kind in NORM_VECTORS]
    return [name for name in names if name in tensors]


def _weight(tensors: Mapping[str, Tensor], convolution: str) -> Tensor:
    name = f"{convolution}.weight"
    if name not in tensors:
        raise SettingError(f"the weights have no {name}; give those of a wider form of the same network")
    return tensors[name]
