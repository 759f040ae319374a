"""Class weights from pixel counts: median frequency balancing (Eigen & Fergus 2015, SegNet 2017) and ENet's (2016)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]
Weights = npt.NDArray[np.float64]


def median_frequency_weights(pixels: Counts, image_pixels: Counts) -> Weights:
    """Median frequency balancing: median(freq) / freq of each class; 0 for a class that never occurs.

    Args:
        pixels: (K,) pixels of each class over all images.
        image_pixels: (K,) all pixels, ignored ones included, of the images in which the class occurs.

    The median is over the classes that occur. Source: SegNet, IEEE TPAMI 2017, section 4.1.
    """
    there = pixels > 0
    weights = np.zeros(len(pixels))
    frequency = pixels[there] / image_pixels[there]
    weights[there] = np.median(frequency) / frequency if there.any() else 0.0
    return weights


def enet_weights(pixels: Counts, softening: float = 1.02) -> Weights:
    """ENet's weights: 1 / ln(softening + share of the class among labelled pixels); 0 for a class that never occurs.

    With 1.02 they lie between 1.4 and 50. Source: ENet, arXiv 1606.02147, section 5.2.

    Args:
        pixels: (K,) pixels of each class over all images.
    """
    there = pixels > 0
    weights = np.zeros(len(pixels))
    weights[there] = 1.0 / np.log(softening + pixels[there] / max(int(pixels.sum()), 1))
    return weights
