"""Class weights from pixel counts: median frequency (SegNet), ENet's logarithm, inverse frequency, or given numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segfield.classes import Array
from segfield.data.class_weights import enet_weights, median_frequency_weights
from segfield.errors import DataError, SettingError, did_you_mean

Weights = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ClassCounts:
    """How often each class occurs in a set of label maps.

    Attributes:
        pixels: (K,) int64, pixels of each class.
        image_pixels: (K,) int64, all pixels, ignored ones included, of the images where the class occurs.
    """

    pixels: npt.NDArray[np.int64]
    image_pixels: npt.NDArray[np.int64]

    @property
    def share(self) -> npt.NDArray[np.float64]:
        """(K,) share of all pixels that are not ignored, summing to 1."""
        return self.pixels / max(1, int(self.pixels.sum()))


def count_classes(label_maps: Iterable[Array], classes: int, ignored_id: int) -> ClassCounts:
    """Counts over (H, W) integer label maps; `classes` is K.

    Raises:
        DataError: if a label is neither a class nor the ignored id.
    """
    pixels = np.zeros(classes, dtype=np.int64)
    image_pixels = np.zeros(classes, dtype=np.int64)
    for labels in label_maps:
        known = labels[labels != ignored_id].ravel()
        if known.size and not 0 <= int(known.min()) <= int(known.max()) < classes:
            raise DataError(
                f"labels run from {known.min()} to {known.max()}, but there are only classes 0 to {classes - 1}"
            )
        here = np.bincount(known, minlength=classes)
        pixels += here
        image_pixels[here > 0] += labels.size
    return ClassCounts(pixels, image_pixels)


def median_frequency(counts: ClassCounts) -> Weights:
    """median(f) / f_c, f_c = pixels of c ÷ pixels of the images where c occurs; 0 for a class that never occurs."""
    return median_frequency_weights(counts.pixels, counts.image_pixels).astype(np.float32)


def enet(counts: ClassCounts) -> Weights:
    """1 / ln(1.02 + p_c), p_c the class's share of all known pixels: 1.4 to 50.5; 0 for a class that never occurs."""
    return enet_weights(counts.pixels).astype(np.float32)


def inverse(counts: ClassCounts) -> Weights:
    """1 / p_c scaled to a mean of 1 over pixels, so each class counts alike; 0 for a class that never occurs."""
    found = counts.pixels > 0
    weights = np.zeros(len(counts.pixels), dtype=np.float32)
    weights[found] = 1 / (counts.share[found] * max(1, found.sum()))
    return weights


def none(counts: ClassCounts) -> Weights:
    """1 for every class."""
    return np.ones(len(counts.pixels), dtype=np.float32)


CLASS_WEIGHTS: dict[str, Callable[[ClassCounts], Weights]] = {
    "none": none,
    "median_frequency": median_frequency,
    "enet": enet,
    "inverse": inverse,
}


def class_weights(how: str | Sequence[float], counts: ClassCounts) -> Weights:
    """(K,) float32 weights, by name or given.

    Args:
        how: a name in CLASS_WEIGHTS, or one number a class.
        counts: from `count_classes`, over the training images.

    Raises:
        SettingError: if the name is unknown, or the numbers are not K finite ones of 0 or more.
    """
    if isinstance(how, str):
        if how not in CLASS_WEIGHTS:
            raise SettingError(f"there are no class weights '{how}'; {did_you_mean(how, CLASS_WEIGHTS)}")
        return CLASS_WEIGHTS[how](counts)
    classes = len(counts.pixels)
    if len(how) != classes:
        raise SettingError(
            f"{len(how)} class weights are given for {classes} classes; give one number a class, in id order"
        )
    if not all(0 <= weight < math.inf for weight in how):
        raise SettingError(f"class weights are {list(how)}; each must be a finite number, 0 or more")
    if not any(how):
        raise SettingError(
            "all class weights are 0, so nothing would be learnt; give at least one class a weight above 0"
        )
    return np.asarray(how, dtype=np.float32)
