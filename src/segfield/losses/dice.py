"""Soft Dice loss (Milletari et al. 2016, linear form), averaged over the classes that are present."""

from __future__ import annotations

from torch import Tensor

from segfield.losses.pixels import probabilities, targets


def dice(logits: Tensor, labels: Tensor, ignored_id: int) -> Tensor:
    """1 − mean over present classes of 2·Σ p·t / (Σ p + Σ t), sums pooled over the batch's valid pixels.

    A class that no pixel of the batch shows is left out of the mean: it would add a loss that no prediction can remove.
    Present classes have Σ t > 0, so nothing is smoothed, and a perfect prediction is 0.

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
    counted = valid.to(predicted.dtype)
    of_label = predicted.gather(1, index[:, None])[:, 0] * counted
    # Summed by image row first: a million numbers added one by one would lose float32's last digits.
    overlap = _sum_by_class(of_label, index, logits.shape[1])
    truth = _sum_by_class(counted, index, logits.shape[1])
    mass = (predicted.flatten(2) @ counted.flatten(1)[..., None])[..., 0].sum(0)
    present = (truth > 0).to(predicted.dtype)
    score = 2 * overlap / (mass + truth + (1 - present))
    return ((1 - score) * present).sum() / present.sum().clamp_min(1)


def _sum_by_class(values: Tensor, index: Tensor, classes: int) -> Tensor:
    """(B, H, W) values summed by their label: (K,)."""
    rows = values.flatten(0, 1)
    return rows.new_zeros(len(rows), classes).scatter_add(1, index.flatten(0, 1), rows).sum(0)
