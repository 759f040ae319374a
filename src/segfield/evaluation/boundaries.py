"""How good are the edges? Trimap IoU curves, boundary IoU and BF score, as integer counts that can be pooled.

Trimap: Kohli et al. 2009; void form: Chen et al. 2015. Boundary IoU: Cheng et al. 2021. BF: Csurka et al. 2013.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from segfield.classes import Array
from segfield.errors import DataError, SettingError
from segfield.evaluation import edges
from segfield.evaluation.scores import Floats, mean_iou_from_tally, mean_where, ratio, tally, without_nan

WIDTHS = (1, 2, 3, 5, 8, 12, 20, 40)
BOUNDARY_IOU_SHARE = 0.02
BF_SHARE = 0.0075


@dataclass(frozen=True)
class Boundaries:
    """Boundary counts of one image, or of many: `+` joins them.

    Attributes:
        widths: w of the trimap bands, in pixels.
        edge_bands: (W, K, K) confusion counts of the pixels within w of a boundary between two true classes.
        void_bands: (W, K, K) confusion counts of the pixels that a (2w+1)² square around a void pixel covers.
        bands: (3, K) pixels in both boundary bands, in the truth's and in the prediction's, for boundary IoU.
        contours: (N, 4, K) for each image: predicted contour pixels that lie near the truth's contour, all predicted
            ones, true ones near the prediction's contour, all true ones.
        present: (N, K) whether the class is in the image's truth.
    """

    widths: tuple[int, ...]
    edge_bands: Array
    void_bands: Array
    bands: Array
    contours: Array
    present: Array

    def __add__(self, other: Boundaries) -> Boundaries:
        if self.widths != other.widths or self.bands.shape != other.bands.shape:
            raise DataError("boundary counts of other widths or other classes cannot be joined; measure both alike")
        return Boundaries(
            self.widths,
            self.edge_bands + other.edge_bands,
            self.void_bands + other.void_bands,
            self.bands + other.bands,
            np.concatenate([self.contours, other.contours]),
            np.concatenate([self.present, other.present]),
        )

    @property
    def trimap(self) -> Floats:
        """(W,) mIoU in the bands about boundaries between classes; NaN where there is none."""
        return mean_iou_from_tally(*tally(self.edge_bands))

    @property
    def void_trimap(self) -> Floats:
        """(W,) mIoU in the bands about void pixels; NaN where there is no void."""
        return mean_iou_from_tally(*tally(self.void_bands))

    @property
    def class_boundary_iou(self) -> Floats:
        """(K,) boundary IoU, pooled over images; NaN for a class absent from the truth."""
        both, truth, predicted = self.bands
        return np.where(truth > 0, ratio(both, truth + predicted - both), np.nan)

    @property
    def boundary_iou(self) -> float:
        """Mean of boundary IoU over classes present in the truth."""
        return mean_where(self.class_boundary_iou, self.bands[1] > 0)

    @property
    def image_bf_score(self) -> Floats:
        """(N,) BF score of each image: mean over the classes in its truth that have a contour in either map."""
        score, counted = self._image_class_bf_score
        return ratio(score.sum(axis=1), counted.sum(axis=1))

    @property
    def class_bf_score(self) -> Floats:
        """(K,) BF score of each class: mean over the images whose truth has it, with a contour in either map."""
        score, counted = self._image_class_bf_score
        return ratio(score.sum(axis=0), counted.sum(axis=0))

    @property
    def _image_class_bf_score(self) -> tuple[Floats, Array]:
        """(N, K) F1 of each image's contours of each class, 0 where it does not count; and whether it counts."""
        near_truth, predicted, near_predicted, truth = np.moveaxis(self.contours, 1, 0)  # each (N, K)
        precision, recall = ratio(near_truth, predicted), ratio(near_predicted, truth)
        score = np.nan_to_num(ratio(2 * precision * recall, precision + recall))
        counted = self.present & (predicted + truth > 0)
        return np.where(counted, score, 0.0), counted

    @property
    def bf_score(self) -> float:
        """Mean of the images' BF scores, over the images that have one."""
        scores = self.image_bf_score
        return mean_where(scores, np.isfinite(scores))

    def as_dict(self) -> dict[str, Any]:
        """Plain lists and numbers for JSON; NaN becomes None."""
        return {
            "widths": list(self.widths),
            "trimap": without_nan(self.trimap),
            "void_trimap": without_nan(self.void_trimap),
            "boundary_iou": without_nan(self.boundary_iou),
            "class_boundary_iou": without_nan(self.class_boundary_iou),
            "bf_score": without_nan(self.bf_score),
            "class_bf_score": without_nan(self.class_bf_score),
        }


