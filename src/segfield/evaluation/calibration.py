"""Does a probability mean what it says? Reliability counts over pixels, ECE, Brier score, likelihood, temperature.

Guo, Pleiss, Sun, Weinberger 2017, "On Calibration of Modern Neural Networks"; Naeini et al. 2015 for the binned error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize, special

from segfield.classes import Array
from segfield.compiled import compiled
from segfield.errors import DataError, SettingError
from segfield.evaluation.scores import Floats, ratio, without_nan

SMALLEST_PROBABILITY = 1e-12
"""Probabilities below are taken as this in the likelihood, so that one certain error does not make it infinite."""


@dataclass(frozen=True)
class Calibration:
    """Reliability of the top class's probability, in equal bins of confidence.

    Attributes:
        counts: (bins,) pixels.
        correct: (bins,) pixels whose top class is right.
        confidence: (bins,) sum of the top class's probability.
        brier_sum: sum over pixels of Σ_k (p_k − y_k)², 0..2 each.
        likelihood_sum: sum over pixels of −log p of the true class, in nats.
    """

    counts: Array
    correct: Array
    confidence: Floats
    brier_sum: float = 0.0
    likelihood_sum: float = 0.0

    @property
    def pixels(self) -> int:
        """Pixels counted."""
        return int(self.counts.sum())

    @property
    def expected_error(self) -> float:
        """ECE: Σ_b n_b / n · |accuracy_b − confidence_b|, 0..1; NaN without pixels."""
        return float(np.abs(self.correct - self.confidence).sum() / self.pixels) if self.pixels else math.nan

    @property
    def largest_error(self) -> float:
        """MCE: the largest gap of a bin that has pixels, 0..1."""
        gaps = np.abs(ratio(self.correct - self.confidence, self.counts))
        return float(np.nanmax(gaps)) if self.pixels else math.nan

    @property
    def brier(self) -> float:
        """Mean over pixels of Σ_k (p_k − y_k)²."""
        return self.brier_sum / self.pixels if self.pixels else math.nan

    @property
    def negative_log_likelihood(self) -> float:
        """Mean over pixels of −log p of the true class, in nats."""
        return self.likelihood_sum / self.pixels if self.pixels else math.nan

    def __add__(self, other: Calibration) -> Calibration:
        if self.counts.shape != other.counts.shape:
            raise DataError(
                f"{self.counts.size} bins and {other.counts.size} bins cannot be joined; use one number of bins"
            )
        return Calibration(
            self.counts + other.counts,
            self.correct + other.correct,
            self.confidence + other.confidence,
            self.brier_sum + other.brier_sum,
            self.likelihood_sum + other.likelihood_sum,
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain lists and numbers for JSON; empty bins are None."""
        return {
            "expected_error": without_nan(self.expected_error),
            "largest_error": without_nan(self.largest_error),
            "brier": without_nan(self.brier),
            "negative_log_likelihood": without_nan(self.negative_log_likelihood),
            "pixels": self.pixels,
            "bin_counts": without_nan(self.counts),
            "bin_accuracy": without_nan(ratio(self.correct, self.counts)),
            "bin_confidence": without_nan(ratio(self.confidence, self.counts)),
        }


def no_calibration(bins: int = 15) -> Calibration:
    """Nothing counted yet: where a sum begins."""
    if bins < 1:
        raise SettingError(f"{bins} bins cannot hold anything; give 1 or more (15 is usual)")
    return Calibration(np.zeros(bins, np.int64), np.zeros(bins, np.int64), np.zeros(bins))


