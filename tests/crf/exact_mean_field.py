"""An oracle for whole CRFs: mean field with every pair summed in float64, written without segfield's code; and a scene."""

from __future__ import annotations

from typing import Any

import numpy as np

from segfield.classes import Array


def softmax(scores: Array) -> Array:
    """Over the first axis."""
    exponentials = np.exp(scores - scores.max(0))
    return exponentials / exponentials.sum(0)


def exact_mean_field(image: Array, unary: Array, compatibility: Array | None = None, **changes: Any) -> Array:
    """(C, H, W) in 0..255 and (K, H, W) → (K, H, W) float64; parameters as DenseCRF's defaults, a bandwidth None: off."""
    given = {"bilateral_weight": 4.0, "bilateral_sxy": 67.0, "bilateral_srgb": 3.0, "gaussian_weight": 3.0}
    given |= {"gaussian_sxy": 3.0, "iterations": 10, "normalization": "symmetric"} | changes
    classes, height, width = unary.shape
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    place = np.stack([columns, rows]).reshape(2, -1)
    colours = image.reshape(len(image), -1).astype(np.float64)
    kernels = []
    if given["bilateral_sxy"]:
        features = np.concatenate([place / given["bilateral_sxy"], colours / given["bilateral_srgb"]])
        kernels.append((_kernel(features, given["normalization"]), given["bilateral_weight"]))
    if given["gaussian_sxy"]:
        kernels.append((_kernel(place / given["gaussian_sxy"], given["normalization"]), given["gaussian_weight"]))
    penalty = -np.eye(classes) if compatibility is None else compatibility
    energy = unary.reshape(classes, -1).astype(np.float64)
    found = softmax(-energy)
    for _ in range(given["iterations"]):
        messages = [np.asarray(weight).reshape(-1, 1) * (found @ kernel.T) for kernel, weight in kernels]
        found = softmax(-energy - penalty @ sum(messages))
    return found.reshape(unary.shape)


def _kernel(features: Array, normalization: str) -> Array:
    kernel = np.exp(-0.5 * ((features[:, :, None] - features[:, None]) ** 2).sum(0))
    sums = kernel.sum(1)
    if normalization == "none":
        return kernel
    if normalization == "after":
        return kernel / sums[:, None]
    if normalization == "before":
        return kernel / sums
    return kernel / np.sqrt(sums[:, None] * sums)


def scene(classes: int = 3, height: int = 30, width: int = 40, seed: int = 0) -> tuple[Array, Array, Array]:
    """An image (3, H, W) uint8 of coloured bands with noise, its labels (H, W), and noisy logits (K, H, W)."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(width) * classes // width) + np.zeros((height, 1), int)
    labels = np.where(np.arange(height)[:, None] < height // 3, (labels + 1) % classes, labels)
    colours = rng.integers(40, 215, (classes, 3))
    image = colours[labels].transpose(2, 0, 1) + rng.normal(0, 2, (3, height, width))
    logits = 1.5 * np.eye(classes)[labels].transpose(2, 0, 1) + rng.standard_normal((classes, height, width))
    return np.clip(image, 0, 255).astype(np.uint8), labels, logits.astype(np.float32)
