"""What a refiner changed: the same images scored with it and without, side by side."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from segfield.evaluation.bootstrap import Difference, bootstrap_difference
from segfield.evaluation.evaluator import Evaluation
from segfield.evaluation.scores import without_nan

TRIMAP_WIDTH = 3
"""Pixels of the band whose IoU is told in numbers."""


@dataclass(frozen=True)
class Refinement:
    """The classifier alone, and what the refiner made of it.

    Attributes:
        before, after: evaluations of the same images, in the same order.
    """

    before: Evaluation
    after: Evaluation

    @functools.cached_property
    def gain(self) -> Difference:
        """mIoU with the refiner minus mIoU without, 0..1, with its paired bootstrap interval over images."""
        return bootstrap_difference(self.before.per_image, self.after.per_image)

    @property
    def helps(self) -> bool:
        """Whether mIoU is higher with the refiner for certain; where it is not, a segmenter does without."""
        return self.gain.is_gain

    @property
    def doubt(self) -> str:
        """How it falls short of helping, as what follows 'the CRF'."""
        return doubt(self.gain)

    def rows(self) -> list[tuple[str, float, float]]:
        """(name, before, after) of each measure, 0..1."""
        before, after = self.before, self.after
        rows = [
            ("mIoU", before.scores.mean_iou, after.scores.mean_iou),
            ("pixel accuracy", before.scores.pixel_accuracy, after.scores.pixel_accuracy),
        ]
        if before.boundaries is not None and after.boundaries is not None:
            edges = (before.boundaries, after.boundaries)
            narrow = [float(found.trimap[found.widths.index(TRIMAP_WIDTH)]) for found in edges]
            rows += [
                (f"trimap IoU, {TRIMAP_WIDTH} pixels", narrow[0], narrow[1]),
                ("boundary IoU", edges[0].boundary_iou, edges[1].boundary_iou),
                ("BF score", edges[0].bf_score, edges[1].bf_score),
            ]
        return rows

    def sentence(self) -> str:
        """What it changed, for the last lines of a command."""
        interval = self.gain.interval
        told = ", ".join(f"{name} {100 * before:.2f} → {100 * after:.2f}" for name, before, after in self.rows())
        return (
            f"the CRF changed mIoU by {100 * interval.value:+.2f} ({100 * interval.level:.0f} % interval "
            f"{100 * interval.low:+.2f} to {100 * interval.high:+.2f}): {told}"
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON; NaN becomes None."""
        return {
            "gain": {**self.gain.interval.as_dict(), "p_value": without_nan(self.gain.p_value)},
            "measures": {
                name: {"before": without_nan(before), "after": without_nan(after)}
                for name, before, after in self.rows()
            },
        }


def doubt(gain: Difference) -> str:
    """How a gain that is not certain falls short, as what follows the refiner's name in a sentence."""
    return "may help, but that is not certain" if gain.interval.value > 0 else "does not help"
