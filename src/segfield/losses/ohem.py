"""Online hard example mining: cross-entropy over the pixels still wrong (Shrivastava et al. 2016; BiSeNet's form)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from segfield.errors import SettingError
from segfield.losses.pixels import label_log_probability, targets, weighted_mean


def ohem_cross_entropy(
    logits: Tensor,
    labels: Tensor,
    ignored_id: int,
    class_weights: Tensor | None = None,
    pixel_weights: Tensor | None = None,
    threshold: float = 0.7,
    min_kept: float = 1 / 16,
    top_fraction: float | None = None,
) -> Tensor:
    """`cross_entropy` over the hard pixels alone.

    Hard are the pixels whose label has a probability below `threshold`, and at least the share `min_kept` of the
    batch's valid pixels with the largest loss. With `top_fraction` it is that share of largest losses and nothing
    else. Hardness is judged before any weight; pixels that tie with the last one kept are kept.

    Args:
        logits: (B, K, H, W), any float dtype.
        labels: (B, H, W), integers.
        ignored_id: the label that does not count.
        class_weights: (K,).
        pixel_weights: (B, H, W).
        threshold: probability, 0..1.
        min_kept: share of valid pixels, 0..1.
        top_fraction: share of valid pixels, above 0 up to 1.

    Raises:
        DataError: if shapes do not go together or a label is no class.
        SettingError: if a share or the threshold is out of range.
    """
    if not 0 < threshold <= 1:
        raise SettingError(f"the OHEM threshold is {threshold}; it is a probability above 0 up to 1, e.g. 0.7")
    share = min_kept if top_fraction is None else top_fraction
    if not 0 <= share <= 1 or top_fraction == 0:
        name = "min_kept" if top_fraction is None else "top_fraction"
        raise SettingError(f"{name} is {share}; it is a share of the pixels, up to 1, e.g. 0.0625")
    index, valid = targets(logits, labels, ignored_id)
    loss = -label_log_probability(logits, index)
    with torch.no_grad():
        losses = loss[valid]
        limit = -math.log(threshold) if top_fraction is None else math.inf
        kept = min(len(losses), math.ceil(share * len(losses)))
        if kept and int((losses > limit).sum()) < kept:
            limit = float(torch.kthvalue(losses, len(losses) - kept + 1).values)
            hard = valid & (loss >= limit)
        else:
            hard = valid & (loss > limit)
    return weighted_mean(loss, index, hard, class_weights, pixel_weights)
