"""Before and after: confusion and boundary counts of every image without the CRF, and with its own fold's parameters."""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segfield.classes import Array
from segfield.crf.tuning.grid import OFF, Point
from segfield.crf.tuning.trials import Trials, checked_sample, count, over_images, refined_labels
from segfield.evaluation.bootstrap import Difference
from segfield.evaluation.boundaries import Boundaries, boundaries
from segfield.evaluation.refinement import doubt
from segfield.evaluation.scores import Floats, Scores, mean_iou_from_tally, scores_from_confusion, tally

TRIMAP_WIDTHS = tuple(range(1, 21))


@dataclass(frozen=True)
class Measures:
    """Counts of one state of the segmenter on all images.

    Attributes:
        scores: of the pooled counts.
        tallies: (3, N, K) hits, true and predicted pixels of each image.
        boundaries: counts about the edges, trimap widths 1 to 20 pixels.
    """

    scores: Scores
    tallies: Array
    boundaries: Boundaries

    @property
    def image_mean_iou(self) -> Floats:
        """(N,) mIoU of each image over its own classes; for ranking."""
        return mean_iou_from_tally(*self.tallies)


def measure(trials: Trials, points: Sequence[Point]) -> tuple[Measures, Measures]:
    """Without the CRF, and with `points[i]` on image i."""
    counted = over_images(
        lambda index: _both(trials, index, points[index]), len(points), trials.threads, trials.console, "measure"
    )
    first, second = zip(*counted)
    return _pooled(first, trials.classes.names), _pooled(second, trials.classes.names)


_Counts = tuple[Array, Boundaries]


def _both(trials: Trials, index: int, point: Point) -> tuple[_Counts, _Counts]:
    sample = checked_sample(trials.samples[index], trials.names[index], trials.classes)
    wanted = [OFF, point] if point != OFF else [OFF]
    found = {
        point: _counts(trials, sample[2], labels, trials.names[index])
        for point, labels, _ in refined_labels(sample, wanted, trials.base, trials.prepare)
    }
    return found[OFF], found[point]


def _counts(trials: Trials, truth: Array, predicted: Array, name: str) -> _Counts:
    classes = trials.classes
    edges = boundaries(truth, predicted, len(classes), classes.ignored_id, TRIMAP_WIDTHS)
    return count(truth, predicted, classes, name), edges


def _pooled(counts: Sequence[_Counts], names: Sequence[str]) -> Measures:
    confusions = np.stack([confusion for confusion, _ in counts])
    edges = functools.reduce(operator.add, (part for _, part in counts))
    return Measures(scores_from_confusion(confusions.sum(axis=0), names), tally(confusions), edges)


def verdict(
    what: str, before: float, after: float, gain: Difference, images: int, folds: int, helps: bool, keep: bool
) -> str:
    """Whether a CRF is worth switching on, in the sentence of the page and of the last line.

    Args:
        what: the CRF that is meant, at the beginning of the sentence.
        before, after: cross-validated mIoU without and with it, 0..1.
        gain: its interval.
        images, folds: that judged.
        helps: whether it does.
        keep: whether it is switched on all the same.
    """
    interval = gain.interval
    judged = (
        f"cross-validated over {folds} folds of {images} images, mIoU goes from {100 * before:.2f} to {100 * after:.2f} "
        f"({100 * interval.value:+.2f}, {100 * interval.level:.0f} % interval {100 * interval.low:+.2f} to "
        f"{100 * interval.high:+.2f})"
    )
    if helps:
        return f"{what} helps: {judged}; it is on."
    if keep:
        return f"{what} {doubt(gain)}: {judged}; it is on all the same, as asked."
    return f"{what} {doubt(gain)}: {judged}; it stays off."