def calibration(probabilities: Array, labels: Array, ignored_id: int, bins: int = 15, every: int = 1) -> Calibration:
    """Reliability counts of one image; `+` pools them.

    Args:
        probabilities: (K, H, W), each pixel's sum 1; float16 is taken as float32.
        labels: (H, W) true ids.
        ignored_id: left out.
        bins: equal bins of 0..1; a confidence on an edge belongs to the bin above.
        every: count each `every`-th row and column only: neighbouring pixels tell nearly the same.

    Raises:
        DataError: if shapes differ, a true id is out of range, or a probability is not within 0..1.
    """
    start = no_calibration(bins)
    if every < 1:
        raise SettingError(f"every={every} would count nothing; give 1 (all pixels) or more")
    if probabilities.ndim != 3 or probabilities.shape[1:] != labels.shape:
        raise DataError(
            f"probabilities are (K, H, W) over labels (H, W); these are {probabilities.shape} and {labels.shape}"
        )
    true_ids = np.ascontiguousarray(labels[::every, ::every], dtype=np.int32)
    chosen = np.ascontiguousarray(probabilities[:, ::every, ::every], dtype=np.float32)
    known = true_ids[true_ids != ignored_id]
    if known.size == 0:
        return start
    if known.min() < 0 or known.max() >= chosen.shape[0]:
        raise DataError(f"the truth holds ids up to {known.max()} but there are {chosen.shape[0]} probability maps")
    sums = np.zeros(2)
    fits = _count_reliability(
        chosen, true_ids, ignored_id, np.linspace(0, 1, bins + 1), start.counts, start.correct, start.confidence, sums
    )
    if not fits:
        raise DataError("the probabilities hold values outside 0..1; take the softmax of the logits first")
    return Calibration(start.counts, start.correct, start.confidence, float(sums[0]), float(sums[1]))


@compiled
def _count_reliability(
    probabilities: Array,
    labels: Array,
    ignored_id: int,
    edges: Array,
    counts: Array,
    correct: Array,
    confidence: Array,
    sums: Array,
) -> bool:
    """Row by row, class by class, so that memory is read in order. False at a value that is no probability."""
    classes, height, width = probabilities.shape
    bins = counts.size
    top, top_id = np.empty(width, np.float32), np.empty(width, np.int32)
    squares, of_truth = np.empty(width), np.empty(width)
    for y in range(height):
        top[:], squares[:], of_truth[:] = -1, 0, 0
        for k in range(classes):
            for x in range(width):
                value = probabilities[k, y, x]
                if not 0 <= value <= 1.001 and labels[y, x] != ignored_id:
                    return False
                squares[x] += value * value
                if value > top[x]:
                    top[x], top_id[x] = value, k
                if labels[y, x] == k:
                    of_truth[x] = value
        for x in range(width):
            if labels[y, x] == ignored_id:
                continue
            which = min(int(top[x] * bins), bins - 1)
            # the product may fall on the other side of an edge than the value
            if top[x] < edges[which]:
                which -= 1
            elif which < bins - 1 and top[x] >= edges[which + 1]:
                which += 1
            counts[which] += 1
            correct[which] += top_id[x] == labels[y, x]
            confidence[which] += top[x]
            sums[0] += squares[x] - 2 * of_truth[x] + 1
            sums[1] -= np.log(max(of_truth[x], SMALLEST_PROBABILITY))
    return True


def fit_temperature(logits: Array, true_ids: Array) -> float:
    """The temperature T > 0 for which softmax(logits / T) is likeliest; above 1 where the network is too sure.

    Args:
        logits: (K, N) of validation pixels, or log probabilities; a few thousand pixels suffice.
        true_ids: (N,) with none ignored.

    Raises:
        DataError: if there are no pixels or the shapes differ.
    """
    if logits.ndim != 2 or logits.shape[1:] != true_ids.shape or true_ids.size == 0:
        raise DataError(f"logits are (K, N) over true ids (N,); these are {logits.shape} and {true_ids.shape}")
    scores = logits.astype(np.float64)
    of_truth = np.take_along_axis(scores, true_ids[None].astype(np.int64), axis=0)[0]

    def loss(log_temperature: float) -> float:
        scale = math.exp(-log_temperature)
        return float((special.logsumexp(scores * scale, axis=0) - of_truth * scale).mean())

    found = optimize.minimize_scalar(loss, bounds=(math.log(0.05), math.log(20.0)), method="bounded")
    return math.exp(float(found.x))
