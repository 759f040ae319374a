"""Evaluator takes images one by one, in any number of processes; Evaluation is all that was measured.

Measured at the size of the truth, in integers pooled over the set. Per-image mIoU serves for ranking, never as mIoU.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from segfield.classes import Array, ClassTable
from segfield.errors import DataError
from segfield.evaluation.bootstrap import Interval, bootstrap_iou
from segfield.evaluation.boundaries import Boundaries, boundaries, no_boundaries
from segfield.evaluation.calibration import Calibration, calibration, no_calibration
from segfield.evaluation.confusion import confusion_matrix
from segfield.evaluation.scores import Floats, Scores, mean_iou_from_tally, scores_from_confusion, tally, without_nan
from segfield.evaluation.structure import Structure, no_structure, structure

PARTS = 64
"""Boundary counts of so many images wait to be joined: one by one copies too often, all at once is too big."""


@dataclass(frozen=True)
class Evaluation:
    """What was measured on a set of images.

    Attributes:
        classes: the class table.
        images: name of each of the N images.
        confusion: (K, K) pooled counts, rows the truth.
        per_image: (3, N, K) hits, truth and predicted pixels of each image (`scores.tally`).
        scores: what follows from the pooled counts.
        mean_iou_interval: mIoU with its bootstrap interval over images.
        class_iou_intervals: of each class's IoU.
        boundaries: boundary counts, where they were asked for.
        calibration: reliability counts, where they were asked for and probabilities were given.
        structure: counts of components and holes, where they were asked for.
    """

    classes: ClassTable
    images: tuple[str, ...]
    confusion: Array
    per_image: Array
    scores: Scores
    mean_iou_interval: Interval
    class_iou_intervals: tuple[Interval, ...]
    boundaries: Boundaries | None = None
    calibration: Calibration | None = None
    structure: Structure | None = None

    @property
    def image_mean_iou(self) -> Floats:
        """(N,) mIoU of each image over the classes in its own truth; NaN where all its pixels are ignored."""
        return mean_iou_from_tally(*self.per_image)

    def worst(self, count: int) -> list[str]:
        """Names of the `count` images with the lowest mIoU, worst first; images without a known pixel are left out."""
        values = self.image_mean_iou
        order = [int(i) for i in np.argsort(values, kind="stable") if np.isfinite(values[i])]
        return [self.images[i] for i in order[:count]]

    def as_dict(self) -> dict[str, Any]:
        """Plain lists and numbers for JSON; NaN becomes None."""
        measured: dict[str, Any] = {
            "images": len(self.images),
            "scores": self.scores.as_dict(),
            "mean_iou_interval": self.mean_iou_interval.as_dict(),
            "class_iou_intervals": [interval.as_dict() for interval in self.class_iou_intervals],
            "confusion": self.confusion.tolist(),
            "image_mean_iou": dict(zip(self.images, without_nan(self.image_mean_iou))),
        }
        if self.boundaries is not None:
            measured["boundaries"] = self.boundaries.as_dict()
        if self.calibration is not None:
            measured["calibration"] = self.calibration.as_dict()
        if self.structure is not None:
            measured["structure"] = self.structure.as_dict()
        return measured


@dataclass
class Evaluator:
    """Counts images one by one.

    Args:
        classes: the class table; truth and predictions hold its ids.
        boundaries: count contours and bands as well (about 0.15 s a megapixel).
        calibration: count reliability as well, from the images that come with probabilities.
        calibration_every: count each such row and column for calibration.
        resamples: of the bootstrap.
        seed: of the bootstrap.
        structure: count components and holes as well (about 0.02 s a megapixel).
    """

    classes: ClassTable
    boundaries: bool = True
    calibration: bool = True
    calibration_every: int = 1
    resamples: int = 1000
    seed: int = 0
    structure: bool = True
    _names: list[str] = field(default_factory=list, init=False)
    _tallies: list[Array] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self._confusion: Array = np.zeros((len(self.classes), len(self.classes)), np.int64)
        self._boundaries: list[Boundaries] = []
        self._calibration = no_calibration()
        self._structure = no_structure(len(self.classes))

    def update(self, name: str, labels: Array, segmentation_labels: Array, probabilities: Array | None = None) -> float:
        """Count one image.

        Args:
            name: of the image, unique.
            labels: (H, W) true ids, the ignored id where nothing is known.
            segmentation_labels: (H, W) predicted ids.
            probabilities: (K, H, W), for calibration.

        Returns:
            the image's own mIoU, for progress lines and ranking; NaN if all its pixels are ignored.

        Raises:
            DataError: with the image's name, if shapes differ or an id is out of range; nothing of it is counted then.
        """
        classes, ignored_id = len(self.classes), self.classes.ignored_id
        try:
            counts = confusion_matrix(labels, segmentation_labels, classes, ignored_id)
            contours = boundaries(labels, segmentation_labels, classes, ignored_id) if self.boundaries else None
            pieces = structure(labels, segmentation_labels, classes, ignored_id) if self.structure else None
            trust = None
            if self.calibration and probabilities is not None:
                trust = calibration(probabilities, labels, ignored_id, every=self.calibration_every)
        except DataError as error:
            raise DataError(f"{name}: {error}") from error
        self._names.append(name)
        self._confusion += counts
        self._tallies.append(tally(counts))
        if contours is not None:
            self._boundaries.append(contours)
            if len(self._boundaries) > PARTS:
                self._boundaries = [_joined(self._boundaries, classes)]
        if trust is not None:
            self._calibration += trust
        if pieces is not None:
            self._structure += pieces
        return float(mean_iou_from_tally(*self._tallies[-1]))

    def merge(self, other: Evaluator) -> Evaluator:
        """Add what another process has counted of the same set; its images come after this one's. Gives itself."""
        if self.classes.names != other.classes.names or self.classes.ignored_id != other.classes.ignored_id:
            raise DataError("two evaluations with different classes cannot be joined; use one class table for both")
        self._names += other._names
        self._confusion = self._confusion + other._confusion
        self._tallies += other._tallies
        self._boundaries += other._boundaries
        self._calibration += other._calibration
        self._structure += other._structure
        return self

    def result(self) -> Evaluation:
        """All that was measured so far.

        Raises:
            DataError: if there is no image yet.
        """
        if not self._names:
            raise DataError("no image was evaluated; give a data set whose images have masks")
        per_image = np.stack(self._tallies, axis=1)
        mean, each = bootstrap_iou(per_image, self.resamples, seed=self.seed)
        return Evaluation(
            classes=self.classes,
            images=tuple(self._names),
            confusion=self._confusion.copy(),
            per_image=per_image,
            scores=scores_from_confusion(self._confusion, self.classes.names),
            mean_iou_interval=mean,
            class_iou_intervals=each,
            boundaries=_joined(self._boundaries, len(self.classes)) if self._boundaries else None,
            calibration=self._calibration if self._calibration.pixels else None,
            structure=self._structure if self._structure.images else None,
        )


def _joined(parts: list[Boundaries], classes: int) -> Boundaries:
    start = no_boundaries(classes, parts[0].widths)
    return Boundaries(
        parts[0].widths,
        sum((part.edge_bands for part in parts), start.edge_bands),
        sum((part.void_bands for part in parts), start.void_bands),
        sum((part.bands for part in parts), start.bands),
        np.concatenate([part.contours for part in parts]),
        np.concatenate([part.present for part in parts]),
    )
