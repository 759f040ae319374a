"""Scores against torchmetrics, scikit-learn and counts done by hand; what absent classes do."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from PIL import Image
from sklearn import metrics

from segfield.errors import DataError
from segfield.evaluation.confusion import confusion_matrix
from segfield.evaluation.scores import mean_iou_from_tally, scores_from_confusion, tally, without_nan
from tests.evaluation.label_maps import patches

NAMES = ("sky", "road", "car", "tree", "sign")
BY_HAND = np.array([[6, 2, 0], [1, 3, 0], [0, 0, 0]])


def test_by_hand():
    scores = scores_from_confusion(BY_HAND, ("a", "b", "c"))
    assert scores.iou[:2] == pytest.approx((6 / 9, 3 / 6)) and math.isnan(scores.iou[2])
    assert scores.mean_iou == pytest.approx((6 / 9 + 3 / 6) / 2) == scores.mean_iou_absent_as_zero
    assert scores.pixel_accuracy == pytest.approx(9 / 12)
    assert scores.mean_class_accuracy == pytest.approx((6 / 8 + 3 / 4) / 2)
    assert scores.frequency_weighted_iou == pytest.approx((8 * 6 / 9 + 4 * 3 / 6) / 12)
    assert scores.dice[:2] == pytest.approx((12 / 15, 6 / 9))
    assert scores.mean_dice == pytest.approx((12 / 15 + 6 / 9) / 2)
    assert scores.pixels == 12 and scores.absent == ("c",)


def test_absent_class_that_was_predicted_is_told_apart():
    predicted_as_c = BY_HAND.copy()
    predicted_as_c[0, 2] = 4
    scores = scores_from_confusion(predicted_as_c, ("a", "b", "c"))
    iou = 6 / 13, 3 / 6
    assert scores.iou == pytest.approx((*iou, 0.0))
    assert scores.mean_iou == pytest.approx(sum(iou) / 2)
    assert scores.mean_iou_absent_as_zero == pytest.approx(sum(iou) / 3)
    assert scores.absent == ("c",) and "left out" in scores.rule.replace("\n", " ")


@pytest.mark.parametrize("seed", range(4))
def test_equals_torchmetrics_and_sklearn_pooled(seed):
    torch = pytest.importorskip("torch")
    classification = pytest.importorskip("torchmetrics.classification")
    pairs = [patches(classes=5, seed=10 * seed + i) for i in range(3)]
    truth, predicted = (np.stack(labels) for labels in zip(*pairs))
    scores = scores_from_confusion(confusion_matrix(truth, predicted, 5, 255), NAMES)
    as_tensor = torch.from_numpy(predicted).long(), torch.from_numpy(truth).long()
    for average, ours in (("macro", scores.mean_iou_absent_as_zero), ("none", scores.iou)):
        metric = classification.MulticlassJaccardIndex(5, average=average, ignore_index=255)
        np.testing.assert_allclose(ours, metric(*as_tensor).numpy(), atol=1e-6)
    weighted = classification.MulticlassJaccardIndex(5, average="weighted", ignore_index=255)
    assert scores.frequency_weighted_iou == pytest.approx(float(weighted(*as_tensor)), abs=1e-6)
    valid = truth != 255
    flat = truth[valid], predicted[valid]
    precision, recall, dice, _ = metrics.precision_recall_fscore_support(*flat, labels=range(5), zero_division=np.nan)
    np.testing.assert_allclose(scores.precision, precision)
    np.testing.assert_allclose(scores.recall, recall)
    np.testing.assert_allclose(scores.dice, dice)
    assert scores.pixel_accuracy == pytest.approx(metrics.accuracy_score(*flat))
    assert scores.mean_class_accuracy == pytest.approx(metrics.balanced_accuracy_score(*flat))


def test_pooled_is_not_the_mean_of_images():
    """The case of PEERS: a class that fills one image and is a speck, missed, in another."""
    big, speck = np.array([[0, 0], [7, 993]]), np.array([[999, 0], [1, 0]])
    pooled = scores_from_confusion(big + speck, ("a", "b")).iou[1]
    assert pooled == pytest.approx(993 / 1001)
    each = [scores_from_confusion(matrix, ("a", "b")).iou[1] for matrix in (big, speck)]
    assert np.mean(each) < 0.5 < pooled


def test_nothing_counted_gives_none_not_zero():
    scores = scores_from_confusion(np.zeros((2, 2), int), ("a", "b"))
    assert math.isnan(scores.mean_iou) and scores.absent == ("a", "b") and scores.pixels == 0
    assert json.loads(json.dumps(scores.as_dict(), allow_nan=False))["mean_iou"] is None
    assert "–" in scores.table()


def test_table_names_every_class_and_the_absent():
    lines = scores_from_confusion(BY_HAND, ("a", "b", "a long name")).table().splitlines()
    assert [line.split()[0] for line in lines[1:3]] == ["a", "b"]
    assert "66.7" in lines[1] and "58.3" in lines[4] and "75.0" in lines[5]
    assert "a long name" in lines[-1] and len({len(line) for line in lines[:4]}) == 1


@pytest.mark.shared
def test_copying_the_previous_camvid_label_scores_what_is_known(shared_data):
    """0.743 mIoU on CamVid val at its own rate, counted elsewhere (shared/data/README.md)."""
    files = sorted((shared_data / "camvid" / "CamVid" / "valannot").glob("*.png"))
    if len(files) != 101:
        pytest.skip("CamVid's val labels are not all there")
    counts, before = np.zeros((11, 11), np.int64), None
    for file in files:
        labels = np.asarray(Image.open(file)).astype(np.uint8)
        if before is not None:
            known_in_both = np.where(before == 11, 11, labels)
            counts += confusion_matrix(known_in_both, before, 11, 11)
        before = labels
    assert scores_from_confusion(counts, [str(i) for i in range(11)]).mean_iou == pytest.approx(0.743, abs=0.0006)


def test_a_matrix_that_does_not_fit_is_an_error():
    with pytest.raises(DataError, match=r"2×2.*\(3, 3\)"):
        scores_from_confusion(BY_HAND, ("a", "b"))
    with pytest.raises(DataError, match="none negative"):
        scores_from_confusion(-BY_HAND, ("a", "b", "c"))


def test_tally_holds_all_that_mean_iou_needs():
    stack = np.random.default_rng(0).integers(0, 9, (4, 3, 3))
    values = mean_iou_from_tally(*tally(stack))
    np.testing.assert_allclose(values, [scores_from_confusion(matrix, "abc").mean_iou for matrix in stack])


def test_without_nan_walks_everything():
    found = without_nan({"a": np.array([1.0, np.nan]), "b": (np.int64(3), [float("inf")]), 4: "text"})
    assert found == {"a": [1.0, None], "b": [3, [None]], "4": "text"}