def boundaries(
    truth: Array,
    predicted: Array,
    classes: int,
    ignored_id: int,
    widths: Sequence[int] = WIDTHS,
    boundary_iou_share: float = BOUNDARY_IOU_SHARE,
    bf_share: float = BF_SHARE,
) -> Boundaries:
    """Boundary counts of one image.

    A pixel is on the contour if one of its four neighbours has another known class; neither the image's edge nor void
    is a contour. The prediction is taken as void wherever the truth is.

    * Trimap band w: known pixels whose (2w−1)² square holds a contour pixel of the truth: w pixels on either side.
      In the void form (Chen et al. 2015): known pixels whose (2w+1)² square holds a void pixel.
    * Boundary IoU: IoU of the pixels of a class that are within d of the class's outside, d = `boundary_iou_share` of
      the diagonal, at least 1; outside is also what lies beyond the image, and void (Cheng et al. 2021).
    * BF: contour pixels count as found if the other map has a contour pixel of the class within `bf_share` of the
      diagonal, Euclidean. (The original pairs pixels one to one; where contours are simple the two agree.)

    Args:
        truth: (H, W) ids, the ignored id where void.
        predicted: (H, W) ids 0 … K−1 where the truth is known.
        classes: K.
        ignored_id: of void.
        widths: of the trimap bands, pixels, rising.
        boundary_iou_share: share of the image's diagonal.
        bf_share: share of the image's diagonal.

    Raises:
        DataError: if the maps differ in shape or an id is out of range.
        SettingError: if a width or share is out of range.
    """
    _check(truth, predicted, classes, ignored_id, widths, boundary_iou_share, bf_share)
    # widened first: an unsigned map cannot hold VOID
    true_ids = np.where(truth == ignored_id, edges.VOID, truth.astype(np.int32))
    predicted_ids = np.where(truth == ignored_id, edges.VOID, predicted.astype(np.int32))
    diagonal = math.hypot(*truth.shape)
    contour, predicted_contour = edges.contour(true_ids), edges.contour(predicted_ids)
    limits = np.asarray(widths, np.int32)
    # the distance to a contour pixel is one less than the width, since the pixel itself is the first of w
    from_contour = edges.square_distance(contour) + 1
    from_void = edges.square_distance(true_ids == edges.VOID)
    depth = max(1, round(boundary_iou_share * diagonal))
    band = edges.square_depth(true_ids) <= depth
    predicted_band = edges.square_depth(predicted_ids) <= depth
    offsets = edges.disc(bf_share * diagonal)
    matched_predicted = edges.matched(predicted_ids, predicted_contour, true_ids, contour, offsets, classes)
    matched_true = edges.matched(true_ids, contour, predicted_ids, predicted_contour, offsets, classes)
    return Boundaries(
        widths=tuple(int(w) for w in widths),
        edge_bands=edges.band_counts(true_ids, predicted_ids, from_contour, limits, classes).cumsum(axis=0),
        void_bands=edges.band_counts(true_ids, predicted_ids, from_void, limits, classes).cumsum(axis=0),
        bands=np.stack(
            [
                _per_class(true_ids[band & predicted_band & (true_ids == predicted_ids)], classes),
                _per_class(true_ids[band], classes),
                _per_class(predicted_ids[predicted_band], classes),
            ]
        ),
        contours=np.concatenate([matched_predicted, matched_true])[None],
        present=(_per_class(true_ids, classes) > 0)[None],
    )


def no_boundaries(classes: int, widths: Sequence[int] = WIDTHS) -> Boundaries:
    """Nothing counted yet: where a sum begins."""
    bands = np.zeros((len(widths), classes, classes), np.int64)
    nothing = np.zeros((0, 4, classes), np.int64)
    counts = np.zeros((3, classes), np.int64)
    return Boundaries(tuple(widths), bands, bands.copy(), counts, nothing, np.zeros((0, classes), bool))


def _per_class(ids: Array, classes: int) -> Array:
    known = ids[ids >= 0]
    return np.bincount(known.reshape(-1), minlength=classes)[:classes].astype(np.int64)


def check_one_size(truth: Array, predicted: Array) -> None:
    """Raises DataError unless both are label maps (H, W) of one size, with pixels."""
    if truth.ndim != 2 or truth.shape != predicted.shape or truth.size == 0:
        raise DataError(
            f"truth and prediction are label maps of one size (H, W); these are {truth.shape} and {predicted.shape}"
        )


def _check(
    truth: Array, predicted: Array, classes: int, ignored_id: int, widths: Sequence[int], *shares: float
) -> None:
    check_one_size(truth, predicted)
    known = truth != ignored_id
    for what, labels in (("truth", truth[known]), ("prediction", predicted[known])):
        if labels.size and (labels.min() < 0 or labels.max() >= classes):
            raise DataError(f"the {what} holds ids {labels.min()} to {labels.max()}, but ids are 0 to {classes - 1}")
    if not widths or list(widths) != sorted(set(widths)) or widths[0] < 1:
        raise SettingError(f"trimap widths are rising whole numbers from 1 on; found {list(widths)}")
    if not all(0 < share < 1 for share in shares):
        raise SettingError(f"boundary tolerances are shares of the diagonal between 0 and 1; found {list(shares)}")
