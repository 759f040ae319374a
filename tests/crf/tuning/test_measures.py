"""Before and after: the same numbers as the evaluation gives for the same labels."""

from __future__ import annotations

import numpy as np
import pytest

from segfield.crf.tuning.grid import OFF, Point
from segfield.crf.tuning.measures import TRIMAP_WIDTHS, measure
from segfield.crf.tuning.trials import Trials, as_crf, checked_sample, prepare_crf
from segfield.evaluation.evaluator import Evaluator
from tests.crf.tuning.planted import CLASSES, CRF, planted

SAMPLES = planted(3)
POINTS = [Point(4.0, 10.0, 20.0, 0.5), OFF, Point(1.0, 5.0, 40.0, 2.0)]


def test_both_states_are_what_the_evaluation_measures() -> None:
    before, after = measure(Trials(SAMPLES, ["a", "b", "c"], CLASSES, CRF, prepare_crf, threads=1), POINTS)
    alone, refined = Evaluator(CLASSES, calibration=False), Evaluator(CLASSES, calibration=False)
    for sample, point in zip(SAMPLES, POINTS):
        image, probabilities, labels = checked_sample(sample, "", CLASSES)
        alone.update(f"{point}", labels, probabilities.argmax(axis=0))
        crf = as_crf(point, CRF)
        found = probabilities if point == OFF else crf(image, probabilities=probabilities)
        refined.update(f"{point}", labels, np.asarray(found).argmax(axis=0))
    for measures, evaluator in ((before, alone), (after, refined)):
        expected = evaluator.result()
        assert measures.scores == expected.scores
        assert np.array_equal(measures.tallies, expected.per_image)
        np.testing.assert_array_equal(measures.image_mean_iou, expected.image_mean_iou)
        assert expected.boundaries is not None
        assert measures.boundaries.boundary_iou == expected.boundaries.boundary_iou
        assert measures.boundaries.bf_score == expected.boundaries.bf_score
        common = [w for w in expected.boundaries.widths if w in TRIMAP_WIDTHS]
        ours = [measures.boundaries.trimap[TRIMAP_WIDTHS.index(w)] for w in common]
        assert ours == pytest.approx([expected.boundaries.trimap[expected.boundaries.widths.index(w)] for w in common])
    assert tuple(range(1, 21)) == TRIMAP_WIDTHS


def test_an_image_that_stays_off_is_the_same_before_and_after() -> None:
    before, after = measure(Trials(SAMPLES, ["a", "b", "c"], CLASSES, CRF, prepare_crf, threads=2), POINTS)
    assert np.array_equal(before.tallies[:, 1], after.tallies[:, 1])
    assert not np.array_equal(before.tallies[:, 0], after.tallies[:, 0])
