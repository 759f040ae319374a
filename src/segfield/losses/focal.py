"""Softmax focal loss (Lin et al. 2017, for many classes): cross-entropy with well-classified pixels turned down."""

from __future__ import annotations

import torch
from torch import Tensor

from segfield.errors import SettingError
from segfield.losses.pixels import label_log_probability, targets, weighted_mean


def focal(
    logits: Tensor,
    labels: Tensor,
    ignored_id: int,
    class_weights: Tensor | None = None,
    pixel_weights: Tensor | None = None,
    gamma: float = 2.0,
) -> Tensor:
    """Weighted mean of −(1 − p)^γ log p over the pixels that are not ignored, p the softmax probability of the label.

    At γ = 0 it is `cross_entropy`. Shapes, weights and errors as there.

    Raises:
        SettingError: if gamma is below 0.
    """
    if gamma < 0:
        raise SettingError(f"gamma is {gamma}; the focal loss wants 0 (cross-entropy) or more, e.g. 2")
    index, valid = targets(logits, labels, ignored_id)
    log_probability = label_log_probability(logits, index)
    # For γ < 1 the slope of x^γ at 0 is infinite: a pixel that is quite right must give 0, not 0·∞.
    miss = (-torch.expm1(log_probability)).clamp_min(torch.finfo(log_probability.dtype).eps)
    return weighted_mean(-miss.pow(gamma) * log_probability, index, valid, class_weights, pixel_weights)
