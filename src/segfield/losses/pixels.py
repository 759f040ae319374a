"""What every loss is made of: targets with the ignored pixels out, the log-probability of each pixel's label, the mean.

`label_log_probability` is the one hot spot of training on a CPU, so it walks by pieces that stay in the cache, reads
any memory layout, computes in float32 and keeps nothing for the backward pass but the logits themselves.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from segfield.errors import DataError

_STRIP_NUMBERS = 2**18


def targets(logits: Tensor, labels: Tensor, ignored_id: int) -> tuple[Tensor, Tensor]:
    """Label indices that may be gathered with, and where they count.

    Args:
        logits: (B, K, H, W), any float dtype.
        labels: (B, H, W), any integer dtype.
        ignored_id: the label of pixels where nothing is known.

    Returns:
        index (B, H, W) int64 with 0 at ignored pixels; valid (B, H, W) bool.

    Raises:
        DataError: if the shapes do not go together, or (on the CPU, where looking is cheap) a label is no class.
    """
    if logits.ndim != 4 or labels.shape != (logits.shape[0], *logits.shape[2:]):
        raise DataError(
            f"logits of shape {tuple(logits.shape)} and labels of shape {tuple(labels.shape)} do not go together; "
            "give (B, K, H, W) and (B, H, W)"
        )
    labels = labels.long()
    valid = labels != ignored_id
    index = torch.where(valid, labels, 0)
    if index.device.type == "cpu" and index.numel():
        lowest, highest = (int(extreme) for extreme in torch.aminmax(index))
        if lowest < 0 or highest >= logits.shape[1]:
            wrong = lowest if lowest < 0 else highest
            raise DataError(
                f"the labels hold {wrong}, but the logits have classes 0 to {logits.shape[1] - 1} and the ignored id "
                f"is {ignored_id}; map {wrong} to a class or to the ignored id"
            )
    return index, valid


def probabilities(logits: Tensor) -> Tensor:
    """Softmax over the classes, (B, K, H, W), in float32 (float64 stays) and laid out class by class."""
    return F.softmax(logits.contiguous(), dim=1, dtype=_computing_dtype(logits))


def label_log_probability(logits: Tensor, index: Tensor) -> Tensor:
    """log softmax(logits) at each pixel's label: (B, K, H, W), (B, H, W) int64 → (B, H, W) float32 (float64 stays)."""
    picked: Tensor = _LabelLogProbability.apply(logits, index)
    return picked


def weighted_mean(
    values: Tensor,
    index: Tensor,
    valid: Tensor,
    class_weights: Tensor | None = None,
    pixel_weights: Tensor | None = None,
) -> Tensor:
    """Σ w·v / Σ w over valid pixels, w = class weight × pixel weight (1 where not given); 0 where nothing counts."""
    weights = valid.to(values.dtype)
    if class_weights is not None:
        weights = weights * class_weights.to(values)[index]
    if pixel_weights is not None:
        weights = weights * pixel_weights.to(values)
    return (values * weights).sum() / weights.sum().clamp_min(torch.finfo(values.dtype).tiny)


def _computing_dtype(logits: Tensor) -> torch.dtype:
    return torch.float64 if logits.dtype == torch.float64 else torch.float32


def _strips(logits: Tensor) -> list[tuple[slice, slice]]:
    """(images, rows) of each step.

    All at once where kernel launches are what costs. On the CPU one image, or, where the layout must be turned
    (channels last), strips of about a megabyte.
    """
    images, classes, height, width = logits.shape
    if logits.device.type != "cpu":
        return [(slice(None), slice(None))]
    rows = max(1, height if logits.is_contiguous() else _STRIP_NUMBERS // max(1, classes * width))
    return [(slice(b, b + 1), slice(top, top + rows)) for b in range(images) for top in range(0, height, rows)]


class _LabelLogProbability(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, index: Tensor) -> Tensor:
        dtype = _computing_dtype(logits)
        picked = torch.empty(index.shape, dtype=dtype, device=logits.device)
        for images, rows in _strips(logits):
            strip = logits[images, :, rows].contiguous()
            log_probabilities = F.log_softmax(strip, dim=1, dtype=dtype)
            picked[images, rows] = log_probabilities.gather(1, index[images, None, rows])[:, 0]
        ctx.save_for_backward(logits, index)
        return picked

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        logits, index = ctx.saved_tensors
        dtype = _computing_dtype(logits)
        to_logits = torch.empty_like(logits)
        for images, rows in _strips(logits):
            # d log p_y / d logits = onehot(y) − softmax
            incoming = gradient[images, None, rows]
            strip = logits[images, :, rows].contiguous()
            change = F.softmax(strip, dim=1, dtype=dtype).mul_(-incoming)
            to_logits[images, :, rows] = change.scatter_add_(1, index[images, None, rows], incoming)
        return to_logits, None
