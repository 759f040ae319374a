"""Batch norm's statistics measured anew on the training images, as SegNet's authors do before they test."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from segfield.data.dataset import Dataset
from segfield.training.optimiser import norm_layers


@torch.no_grad()
def recompute_norm(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Replace the running averages of every batch norm by the plain average over `batches`, each counted alike.

    All else is in evaluation mode meanwhile, dropout among it, and the network is so afterwards.

    Args:
        network: whose batch norm is measured.
        batches: scaled images (B, C, H, W); of one batch size, for a small one at the end would count as much.
    """
    network.eval()
    layers = [layer for layer in norm_layers(network) if getattr(layer, "running_mean", None) is not None]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()  # type: ignore[operator]
        layer.momentum = None  # type: ignore[assignment]
        layer.train()
    for batch in batches:
        network(batch)
    for layer, momentum in zip(layers, momenta):
        layer.momentum = momentum
    network.eval()


def whole_images(dataset: Dataset, batch_size: int) -> Iterator[Tensor]:
    """All images as they are, (B, C, H, W) float32 in the files' range: `batch_size` at a time where sizes agree, else one.

    Those left over for a last smaller batch are left out, unless there is no other.
    """
    waiting: list[Tensor] = []
    sizes = {dataset[index].image.shape[1:] for index in range(len(dataset))}
    full = min(batch_size, len(dataset)) if len(sizes) == 1 else 1
    for index in range(len(dataset)):
        waiting.append(torch.from_numpy(np.ascontiguousarray(dataset[index].image)).float())
        if len(waiting) == full:
            yield torch.stack(waiting)
            waiting = []
