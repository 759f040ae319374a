"""The forecasters of Luc et al. 2017 (Predicting Deeper into the Future of Semantic Segmentation, ICCV).

Read in the authors' code (github.com/facebookresearch/SegmPred, utils/model.lua): the variants but for the dilated one, layers,
scales, what is added where, tanh. Computed: the parameter counts. Reconstructed: the dilated variant, odd sizes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segfield.errors import DataError, SettingError, did_you_mean

BANDS = 3
"""Of an image: the paper's networks see colours, scaled to −1..1."""

WIDTHS = (128, 256, 128)
"""Maps of the first three of each scale's four convolutions."""

SCALES = (1, 2)

Forecast = tuple[Tensor, ...]
"""Frames ahead at each scale, coarsest first: (B, M, D, ⌈H/2⌉, ⌈W/2⌉) where there are two, then (B, M, D, H, W)."""


@dataclass(frozen=True)
class Variant:
    """What a forecaster reads and gives of each frame: its image (X), its scores before the softmax (S), or both."""

    reads: str
    gives: str
    dilation: int = 1
    """Of the two middle convolutions of each scale."""


VARIANTS: dict[str, Variant] = {
    "x2x": Variant("X", "X"),
    "s2s": Variant("S", "S"),
    "xs2x": Variant("XS", "X"),
    "xs2s": Variant("XS", "S"),
    "xs2xs": Variant("XS", "XS"),
    "s2s_dil": Variant("S", "S", dilation=2),
}


class ForecastingNetwork(nn.Module):
    """N frames → the next M, as residuals on two scales.

    The frames, shrunk by 2×2 means, pass four convolutions; what comes out is repeated 2×2 and joins the frames at full size in
    four more, whose output is added to it. ReLU between the convolutions, zeros around the maps, no normalisation. Where images
    alone are predicted, tanh ends each scale. 1,654,950 parameters for s2s at 19 classes and four frames; 1,255,558 for x2x.
    First weights are torch's own, which are Lua Torch's: uniform within 1/√(inputs of a filter).

    `s2s_dil` is a reconstruction: the paper dilates, but neither its list of layers nor the stored code says which. Here the two
    middle convolutions of each scale have dilation 2.

    Odd sizes, which the authors' network does not take: a last row or column without a partner is its own mean, as if it were
    repeated, and what is repeated beyond the frame is cut off. The full size is never padded.

    Channels of a frame: image before scores, where there are both.

    Args:
        variant: a name of `VARIANTS`.
        classes: K.
        frames: N, read at once.
        ahead: M, given at once: 1 to be unrolled, more for the paper's batch form.
        scales: 2, or 1 for four 3×3 convolutions at full size that predict the frame itself.

    Attributes:
        channels_read, channels_given: C and D of a frame.

    Raises:
        SettingError: if the variant is unknown or a number out of range.
    """

    def __init__(self, variant: str, classes: int, frames: int = 4, ahead: int = 1, scales: int = 2) -> None:
        super().__init__()
        if variant not in VARIANTS:
            raise SettingError(f"there is no forecaster '{variant}'; {did_you_mean(variant, VARIANTS)}")
        if min(classes, frames, ahead) < 1 or scales not in SCALES:
            raise SettingError(
                f"a forecaster has 1 or more classes, frames and frames ahead, and 1 or 2 scales; found {classes}, {frames}, "
                f"{ahead} and {scales}"
            )
        self.variant, self.frames, self.ahead = variant, frames, ahead
        design = VARIANTS[variant]
        self.channels_read, self.channels_given = _channels(design.reads, classes), _channels(design.gives, classes)
        self.only_images = design.gives == "X"
        read, given = frames * self.channels_read, ahead * self.channels_given
        self.coarse = _convolutions(read, given, 3, design.dilation) if scales == 2 else None
        outer = 5 if scales == 2 else 3
        self.fine = _convolutions(read + given if scales == 2 else read, given, outer, design.dilation)

    def forward(self, past: Tensor) -> Forecast:
        """(B, N, C, H, W), oldest first, equally spaced in time → the next M, the last scale of which is the forecast.

        Raises:
            DataError: if `past` is not of that shape.
        """
        if past.ndim != 5 or past.shape[1:3] != (self.frames, self.channels_read):
            raise DataError(
                f"{self.variant} reads (B, {self.frames}, {self.channels_read}, H, W): frames, then channels; "
                f"found {tuple(past.shape)}"
            )
        if self.coarse is None:
            return (self._frames(self._end(self.fine(past.flatten(1, 2)))),)
        coarse = self._end(self.coarse(shrink(past).flatten(1, 2)))  # (B, M·D, ⌈H/2⌉, ⌈W/2⌉)
        guess = enlarge(coarse, past.shape[-2], past.shape[-1])
        residual = self.fine(torch.cat((past.flatten(1, 2), guess), dim=1))
        return self._frames(coarse), self._frames(self._end(guess + residual))

    def _end(self, maps: Tensor) -> Tensor:
        return maps.tanh() if self.only_images else maps

    def _frames(self, maps: Tensor) -> Tensor:
        """(B, M·D, H, W) → (B, M, D, H, W)."""
        return maps.reshape(len(maps), self.ahead, self.channels_given, *maps.shape[2:])


def shrink(frames: Tensor) -> Tensor:
    """Means of 2×2 pixels, at an odd edge of the pixels there are: (B, T, C, H, W) → (B, T, C, ⌈H/2⌉, ⌈W/2⌉)."""
    means = F.avg_pool2d(frames.flatten(0, 1), 2, ceil_mode=True, count_include_pad=False)
    return means.reshape(*frames.shape[:3], *means.shape[2:])


def enlarge(maps: Tensor, height: int, width: int) -> Tensor:
    """Each pixel 2×2 times: (B, C, ⌈H/2⌉, ⌈W/2⌉) → (B, C, H, W)."""
    return F.interpolate(maps, scale_factor=2, mode="nearest")[..., :height, :width]


def _channels(parts: str, classes: int) -> int:
    return BANDS * ("X" in parts) + classes * ("S" in parts)


def _convolutions(read: int, given: int, outer: int, dilation: int) -> nn.Sequential:
    """Four convolutions that keep the size: outer × outer, 3×3, 3×3, outer × outer."""
    first, second, third = WIDTHS
    return nn.Sequential(
        nn.Conv2d(read, first, outer, padding=outer // 2), nn.ReLU(),
        nn.Conv2d(first, second, 3, padding=dilation, dilation=dilation), nn.ReLU(),
        nn.Conv2d(second, third, 3, padding=dilation, dilation=dilation), nn.ReLU(),
        nn.Conv2d(third, given, outer, padding=outer // 2),
    )  # fmt: skip
