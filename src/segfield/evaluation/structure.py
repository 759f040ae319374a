"""Is a class in as many pieces as in the truth, as large, as whole? Components, their sizes and holes, as pooled counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from segfield.classes import Array
from segfield.errors import DataError
from segfield.evaluation.boundaries import check_one_size
from segfield.evaluation.components import components
from segfield.evaluation.edges import VOID
from segfield.evaluation.scores import Floats, mean_where, ratio, without_nan

BINS_AN_OCTAVE = 2
BINS = 32 * BINS_AN_OCTAVE
"""Of component sizes: bin i holds those from 2^(i/2) pixels to below 2^((i+1)/2)."""


@dataclass(frozen=True)
class Structure:
    """Counts of the components and holes of one image, or of many: `+` joins them.

    Attributes:
        images: that were counted.
        sizes: (2, K, BINS) components by size, in half octaves of pixels, in the truth and in the prediction.
        holes: (2, K) holes, in the truth and in the prediction.
    """

    images: int
    sizes: Array
    holes: Array

    def __add__(self, other: Structure) -> Structure:
        if self.sizes.shape != other.sizes.shape:
            raise DataError("components of other classes cannot be joined; count both with one class table")
        return Structure(self.images + other.images, self.sizes + other.sizes, self.holes + other.holes)

    @property
    def components(self) -> Array:
        """(2, K) connected components, in the truth and in the prediction."""
        counts: Array = self.sizes.sum(axis=-1)
        return counts

    @property
    def components_per_image(self) -> Floats:
        """(2, K) mean number of components in an image, those without any included."""
        return ratio(self.components, self.images)

    @property
    def holes_per_image(self) -> Floats:
        """(2, K) mean number of holes in an image."""
        return ratio(self.holes, self.images)

    @property
    def component_ratio(self) -> Floats:
        """(K,) predicted components for each true one: above 1 where a class is in more pieces; NaN for an absent class."""
        truth, predicted = self.components
        return np.where(truth > 0, ratio(predicted, truth), np.nan)

    @property
    def size_distance(self) -> Floats:
        """(K,) first Wasserstein distance, in octaves, between the distributions of log2 component size.

        1 means that sizes are off by a factor of 2 on average. NaN for a class without a component in truth or prediction.
        """
        truth, predicted = ratio(self.sizes, self.components[..., None]).cumsum(axis=-1)
        distance: Floats = np.abs(truth - predicted).sum(axis=-1) / BINS_AN_OCTAVE
        return distance

    @property
    def mean_component_ratio(self) -> float:
        """Mean of the ratios over classes present in the truth."""
        return self.mean(self.component_ratio)

    @property
    def mean_size_distance(self) -> float:
        """Mean of the distances over classes present in the truth that were predicted at all."""
        return self.mean(self.size_distance)

    def mean(self, values: Array) -> float:
        """Mean of (K,) values over classes present in the truth, undefined ones left out; NaN if none is left."""
        return mean_where(values, (self.components[0] > 0) & np.isfinite(values))

    def as_dict(self) -> dict[str, Any]:
        """Plain lists and numbers for JSON; NaN becomes None."""
        counts = {"components": self.components, "components_per_image": self.components_per_image}
        counts |= {"holes": self.holes, "holes_per_image": self.holes_per_image}
        both = {name: {"truth": without_nan(t), "predicted": without_nan(p)} for name, (t, p) in counts.items()}
        return {
            "images": self.images,
            **both,
            "component_ratio": without_nan(self.component_ratio),
            "size_distance": without_nan(self.size_distance),
            "mean_component_ratio": without_nan(self.mean_component_ratio),
            "mean_size_distance": without_nan(self.mean_size_distance),
        }


def structure(truth: Array, predicted: Array, classes: int, ignored_id: int) -> Structure:
    """Components and holes of one image, as `components` defines them.

    The prediction is taken as void wherever the truth is, so that void cuts both alike.

    Args:
        truth: (H, W) ids, the ignored id where void.
        predicted: (H, W) ids 0 … K−1 where the truth is known.
        classes: K.
        ignored_id: of void.

    Raises:
        DataError: if the maps differ in shape or an id is out of range.
    """
    check_one_size(truth, predicted)
    sizes, holes = [], []
    void = truth == ignored_id
    for what, labels in (("truth", truth), ("prediction", predicted)):
        # widened first: an unsigned map cannot hold VOID
        ids = np.where(void, np.int32(VOID), labels.astype(np.int32))
        try:
            found = components(ids, classes)
        except DataError as error:
            raise DataError(f"the {what}'s {error}") from error
        bins = found.classes * BINS + size_bins(found.sizes)
        sizes.append(np.bincount(bins, minlength=classes * BINS).reshape(classes, BINS))
        holes.append(found.holes)
    return Structure(1, np.stack(sizes), np.stack(holes))


def no_structure(classes: int) -> Structure:
    """Nothing counted yet: where a sum begins."""
    return Structure(0, np.zeros((2, classes, BINS), np.int64), np.zeros((2, classes), np.int64))


def size_bins(sizes: Array) -> Array:
    """Pixels, 1 or more → the half octave they lie in, 0 … BINS−1."""
    # 2 log2(n) = log2(n²), whose floor is the exponent of n² as a number of 53 bits
    bins: Array = np.frexp(np.square(sizes, dtype=np.float64))[1].astype(np.int64) - 1
    return np.minimum(bins, BINS - 1)
