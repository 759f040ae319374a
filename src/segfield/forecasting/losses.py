"""What forecasters are trained by: mean absolute error and gradient difference, on scores before the softmax or on images.

Gradient difference: Mathieu, Couprie, LeCun: Deep multi-scale video prediction beyond mean square error, ICLR 2016. Its form,
exponent 1 and the sum over scales with weight 1 are read in the code of Luc et al. 2017 (SegmPred, utils/model.lua, train.lua).
Reconstructed: the mean over the frames of an unrolled forecast, whose fine-tuning that code does not hold.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from segfield.errors import DataError
from segfield.forecasting.networks import Forecast, shrink


def forecast_loss(forecast: Forecast, target: Tensor) -> Tensor:
    """The sum over scales of mean |Ŷ − Y| + gradient difference, a scalar; the target is shrunk by 2×2 means for the coarser.

    Args:
        forecast: of a network or of `unroll`, coarsest first: (B, T, D, ⌈H/2⌉, ⌈W/2⌉), (B, T, D, H, W), or the last alone.
        target: (B, T, D, H, W): what came.

    Raises:
        DataError: if the target is of another shape than the forecast.
    """
    targets = (shrink(target), target)[-len(forecast) :]
    for scale, truth in zip(forecast, targets, strict=True):
        if scale.shape != truth.shape:
            raise DataError(
                f"forecast and target do not go together at one scale: {tuple(scale.shape)} and {tuple(truth.shape)}; "
                "give as many frames, channels and pixels as are forecast"
            )
    return functools.reduce(
        torch.add,
        ((scale - truth).abs().mean() + gradient_difference(scale, truth) for scale, truth in zip(forecast, targets)),
    )


def gradient_difference(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean | |∂Y| − |∂Ŷ| | with ∂ from a pixel to the one below, plus the same to the right: a scalar.

    An axis of one pixel has no gradient and adds nothing.

    Args:
        predicted, target: (…, H, W), of one shape.
    """
    total = predicted.new_zeros(())
    for axis in (-2, -1):
        if predicted.shape[axis] > 1:
            total = total + (target.diff(dim=axis).abs() - predicted.diff(dim=axis).abs()).abs().mean()
    return total
