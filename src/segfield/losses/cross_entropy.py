"""Cross-entropy with an ignored id, class weights, per-pixel weights and label smoothing."""

from __future__ import annotations

from torch import Tensor

from segfield.errors import SettingError
from segfield.losses.pixels import label_log_probability, targets, weighted_mean


def cross_entropy(
    logits: Tensor,
    labels: Tensor,
    ignored_id: int,
    class_weights: Tensor | None = None,
    pixel_weights: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Weighted mean of −log p(label) over the pixels that are not ignored.

    The mean is Σ w·l / Σ w with w = class weight of the label × pixel weight, so doubling all weights changes nothing;
    without weights it is the plain mean. Computed in float32 whatever the dtype of the logits. Without smoothing it
    equals `torch.nn.functional.cross_entropy(..., ignore_index)`, but is 0 rather than NaN where all pixels are
    ignored.

    Args:
        logits: (B, K, H, W), any float dtype.
        labels: (B, H, W), integers.
        ignored_id: the label that does not count.
        class_weights: (K,), 0 or more.
        pixel_weights: (B, H, W), 0 or more, e.g. U-Net's border weight map.
        label_smoothing: 0..1; this share of the target is spread evenly over all classes, the pixel keeping its one
            weight.

    Returns:
        A scalar.

    Raises:
        DataError: if shapes do not go together or a label is no class.
        SettingError: if label_smoothing is out of range.
    """
    if not 0 <= label_smoothing <= 1:
        raise SettingError(f"label_smoothing is {label_smoothing}; it is a share, from 0 to 1, e.g. 0.1")
    index, valid = targets(logits, labels, ignored_id)
    log_probability = label_log_probability(logits, index)
    loss = -log_probability
    if label_smoothing:
        label_logits = logits.gather(1, index[:, None])[:, 0].to(loss.dtype)
        mean_over_classes = logits.to(loss.dtype).mean(1) - label_logits + log_probability
        loss = (1 - label_smoothing) * loss - label_smoothing * mean_over_classes
    return weighted_mean(loss, index, valid, class_weights, pixel_weights)
