"""Autoregressive forecasts: a network reads what it has forecast, as often as is asked (Luc et al. 2017).

Feeding back is read in the authors' test.lua. Their code does not hold the fine-tuning through the unrolled frames: that
gradients pass every step is what the paper's summaries say.
"""

from __future__ import annotations

import torch
from torch import Tensor

from segfield.errors import SettingError
from segfield.forecasting.networks import VARIANTS, Forecast, ForecastingNetwork


def unroll(network: ForecastingNetwork, past: Tensor, frames: int) -> Forecast:
    """Forecasts `frames` frames by calling the network until they are there; differentiable, through every call.

    Up to the network's own M frames it is one call. After each, the N latest frames, seen or forecast at full size, are read
    next. What is forecast has the channels that are read, image and scores each in their place, and is fed back as it is: scores
    without softmax, and images of xs2xs, which has no tanh, without a limit.

    Args:
        network: with M frames ahead; one for the paper's form.
        past: (B, N, C, H, W), oldest first.
        frames: T, 1 or more, each as far from the next as those of `past`.

    Returns:
        As the network with T frames ahead would: (B, T, D, ⌈H/2⌉, ⌈W/2⌉) where it has two scales, and (B, T, D, H, W).

    Raises:
        SettingError: if `frames` is below one, or asks xs2x or xs2s for more than M: they do not forecast all they read.
        DataError: if `past` is not what the network reads.
    """
    check_frames(frames)
    if frames > network.ahead and not feeds_itself(network.variant):
        known = ", ".join(name for name in VARIANTS if feeds_itself(name))
        raise SettingError(
            f"{network.variant} forecasts {network.ahead} of the {frames} frames asked for and cannot go on, because it does not "
            f"forecast all it reads; ask for fewer, or give it that many frames ahead, or take one of {known}"
        )
    calls: list[Forecast] = []
    for _ in range(-(-frames // network.ahead)):
        if calls:
            past = torch.cat((past, calls[-1][-1]), dim=1)[:, -network.frames :]
        calls.append(network(past))
    return tuple(torch.cat(scale, dim=1)[:, :frames] for scale in zip(*calls))


def feeds_itself(variant: str) -> bool:
    """Whether a variant of `VARIANTS` forecasts all that it reads."""
    return VARIANTS[variant].reads == VARIANTS[variant].gives


def check_frames(frames: int) -> None:
    """Raises SettingError if a number of frames ahead is below one."""
    if frames < 1:
        raise SettingError(f"{frames} frames cannot be forecast; give 1 or more")
