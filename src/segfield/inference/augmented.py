"""Test-time augmentation: class probabilities averaged over flips and scales of the image, each inverted exactly."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from segfield.errors import SettingError, did_you_mean
from segfield.inference.views import FLIPS, Flips

WindowLogits = Callable[[Tensor], Tensor]


def augmented_probabilities(
    window_logits: WindowLogits, tiles: Tensor, flips: Flips = "all", scales: Sequence[float] = (1.0,)
) -> Tensor:
    """Mean of the softmax probabilities over all combinations of flips and scales.

    The content itself is flipped and scaled, before the classifier pads it to a size it likes; so no view sees padding
    where another sees image. A view's probabilities are scaled back (bilinear, a convex mean, so they still sum to 1).

    Args:
        window_logits: (B, C, h, w) raw values → (B, K, h, w) logits.
        tiles: (B, C, H, W) float32.
        flips: 'none'; 'horizontal', the image and its left-right mirror image; 'all', its top-bottom and double one too.
        scales: sizes relative to the image's own.

    Returns:
        (B, K, H, W) float32 probabilities.

    Raises:
        SettingError: if scales is empty or one is not positive, or flips is unknown.
    """
    check_scales(scales)
    views = check_flips(flips)
    mean: Tensor | None = None
    for scale in scales:
        scaled = _resized(tiles, scale)
        for axes in views:
            logits = window_logits(scaled.flip(axes) if axes else scaled).float()
            probabilities = torch.softmax(logits, dim=1)
            del logits
            probabilities = _back_to(probabilities.flip(axes) if axes else probabilities, tiles)
            mean = probabilities if mean is None else mean.add_(probabilities)
    if mean is None:
        raise SettingError("scales is empty; give at least one, e.g. --scales [1.0]")
    return mean.div_(len(scales) * len(views)) if len(scales) * len(views) > 1 else mean


def check_flips(flips: str) -> tuple[tuple[int, ...], ...]:
    """The reversed axes of each view. Raises SettingError if the name is unknown."""
    if flips not in FLIPS:
        raise SettingError(f"flips is {flips}; {did_you_mean(str(flips), FLIPS)}")
    return FLIPS[flips]


def check_scales(scales: Sequence[float]) -> None:
    """Raises SettingError unless there are scales and all are positive numbers up to 8."""
    bad = [scale for scale in scales if not (math.isfinite(scale) and 0 < scale <= 8)]
    if bad or not scales:
        raise SettingError(
            f"scales are sizes relative to the image, above 0 and up to 8; found {list(scales)}, e.g. [0.75, 1.0]"
        )


def _resized(tiles: Tensor, scale: float) -> Tensor:
    height, width = tiles.shape[-2:]
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    if size == (height, width):
        return tiles
    return F.interpolate(tiles, size=size, mode="bilinear", align_corners=False, antialias=scale < 1)


def _back_to(probabilities: Tensor, tiles: Tensor) -> Tensor:
    if probabilities.shape[-2:] == tiles.shape[-2:]:
        return probabilities
    return F.interpolate(probabilities, size=tuple(tiles.shape[-2:]), mode="bilinear", align_corners=False)
