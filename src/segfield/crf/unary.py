"""Unaries of the CRF: −log probability of each class at each pixel, from logits, probabilities or hard labels.

What cannot be a classifier's output is refused here, in one sentence each. Arrays may be NumPy's or torch's; what comes
back is of the same library, on the same device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from segfield.classes import Array
from segfield.crf.arrays import as_array, as_float32, is_tensor, namespace
from segfield.errors import DataError, SettingError

SUM_TOLERANCE = 0.01  # half-precision and 8-bit files round each class's share


def unary_from_logits(logits: Any) -> Any:
    """−log softmax over the classes.

    Args:
        logits: (K, H, W), any real values; array or tensor.

    Returns:
        (K, H, W) float32.

    Raises:
        DataError: if logits are NaN or infinite, or not of three dimensions.
    """
    logits = as_float32(logits)
    check_logits(logits)
    xp = namespace(logits)
    shifted = logits - xp.amax(logits, 0)
    return xp.log(xp.exp(shifted).sum(0)) - shifted


def unary_from_probabilities(probabilities: Any, clip: float = 1e-5) -> Any:
    """−log p, with p raised to at least `clip` so that no class is ruled out for good.

    Args:
        probabilities: (K, H, W) in 0..1, summing to 1 over the classes; array or tensor.
        clip: the least probability, 0 < clip < 1.

    Returns:
        (K, H, W) float32.

    Raises:
        DataError: if probabilities are NaN, negative, or do not sum to one.
        SettingError: if `clip` is out of range.
    """
    if not 0 < clip < 1:
        raise SettingError(f"clip is {clip}, but the least probability must lie between 0 and 1; 1e-5 is usual")
    probabilities = as_float32(probabilities)
    check_probabilities(probabilities)
    return clipped_unary(probabilities, clip)


def clipped_unary(probabilities: Any, clip: float = 1e-5) -> Any:
    """−log max(p, clip) of probabilities (K, H, W) that are known to be sound, as float32."""
    xp = namespace(probabilities)
    return -xp.log(xp.clip(as_float32(probabilities), clip, 1.0))


def unary_from_labels(
    labels: Any, classes: int, confidence: float | Sequence[float] = 0.7, unknown_id: int | None = None
) -> Array:
    """Unaries of hard labels that may be wrong: −log c for the label, −log((1 − c) / (K − 1)) for each other class.

    Args:
        labels: (H, W) class ids, 0 … classes − 1.
        classes: how many classes there are (K).
        confidence: probability c that a label is right, 0 < c < 1; one value, or one a class.
        unknown_id: id of pixels whose class is not known; every class gets −log(1 / K) there.

    Returns:
        (K, H, W) float32.

    Raises:
        DataError: if labels are not (H, W) integers, or hold an id that is no class.
        SettingError: if a confidence is out of range, or there are not as many as classes.
    """
    found = as_array(labels)
    sureness = _confidences(confidence, classes)
    unknown = _check_labels(found, classes, unknown_id)
    if classes == 1:
        return np.zeros((1, *found.shape), np.float32)
    ids = np.where(unknown, 0, found).astype(np.intp)
    others = (1 - sureness) / (classes - 1)
    unary = np.broadcast_to(-np.log(others)[ids], (classes, *ids.shape)).astype(np.float32)
    np.put_along_axis(unary, ids[None], -np.log(sureness)[ids][None].astype(np.float32), axis=0)
    unary[:, unknown] = math.log(classes)
    return unary


def check_logits(logits: Any, what: str = "logits") -> None:
    """Raise DataError unless `logits` are (K, H, W), finite numbers."""
    _check_shape(logits, what)
    _check_finite(logits, what)


def check_probabilities(probabilities: Any) -> None:
    """Raise DataError unless `probabilities` are (K, H, W), not negative, and sum to one over the classes."""
    what = "probabilities"
    _check_shape(probabilities, what)
    least = _check_finite(probabilities, what)
    if least < 0:
        where = _position(probabilities == probabilities.min())
        raise DataError(
            f"the probabilities go down to {least:.4g} ({where}), but none can be negative; "
            "if these are the network's raw scores, give them as logits="
        )
    sums = probabilities.sum(0)
    excess = abs(sums - 1)
    pixels = int((excess > SUM_TOLERANCE).sum())
    if pixels:
        worst = float(sums[excess == excess.max()].reshape(-1)[0])
        mend = "divide them by their sum over the first axis (K, H, W)"
        if len(probabilities) == 1:
            mend = "a map of one class needs its complement beside it: stack (1 − p, p)"
        raise DataError(
            f"the probabilities do not sum to one at {pixels:,} of {math.prod(sums.shape):,} pixels "
            f"(worst sum {worst:.4g}); {mend}"
        )


def _check_shape(scores: Any, what: str) -> None:
    if scores.ndim != 3 or 0 in scores.shape:
        raise DataError(f"the {what} have shape {tuple(scores.shape)}, expected (K, H, W): classes, rows, columns")


def _check_finite(scores: Any, what: str) -> float:
    """The least value; NaN and infinities are found in the extremes, without a mask of the whole array."""
    least, largest = float(scores.min()), float(scores.max())
    if math.isfinite(least) and math.isfinite(largest):
        return least
    bad = ~namespace(scores).isfinite(scores)
    pixels = int(bad.any(0).sum())
    raise DataError(
        f"the {what} are NaN or infinite at {pixels:,} of {math.prod(scores.shape[1:]):,} pixels "
        f"(first: {_position(bad)}); mend what computed them, often a division by zero or an overflow in half precision"
    )


def _position(mask: Any) -> str:
    first = (mask.nonzero()[0] if is_tensor(mask) else np.argwhere(mask)[0]).tolist()
    return "class {}, row {}, column {}".format(*first)


def _confidences(confidence: float | Sequence[float], classes: int) -> Array:
    """(K,) float64 confidences, checked."""
    if classes < 1:
        raise SettingError(f"classes is {classes}, but there must be at least one")
    values = np.asarray(confidence, dtype=np.float64)
    if values.ndim and values.shape != (classes,):
        raise SettingError(
            f"confidence has {values.size} values for {classes} classes; give one number, or one a class"
        )
    wrong = values[~((values > 0) & (values < 1))]
    if wrong.size:
        raise SettingError(f"confidence is {wrong.flat[0]:g}, but must lie between 0 and 1, both excluded; try 0.7")
    return np.broadcast_to(values, (classes,))


def _check_labels(labels: Array, classes: int, unknown_id: int | None) -> Array:
    """(H, W) mask of unknown pixels; DataError for anything that is not a class id elsewhere."""
    if labels.ndim != 2 or labels.dtype.kind not in "iub":
        raise DataError(f"the labels are {labels.dtype} of shape {labels.shape}, expected integer class ids (H, W)")
    unknown = np.zeros(labels.shape, bool) if unknown_id is None else labels == unknown_id
    wrong = ~unknown & ((labels < 0) | (labels >= classes))
    if wrong.any():
        value = int(labels[wrong][0])
        raise DataError(
            f"the labels hold the id {value} at {int((labels == value).sum()):,} pixels, but classes are 0 to "
            f"{classes - 1}; if it means that the class is not known, give unknown_id={value}"
        )
    return unknown
