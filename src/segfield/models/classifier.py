"""What every classifier is: a module with its geometry written on it. Padding to admissible sizes lives here."""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn


class TrainingOutput(NamedTuple):
    """What a classifier with auxiliary heads returns in training mode: logits, and (weight, logits) of every head."""

    logits: Tensor
    auxiliary: list[tuple[float, Tensor]]


class Classifier(nn.Module):
    """Image (B, C, H, W), scaled, → logits (B, K, H, W).

    Attributes:
        bands: C.
        classes: K.
        stride: tile origins are multiples of it, so that a tiled image meets the same sampling grid as the whole one.
        margin: pixels at a tile's edge whose prediction lacks context; tiles overlap by it on each side.
        mean, std: the scaling the pretrained weights expect, in 0..1 units by band, or None.
        resolved_options: options that rebuild this very network (see `build_classifier`).
    """

    stride: int = 1
    margin: int = 32
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def __init__(self, bands: int, classes: int) -> None:
        super().__init__()
        self.bands = bands
        self.classes = classes

    def encoder_parameters(self) -> list[nn.Parameter]:
        """Parameters that may want a rate of their own: those of a pretrained encoder. None by default."""
        return []


def pad_by(x: Tensor, left: int, right: int, top: int, bottom: int) -> Tensor:
    """Pad (B, C, H, W) by mirroring; sides too short to mirror (pad ≥ size) repeat their border pixel."""
    if left or right:
        x = F.pad(x, (left, right, 0, 0), mode="reflect" if max(left, right) < x.shape[-1] else "replicate")
    if top or bottom:
        x = F.pad(x, (0, 0, top, bottom), mode="reflect" if max(top, bottom) < x.shape[-2] else "replicate")
    return x


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Pad (B, C, H, W) at the right and bottom until H and W divide by `multiple`."""
    height, width = x.shape[-2:]
    return pad_by(x, 0, -width % multiple, 0, -height % multiple)
