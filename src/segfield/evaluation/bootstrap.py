"""Confidence intervals by bootstrap over images (Efron 1979): images are drawn with replacement, their counts pooled.

Pixels of one image are not independent, images nearly are; hence images, not pixels, are drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from segfield.classes import Array
from segfield.errors import DataError, SettingError
from segfield.evaluation.scores import Floats, mean_iou_from_tally, ratio, without_nan


@dataclass(frozen=True)
class Interval:
    """A value of the whole set with the percentile interval of its resamples, in the value's own unit."""

    value: float
    low: float
    high: float
    level: float = 0.95

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON; NaN becomes None."""
        return {key: without_nan(getattr(self, key)) for key in ("value", "low", "high", "level")}


@dataclass(frozen=True)
class Difference:
    """mIoU of a second system minus that of a first, on the same images.

    Attributes:
        interval: the difference and its interval.
        p_value: two-sided: how often resamples put the difference on the other side of 0, doubled.
    """

    interval: Interval
    p_value: float

    @property
    def is_gain(self) -> bool:
        """Whether the second system is better for certain: the difference is above 0 with all of its interval."""
        return self.interval.low > 0


def bootstrap_iou(
    tallies: Array, resamples: int = 1000, level: float = 0.95, seed: int = 0
) -> tuple[Interval, tuple[Interval, ...]]:
    """Intervals of mIoU and of each class's IoU.

    Args:
        tallies: (3, N, K) hits, truth and predicted pixels of each image, as `scores.tally` gives them.
        resamples: R, how many sets of N images are drawn.
        level: share of resamples inside the interval.
        seed: of the draw.

    Returns:
        the interval of mIoU, and K intervals. A resample's mean is over the classes present in its truth; a class's
        interval is over the resamples that have it. NaN for a class that no image has.

    Raises:
        DataError: if there is no image, or the shape is another.
        SettingError: if `resamples` or `level` is out of range.
    """
    _check(tallies, resamples, level)
    hit, truth, predicted = _resampled(tallies, resamples, seed)
    iou = np.where(truth > 0, ratio(hit, truth + predicted - hit), np.nan)
    whole_hit, whole_truth, whole_predicted = tallies.sum(axis=1)
    whole = ratio(whole_hit, whole_truth + whole_predicted - whole_hit)
    mean = _interval(
        float(mean_iou_from_tally(whole_hit, whole_truth, whole_predicted)),
        mean_iou_from_tally(hit, truth, predicted),
        level,
    )
    return mean, tuple(_interval(float(value), iou[:, k], level) for k, value in enumerate(whole))


def bootstrap_difference(
    first: Array, second: Array, resamples: int = 1000, level: float = 0.95, seed: int = 0
) -> Difference:
    """Paired: the same images are drawn for both systems, so what is hard for both cancels.

    Args:
        first, second: (3, N, K) tallies of the two systems, images in the same order.
        resamples, level, seed: as in `bootstrap_iou`.

    Raises:
        DataError: if the two do not come from the same images.
    """
    _check(first, resamples, level)
    if first.shape != second.shape or not np.array_equal(first[1], second[1]):
        raise DataError(
            "the two systems were not measured on the same images with the same truth; evaluate both on one set"
        )
    drawn = mean_iou_from_tally(*_resampled(second, resamples, seed)) - mean_iou_from_tally(
        *_resampled(first, resamples, seed)
    )
    value = float(mean_iou_from_tally(*second.sum(axis=1)) - mean_iou_from_tally(*first.sum(axis=1)))
    known = drawn[np.isfinite(drawn)]
    below, above = int((known <= 0).sum()), int((known >= 0).sum())
    p_value = min(1.0, 2 * (min(below, above) + 1) / (known.size + 1))
    return Difference(_interval(value, drawn, level), p_value)


def _check(tallies: Array, resamples: int, level: float) -> None:
    if tallies.ndim != 3 or tallies.shape[0] != 3 or tallies.shape[1] == 0:
        raise DataError(f"tallies are (3, N, K) with at least one image; these are {tallies.shape}")
    if resamples < 1 or not 0 < level < 1:
        raise SettingError(f"resamples={resamples} and level={level} cannot be used; give 1 or more and 0 < level < 1")


def _resampled(tallies: Array, resamples: int, seed: int) -> Floats:
    """(3, N, K) → (3, R, K) pooled counts: how often each image is drawn, times its counts. Exact up to 2^53 pixels."""
    images = tallies.shape[1]
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(images, np.full(images, 1 / images), size=resamples).astype(np.float64)  # (R, N)
    return weights @ tallies.astype(np.float64)


def _interval(value: float, drawn: Floats, level: float) -> Interval:
    known = drawn[np.isfinite(drawn)]
    if known.size == 0:
        return Interval(value, np.nan, np.nan, level)
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), level)
