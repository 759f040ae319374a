"""Scores that are no numbers: NaN has no largest class, and argmax would call it class 0."""

from __future__ import annotations

import torch
from torch import Tensor

from segfield.errors import DataError
from segfield.inference.augmented import WindowLogits
from segfield.models.finite import not_finite


def finite(window_logits: WindowLogits) -> WindowLogits:
    """The same function of raw values, but it raises DataError where a score is NaN or infinite.

    One sum over the scores is what it costs.
    """

    def checked(tiles: Tensor) -> Tensor:
        logits = window_logits(tiles)
        if not_finite(logits):
            raise DataError(_told(tiles, logits))
        return logits

    return checked


def _told(tiles: Tensor, logits: Tensor) -> str:
    bad = ~torch.isfinite(logits).all(dim=1)
    return (
        f"the network's scores are NaN or infinite at {int(bad.sum()):,} of {bad.numel():,} pixels, where the image goes from "
        f"{float(tiles.min()):.4g} to {float(tiles.max()):.4g}; if that is unlike the images trained on, bring it to their "
        "range, else the training diverged: train again at a lower --learning_rate"
    )
