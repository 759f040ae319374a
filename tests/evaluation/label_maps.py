"""Small label maps of the kinds that counting loops meet: patches, noise, void, sizes that no word divides."""

from __future__ import annotations

import numpy as np


def patches(height=41, width=53, classes=4, seed=0, void=255, void_share=0.1, cell=9):
    """(H, W) uint8 truth and prediction: patches, the prediction's borders off by some pixels, and some noise."""
    rng = np.random.default_rng(seed)
    table = rng.integers(0, classes, (height // cell + 3, width // cell + 3)).astype(np.uint8)
    rows, columns = np.mgrid[:height, :width]
    truth = table[rows // cell, columns // cell]
    predicted = table[(rows + rng.integers(0, 3)) // cell, (columns + rng.integers(0, 3)) // cell]
    wrong = rng.random(truth.shape) < 0.03
    predicted = np.where(wrong, rng.integers(0, classes, truth.shape), predicted).astype(np.uint8)
    if void_share:
        truth = truth.copy()
        truth[: max(1, int(height * void_share)), : width // 2] = void
        truth[rng.random(truth.shape) < void_share / 20] = void
    return truth, predicted
