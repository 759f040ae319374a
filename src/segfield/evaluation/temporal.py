"""How steady the labels of a video are: mIoU between each frame's labels and those before it, carried along the motion.

The measure is that of Liu, Shen, Yu, Wang: Efficient Semantic Video Segmentation with Per-frame Inference, ECCV 2020
(arXiv:2002.11433), as its authors' tool/eval_tc.py computes it (read): labels of neighbouring frames, one warped onto the other
by optical flow, intersections and unions pooled over the whole clip. Differences: labels are read from the nearest pixel, where
the authors average ids; pixels whose flow fails the check below are left out, where they keep all; the earlier frame is
warped onto the later one, where they do it the other way; their flow is FlowNet2's.
"""

from __future__ import annotations

import functools
import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from segfield.classes import Array
from segfield.data.flow import Flow, FlowBetween, Places
from segfield.errors import DataError
from segfield.evaluation.confusion import Counts, confusion_matrix
from segfield.evaluation.scores import ratio, without_nan

Mask = npt.NDArray[np.bool_]

STILL = 4
"""Grey levels of 0..255 by which no band of a still pixel may change: above the noise of a compressed video. Our choice."""


@dataclass(frozen=True)
class TemporalScores:
    """How steady a clip's labels are; NaN where nothing was there to count (None in `as_dict`).

    Attributes:
        pairs: neighbouring frames that were compared.
        mean_iou: temporal consistency: mIoU of warped and present labels, 0..1, over the classes that either has.
        compared: share of all pixels whose flow was good enough to compare.
        still: share of all pixels whose colour stays.
        flicker: share of those whose label changes all the same, 0..1; needs no flow.
    """

    pairs: int
    mean_iou: float
    compared: float
    still: float
    flicker: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON; NaN becomes None."""
        found: dict[str, Any] = without_nan(asdict(self))
        return found


class TemporalConsistency:
    """Takes a clip's frames in order and keeps only the last one.

    Args:
        classes: K.
        ignored_id: outside 0 … K−1.
        flow_between: estimates optical flow; None where there is none, and then `mean_iou` is NaN.
    """

    def __init__(self, classes: int, ignored_id: int = 255, flow_between: FlowBetween | None = None) -> None:
        self.classes = classes
        self.ignored_id = ignored_id
        self.counts: Counts = np.zeros((classes, classes), np.int64)
        self._flow_between = flow_between
        self._last: tuple[Array, Array] | None = None
        self._pairs = self._pixels = self._still = self._changed = 0

    def update(self, image: Array, labels: Array, backward: Flow | None = None) -> None:
        """Add the next frame.

        Args:
            image: (C, H, W) uint8.
            labels: (H, W) predicted ids.
            backward: flow from this frame to the one before, where it is known already.

        Raises:
            DataError: if sizes differ.
        """
        before, self._last = self._last, (image, labels)
        if before is None:
            return
        old_image, old_labels = before
        if self._flow_between is not None:
            backward = self._flow_between(image, old_image) if backward is None else backward
            forward = self._flow_between(old_image, image)
            self.counts += temporal_confusion(old_labels, labels, backward, forward, self.classes, self.ignored_id)
        still = still_pixels(old_image, image)
        self._pairs += 1
        self._pixels += labels.size
        self._still += int(still.sum())
        self._changed += int((still & (old_labels != labels)).sum())

    def result(self) -> TemporalScores:
        """The scores of the frames so far."""
        share = float(ratio(self.counts.sum(), self._pixels)) if self._flow_between is not None else math.nan
        return TemporalScores(
            self._pairs, consistency_from_counts(self.counts), share,
            float(ratio(self._still, self._pixels)), float(ratio(self._changed, self._still)),
        )  # fmt: skip


def temporal_confusion(
    before: Array, after: Array, backward: Flow, forward: Flow, classes: int, ignored_id: int = 255
) -> Counts:
    """Pixels of each (label carried over from the frame before, label now) where the flow can be trusted: (K, K).

    Args:
        before, after: (H, W) ids of two neighbouring frames.
        backward: flow from the later frame to the earlier one, (H, W, 2).
        forward: the other way.
        classes: K.
        ignored_id: outside 0 … K−1; pixels whose label was this are left out as well.

    Raises:
        DataError: if sizes differ, or an id is out of range.
    """
    if before.shape != after.shape:
        raise DataError(f"two frames of a clip are of one size; found labels of {before.shape} and {after.shape}")
    places = Places(backward)
    carried = places.read(before)
    trusted = _returns(places, backward, forward)
    wide = np.result_type(carried.dtype, np.min_scalar_type(ignored_id))
    return confusion_matrix(np.where(trusted, carried, ignored_id).astype(wide), after, classes, ignored_id)


def trusted_flow(flow: Flow, back: Flow) -> Mask:
    """(H, W): where going along the flow and back again ends near the start, and inside the image.

    |f + b|² < 0.01 (|f|² + |b|²) + 0.5, b read where f leads: Sundaram, Brox, Keutzer: Dense Point Trajectories by
    GPU-accelerated Large Displacement Optical Flow, ECCV 2010, section 3 (from memory).
    """
    return _returns(Places(flow), flow, back)


def _returns(places: Places, flow: Flow, back: Flow) -> Mask:
    across, down = flow[..., 0], flow[..., 1]
    across_back, down_back = places.read(back[..., 0]), places.read(back[..., 1])
    gap = np.square(across + across_back) + np.square(down + down_back)
    lengths = np.square(across) + np.square(down) + np.square(across_back) + np.square(down_back)
    trusted: Mask = places.inside & (gap < 0.01 * lengths + 0.5)
    return trusted


def still_pixels(before: Array, after: Array, tolerance: int = STILL) -> Mask:
    """(H, W): where no band of two images (C, H, W) uint8 differs by more than `tolerance`."""
    if before.shape != after.shape:
        raise DataError(f"two frames of a clip are of one size; found images of {before.shape} and {after.shape}")
    difference = np.maximum(before, after) - np.minimum(before, after)  # stays uint8
    return functools.reduce(np.logical_and, difference <= tolerance)  # a band at a time: faster than over the axis


def consistency_from_counts(counts: Array) -> float:
    """mIoU of a (K, K) matrix of carried-over and present labels, over the classes that either has; NaN without any.

    Neither side is the truth, so a class that only one of them has counts as 0, whichever side that is.
    """
    hit, union = np.diagonal(counts), counts.sum(axis=0) + counts.sum(axis=1) - np.diagonal(counts)
    seen = union > 0
    return float((hit[seen] / union[seen]).mean()) if seen.any() else math.nan
