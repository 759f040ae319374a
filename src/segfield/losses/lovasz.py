"""Lovász-softmax (Berman et al. 2018): the convex closure of 1 − IoU, averaged over the classes that are present."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import torch
from torch import Tensor

from segfield.losses.pixels import probabilities, targets


def lovasz(logits: Tensor, labels: Tensor, ignored_id: int) -> Tensor:
    """Lovász-softmax over the batch's valid pixels, mean over the classes present (the paper's `classes='present'`).

    For class c the errors are m = |1[label = c] − p_c|; sorted downwards, each is weighted by how much the Jaccard loss
    grows when its pixel joins the mistakes. The weights are constant between two orders of the errors: the loss is
    linear in the probabilities there, and one product carries the whole gradient.

    Args:
        logits: (B, K, H, W), any float dtype.
        labels: (B, H, W), integers.
        ignored_id: the label that does not count.

    Returns:
        A scalar, 0..1; 0 where all pixels are ignored.

    Raises:
        DataError: if shapes do not go together or a label is no class.
    """
    index, valid = targets(logits, labels, ignored_id)
    predicted = probabilities(logits)
    with torch.no_grad():
        present = torch.unique(index[valid]).tolist()
        known = torch.where(valid, index, -1)
        slopes = torch.zeros_like(predicted)
        if predicted.device.type == "cpu" and predicted.dtype == torch.float32:
            # numba and its compiler are loaded only where the loss is used.
            from segfield.losses.lovasz_cpu import fill_slopes

            fill = partial(fill_slopes, predicted.numpy(), known.numpy(), slopes.numpy())
            with ThreadPoolExecutor(torch.get_num_threads()) as pool:
                list(pool.map(fill, present))
        else:
            for c in present:
                slopes[:, c] = error_slopes(predicted[:, c], known, c)
        # Σ weight·(1 − p) over foreground, Σ weight·p over background: foreground slopes are negative.
        constant = (slopes.gather(1, index[:, None])[:, 0] * valid).sum()
    return ((predicted * slopes).sum() - constant) / max(1, len(present))


def error_slopes(scores: Tensor, known: Tensor, c: int) -> Tensor:
    """Slope of class c's loss in each of its probabilities: the error's weight, negative at the pixels of the class.

    Args:
        scores: probabilities of class c, any shape.
        known: labels of that shape, −1 where ignored; at least one is c.
        c: class id.
    """
    counted = known >= 0
    foreground = (known == c)[counted]
    errors = torch.where(foreground, 1 - scores[counted], scores[counted])
    order = torch.sort(errors, descending=True, stable=True).indices
    weights = torch.empty_like(errors)
    weights[order] = jaccard_steps(foreground[order]).to(errors.dtype)
    slopes = torch.zeros_like(scores)
    slopes[counted] = torch.where(foreground, -weights, weights)
    return slopes


def jaccard_steps(foreground: Tensor) -> Tensor:
    """Growth of 1 − IoU as pixels join the mistakes one after the other (Algorithm 1 of the paper).

    With I foreground pixels still right and U pixels in the union after a step, a foreground pixel adds 1/U and a
    background pixel I / (U·(U − 1)): the differences in closed form, because subtracting neighbours of a cumulated
    IoU in float32 leaves nothing at a million pixels.

    Args:
        foreground: (N,) bool, in the order of the errors, at least one True.

    Returns:
        (N,) float64 (float32 where the device has none), summing to 1.
    """
    dtype = torch.float32 if foreground.device.type == "mps" else torch.float64
    total = foreground.sum()
    right = (total - foreground.cumsum(0)).to(dtype)
    union = (total + (~foreground).cumsum(0)).to(dtype)
    return torch.where(foreground, 1 / union, right / (union * (union - 1).clamp_min(1)))
