"""What a refiner changed: the numbers are those of two evaluations, and a loss is called one."""

from __future__ import annotations

import numpy as np
import pytest

from segfield.classes import ClassTable
from segfield.evaluation.evaluator import Evaluation, Evaluator
from segfield.evaluation.refinement import Refinement

CLASSES = ClassTable(("a", "b"))


def evaluation(errors: int, boundaries: bool = True) -> Evaluation:
    """Five images of two halves, `errors` columns of which are wrong."""
    evaluator = Evaluator(CLASSES, boundaries=boundaries)
    for number in range(5):
        truth = np.zeros((20, 30), np.uint8)
        truth[:, 15:] = 1
        found = truth.copy()
        found[:, 15 : 15 + errors] = 0
        evaluator.update(str(number), truth, found)
    return evaluator.result()


def test_rows_are_the_two_evaluations_numbers() -> None:
    before, after = evaluation(4), evaluation(1)
    change = Refinement(before, after)
    rows = {name: (a, b) for name, a, b in change.rows()}
    assert rows["mIoU"] == (before.scores.mean_iou, after.scores.mean_iou)
    assert list(rows) == ["mIoU", "pixel accuracy", "trimap IoU, 3 pixels", "boundary IoU", "BF score"]
    assert rows["trimap IoU, 3 pixels"][0] < rows["trimap IoU, 3 pixels"][1]
    assert change.helps and change.gain.interval.low > 0
    told = change.as_dict()
    assert told["measures"]["mIoU"] == {"before": rows["mIoU"][0], "after": rows["mIoU"][1]}
    assert f"{100 * rows['mIoU'][0]:.2f} → {100 * rows['mIoU'][1]:.2f}" in change.sentence()


def test_a_loss_is_one() -> None:
    change = Refinement(evaluation(1), evaluation(4))
    assert (
        not change.helps
        and change.doubt == "does not help"
        and change.gain.interval.value == pytest.approx(evaluation(4).scores.mean_iou - evaluation(1).scores.mean_iou)
    )
    assert not Refinement(evaluation(2), evaluation(2)).helps


def test_without_boundaries_there_are_two_rows() -> None:
    rows = Refinement(evaluation(2, boundaries=False), evaluation(1, boundaries=False)).rows()
    assert [name for name, _, _ in rows] == ["mIoU", "pixel accuracy"]
