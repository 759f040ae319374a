"""Evaluator: pooled over images and processes, equal to the parts it is made of; names in errors; JSON."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

from segfield.classes import ClassTable
from segfield.errors import DataError
from segfield.evaluation import evaluator as module
from segfield.evaluation.boundaries import boundaries
from segfield.evaluation.confusion import confusion_matrix
from segfield.evaluation.evaluator import Evaluator
from segfield.evaluation.scores import scores_from_confusion
from segfield.evaluation.structure import structure
from tests.evaluation.label_maps import patches

CLASSES = ClassTable(("sky", "road", "car", "tree"))


def softmax_of(predicted):
    probabilities = np.full((4, *predicted.shape), 0.1, np.float32)
    np.put_along_axis(probabilities, predicted[None].astype(np.int64), 0.7, axis=0)
    return probabilities


def filled(seeds, **options):
    counted = Evaluator(CLASSES, resamples=50, **options)
    for seed in seeds:
        truth, predicted = patches(seed=seed)
        counted.update(f"image {seed}", truth, predicted, softmax_of(predicted))
    return counted


def test_result_is_the_sum_of_its_parts():
    evaluation = filled(range(5)).result()
    pairs = [patches(seed=seed) for seed in range(5)]
    tables = [confusion_matrix(*pair, 4, 255) for pair in pairs]
    np.testing.assert_array_equal(evaluation.confusion, sum(tables))
    assert evaluation.scores == scores_from_confusion(sum(tables), CLASSES.names)
    assert evaluation.images == tuple(f"image {seed}" for seed in range(5))
    np.testing.assert_allclose(
        evaluation.image_mean_iou, [scores_from_confusion(table, CLASSES.names).mean_iou for table in tables]
    )
    alone = [boundaries(*pair, 4, 255) for pair in pairs]
    np.testing.assert_array_equal(evaluation.boundaries.edge_bands, sum(part.edge_bands for part in alone))
    assert evaluation.boundaries.bf_score == pytest.approx(np.mean([part.bf_score for part in alone]))
    np.testing.assert_array_equal(evaluation.structure.sizes, sum(structure(*pair, 4, 255).sizes for pair in pairs))
    assert evaluation.structure.images == 5
    accuracy = evaluation.scores.pixel_accuracy
    assert evaluation.calibration.expected_error == pytest.approx(abs(accuracy - 0.7), abs=1e-5)


def test_worst_images_come_first():
    counted = filled(range(3))
    truth, _ = patches(seed=9)
    counted.update("all wrong", truth, ((truth + 1) % 4).astype(np.uint8))
    counted.update("all void", np.full((5, 5), 255, np.uint8), np.zeros((5, 5), np.uint8))
    evaluation = counted.result()
    assert evaluation.worst(1) == ["all wrong"] and len(evaluation.worst(99)) == 4
    assert evaluation.as_dict()["image_mean_iou"]["all void"] is None


def test_update_gives_the_images_own_score():
    truth, predicted = patches(seed=3)
    own = Evaluator(CLASSES, boundaries=False).update("a", truth, predicted)
    assert own == pytest.approx(
        scores_from_confusion(confusion_matrix(truth, predicted, 4, 255), CLASSES.names).mean_iou
    )


def test_two_processes_equal_one():
    one = filled(range(6)).result()
    other = pickle.loads(pickle.dumps(filled([3, 4, 5])))
    merged = filled([0, 1, 2]).merge(other).result()
    assert merged.images == one.images
    for name in ("confusion", "per_image"):
        np.testing.assert_array_equal(getattr(merged, name), getattr(one, name))
    for name in ("boundaries", "structure"):
        assert merged.as_dict()[name] == one.as_dict()[name]
    assert merged.mean_iou_interval == one.mean_iou_interval
    with pytest.raises(DataError, match="cannot be joined"):
        other.merge(Evaluator(ClassTable(("a", "b"))))


def test_long_sets_are_joined_as_they_grow(monkeypatch):
    whole = filled(range(7)).result().as_dict()
    monkeypatch.setattr(module, "PARTS", 2)
    assert filled(range(7)).result().as_dict() == whole


def test_what_is_not_asked_for_is_left_out():
    evaluation = filled([0], boundaries=False, calibration=False, structure=False).result()
    assert evaluation.boundaries is None and evaluation.calibration is None and evaluation.structure is None
    assert {"boundaries", "calibration", "structure"}.isdisjoint(evaluation.as_dict())


def test_as_dict_is_json():
    read = json.loads(json.dumps(filled(range(2)).result().as_dict(), allow_nan=False))
    assert read["scores"]["names"] == list(CLASSES.names) and read["images"] == 2
    assert len(read["class_iou_intervals"]) == 4 and read["boundaries"]["widths"][0] == 1
    assert len(read["structure"]["components"]["truth"]) == 4


def test_errors_name_the_image_and_count_nothing_of_it():
    counted = filled([0])
    truth, predicted = patches(seed=1)
    with pytest.raises(DataError, match=r"street/4.*value 8"):
        counted.update("street/4", truth, np.full_like(predicted, 8))
    with pytest.raises(DataError, match=r"street/5: the probabilities"):
        counted.update("street/5", truth, predicted, softmax_of(predicted) * 5)
    assert counted.result().images == ("image 0",)
    with pytest.raises(DataError, match="no image"):
        Evaluator(CLASSES).result()
