"""Feature sets the filters' tests share: clusters of any dimension, and crops of real photos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segfield.crf.features import bilateral_features


def clusters(pixels: int, dimensions: int, seed: int = 0) -> NDArray[np.float32]:
    """(N, D) points in a few clusters some widths apart, as colours of a photo are: near, far and in-between pairs."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(-6, 6, (5, dimensions))
    points = centres[rng.integers(0, 5, pixels)] + rng.normal(0, 0.7, (pixels, dimensions))
    return points.astype(np.float32)


def photo_features(shared_data: Path, sxy: float, srgb: float, size: tuple[int, int] = (80, 60)) -> NDArray[np.float32]:
    """(N, 5) bilateral features of a crop, size in pixels (width, height), of the first photo of DAVIS 2016."""
    photo = sorted((shared_data / "davis2016").rglob("*.jpg"))[0]
    left, top = 300, 180
    with Image.open(photo) as opened:
        crop = opened.convert("RGB").crop((left, top, left + size[0], top + size[1]))
    return bilateral_features(np.asarray(crop).transpose(2, 0, 1), sxy, srgb)


def probabilities(pixels: int, classes: int, seed: int = 1) -> NDArray[np.float32]:
    """(N, C) rows in [0, 1] that sum to one, some nearly certain."""
    scores = np.random.default_rng(seed).gumbel(0, 3, (pixels, classes))
    odds = np.exp(scores - scores.max(axis=1, keepdims=True))
    return (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)
