"""What every classifier is: a module with its geometry written on it. Padding to admissible sizes lives here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segfield.errors import SettingError
from segfield.models.pretrained import copy_matching


class TrainingOutput(NamedTuple):
    """What a classifier may return in training mode: logits, and (weight, logits) of every auxiliary head.

    Logits (B, K, h, w) may be coarser than the image: the objective then takes the labels at every s-th pixel from the
    first, as the papers shrink them; s is a power of two and h = ⌈H/s⌉, w = ⌈W/s⌉.
    """

    logits: Tensor
    auxiliary: list[tuple[float, Tensor]]


class Classifier(nn.Module):
    """Image (B, C, H, W), scaled, → logits (B, K, H, W).

    Attributes:
        bands: C.
        classes: K.
        stride: tile origins are multiples of it, so that a tiled image meets the same sampling grid as the whole one.
        margin: pixels at a tile's edge whose prediction lacks context; tiles overlap by it on each side.
        weights_told: what of a weights file was taken, in words; None without one.
        mean, std: the scaling the pretrained weights expect, in 0..1 units by band, or None.
        pretrained: timm's name of the network whose ImageNet weights `load_pretrained` takes, or None.
    """

    stride: int = 1
    margin: int = 32
    pretrained: str | None = None
    weights_told: str | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def __init__(self, bands: int, classes: int) -> None:
        super().__init__()
        self.bands = bands
        self.classes = classes

    def encoder_parameters(self) -> list[nn.Parameter]:
        """Parameters that may want a rate of their own: those of a pretrained encoder. None by default."""
        return []

    def load_pretrained(self, tensors: Mapping[str, Tensor]) -> None:
        """Take the weights of the classification network `pretrained`, by timm's names.

        Raises:
            FileFormatError: if the tensors are another network's.
        """
        raise SettingError(
            f"{type(self).__name__} has no pretrained encoder; leave out --weights, or use DECODER:ENCODER"
        )

    def start_from(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what fits of another classifier's weights: the coarser net of FCN, the front end of a dilated net.

        Raises:
            SettingError: if nothing fits.
        """
        filled, _ = copy_matching(self, tensors)
        if not filled:
            raise SettingError(
                f"none of the weights to start from fits {type(self).__name__}; give the segmenter of a network it builds on"
            )


def pad_by(x: Tensor, left: int, right: int, top: int, bottom: int) -> Tensor:
    """Pad (B, C, H, W) by mirroring; where the mirror image ends, its last pixel is repeated."""
    height, width = x.shape[-2:]
    if torch.compiler.is_compiling():  # sizes may be symbols there, on which nothing can be decided
        return x[..., _mirrored(-top, height, bottom, x.device)[:, None], _mirrored(-left, width, right, x.device)]
    if not (left or right or top or bottom):
        return x
    if max(left, right) < width and max(top, bottom) < height:
        return F.pad(x, (left, right, top, bottom), mode="reflect")
    return x[..., _mirrored(-top, height, bottom, x.device)[:, None], _mirrored(-left, width, right, x.device)]


def _mirrored(start: int, size: int, after: int, device: torch.device) -> Tensor:
    """Positions start … size + after − 1, those outside 0 … size − 1 mirrored at the border pixels."""
    positions = torch.arange(start, size + after, device=device)
    last = size - 1
    return (last - (last - positions.abs()).abs()).clamp(min=0)


def pad_to_multiple(x: Tensor, multiple: int, least: int = 1) -> Tensor:
    """Pad (B, C, H, W) at the right and bottom until H and W divide by `multiple` and are `least`, itself one, or more."""
    height, width = x.shape[-2:]
    if least <= multiple:
        return pad_by(x, 0, -width % multiple, 0, -height % multiple)
    return pad_by(
        x, 0, larger(width + -width % multiple, least) - width, 0, larger(height + -height % multiple, least) - height
    )


def larger(length: int, least: int) -> int:
    """The larger of two lengths, also while a network is exported, when a length may be a symbol."""
    found: int = torch.sym_max(length, least)  # type: ignore[assignment]
    return found
