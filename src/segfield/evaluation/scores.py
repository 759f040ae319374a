"""What follows from a confusion matrix: IoU, accuracies, Dice, precision and recall, of all and of each class.

Definitions: Long, Shelhamer, Darrell 2015, section 5, with n_ij the pixels of class i predicted j, t_i = Σ_j n_ij.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from segfield.classes import Array
from segfield.errors import DataError

Floats = npt.NDArray[np.float64]

ABSENT_RULE = (
    "Counts are pooled over all images; ignored pixels are left out. A class that no pixel of the truth has is left "
    "out of the means over classes and listed; pixels wrongly given to it still count against the classes they belong "
    "to. The value with such a class as 0 where it was predicted stands beside the mean."
)


@dataclass(frozen=True)
class Scores:
    """Scores of one pooled confusion matrix, all 0..1; NaN where nothing was there to count (None in `as_dict`).

    Attributes:
        names: of the K classes.
        pixels: that were counted.
        mean_iou: over classes present in the truth (mIoU).
        mean_iou_absent_as_zero: the same with every class that was predicted, but is absent from the truth, as 0.
        pixel_accuracy: Σ n_ii / Σ t_i.
        mean_class_accuracy: mean of n_ii / t_i over classes present in the truth.
        frequency_weighted_iou: Σ t_i IoU_i / Σ t_i.
        mean_dice: over classes present in the truth.
        iou: n_ii / (t_i + Σ_j n_ji − n_ii), each class; 0 for an absent class that was predicted.
        dice: 2 n_ii / (t_i + Σ_j n_ji), each class.
        precision: n_ii / Σ_j n_ji, each class.
        recall: n_ii / t_i, each class; its accuracy.
        truth_share: t_i / Σ t_i, each class.
        absent: names of the classes that no pixel of the truth has.
        rule: what an absent class does to the means, in words.
    """

    names: tuple[str, ...]
    pixels: int
    mean_iou: float
    mean_iou_absent_as_zero: float
    pixel_accuracy: float
    mean_class_accuracy: float
    frequency_weighted_iou: float
    mean_dice: float
    iou: tuple[float, ...]
    dice: tuple[float, ...]
    precision: tuple[float, ...]
    recall: tuple[float, ...]
    truth_share: tuple[float, ...]
    absent: tuple[str, ...]
    rule: str = ABSENT_RULE

    def as_dict(self) -> dict[str, Any]:
        """Plain lists and numbers for JSON; NaN becomes None."""
        return {field.name: without_nan(getattr(self, field.name)) for field in fields(self)}

    def table(self) -> str:
        """The scores as lines of text, percentages, one class a line."""
        width = max(len("mean of classes"), *(len(name) for name in self.names))
        lines = [f"{'class':<{width}} {'IoU':>6} {'recall':>6} {'prec.':>6} {'Dice':>6} {'share':>6}"]
        for i, name in enumerate(self.names):
            row = (self.iou[i], self.recall[i], self.precision[i], self.dice[i], self.truth_share[i])
            lines.append(f"{name:<{width}} " + " ".join(percent(value) for value in row))
        lines.append(
            f"{'mean of classes':<{width}} {percent(self.mean_iou)} {percent(self.mean_class_accuracy)} "
            f"{'':>6} {percent(self.mean_dice)}"
        )
        lines.append(f"pixel accuracy {percent(self.pixel_accuracy).strip()}, ")
        lines[-1] += f"frequency-weighted IoU {percent(self.frequency_weighted_iou).strip()}, {self.pixels:,} pixels"
        if self.absent:
            zeroed = percent(self.mean_iou_absent_as_zero).strip()
            lines.append(
                f"absent from the truth, not in the means: {', '.join(self.absent)} (mIoU with them as 0: {zeroed})"
            )
        return "\n".join(lines)


def scores_from_confusion(matrix: Array, names: Sequence[str]) -> Scores:
    """All scores of a pooled (K, K) matrix, rows the truth.

    Raises:
        DataError: if the matrix does not fit the K names, or holds negative counts.
    """
    counts = np.asarray(matrix)
    if counts.shape != (len(names), len(names)) or (counts < 0).any():
        raise DataError(
            f"a confusion matrix of {len(names)} classes has {len(names)}×{len(names)} counts, none negative; "
            f"this one is {counts.shape}"
        )
    hit, truth, predicted = tally(counts)
    iou, dice = ratio(hit, truth + predicted - hit), ratio(2 * hit, truth + predicted)
    recall, share = ratio(hit, truth), ratio(truth, truth.sum())
    present = truth > 0
    seen = present | (predicted > 0)
    return Scores(
        names=tuple(names),
        pixels=int(truth.sum()),
        mean_iou=mean_where(iou, present),
        mean_iou_absent_as_zero=mean_where(iou, seen),
        pixel_accuracy=float(ratio(hit.sum(), truth.sum())),
        mean_class_accuracy=mean_where(recall, present),
        frequency_weighted_iou=float((share[present] * iou[present]).sum()) if present.any() else math.nan,
        mean_dice=mean_where(dice, present),
        iou=tuple(iou.tolist()),
        dice=tuple(dice.tolist()),
        precision=tuple(ratio(hit, predicted).tolist()),
        recall=tuple(recall.tolist()),
        truth_share=tuple(share.tolist()),
        absent=tuple(name for name, there in zip(names, present) if not there),
    )


def tally(matrices: Array) -> Array:
    """(…, K, K) confusion matrices → (3, …, K): hits n_ii, pixels in the truth t_i, pixels predicted Σ_j n_ji.

    All that IoU and accuracies need, in K numbers instead of K².
    """
    hits = np.diagonal(matrices, axis1=-2, axis2=-1)
    return np.stack([hits, matrices.sum(axis=-1), matrices.sum(axis=-2)])


def mean_iou_from_tally(hit: Array, truth: Array, predicted: Array) -> Floats:
    """mIoU over classes present in the truth, from (…, K) counts; NaN where nothing is present. Shape (…)."""
    present = truth > 0
    iou = np.where(present, ratio(hit, truth + predicted - hit), 0.0)
    return ratio(iou.sum(axis=-1), present.sum(axis=-1))


def ratio(over: Any, under: Any) -> Floats:
    """over / under, NaN for 0/0, without warnings."""
    over, under = np.broadcast_arrays(np.asarray(over, np.float64), np.asarray(under, np.float64))
    quotient: Floats = np.divide(over, under, out=np.full(over.shape, np.nan), where=under != 0)
    return quotient


def mean_where(values: Array, chosen: Array) -> float:
    """Mean of the chosen values; NaN if none is."""
    return float(values[chosen].mean()) if chosen.any() else math.nan


def percent(value: float) -> str:
    """0.5 → '  50.0', six wide; a dash for NaN."""
    return f"{'–':>6}" if math.isnan(value) else f"{100 * value:6.1f}"


def without_nan(value: Any) -> Any:
    """The value for JSON: tuples and arrays as lists, dicts walked, NaN as None."""
    if isinstance(value, np.ndarray | np.generic):
        return without_nan(value.tolist())
    if isinstance(value, dict):
        return {str(key): without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
