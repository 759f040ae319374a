"""The pooled confusion matrix against scikit-learn, torchmetrics, cityscapesScripts, over types, sizes, threads."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn import metrics

from segfield.errors import DataError
from segfield.evaluation import confusion
from segfield.evaluation.confusion import ConfusionMatrix, confusion_matrix
from tests.evaluation.label_maps import patches


def by_sklearn(truth, predicted, classes, ignored_id):
    valid = truth != ignored_id
    return metrics.confusion_matrix(truth[valid], predicted[valid], labels=np.arange(classes))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.int64, np.uint32])
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (3, 21), (8, 8), (41, 53), (64, 192)])
def test_equals_sklearn_for_every_type_and_size(dtype, shape):
    truth, predicted = patches(*shape, classes=4, seed=shape[1])
    truth.flat[-1] = 2  # sklearn refuses a map that is all void
    counted = confusion_matrix(truth.astype(dtype), predicted.astype(dtype), 4, 255)
    assert counted.dtype == np.int64
    np.testing.assert_array_equal(counted, by_sklearn(truth, predicted, 4, 255))


def test_truth_and_prediction_may_differ_in_type():
    truth, predicted = patches()
    expected = by_sklearn(truth, predicted, 4, 255)
    np.testing.assert_array_equal(confusion_matrix(truth, predicted.astype(np.int64), 4, 255), expected)
    np.testing.assert_array_equal(confusion_matrix(truth, predicted > 1, 4, 255).sum(axis=1), expected.sum(axis=1))


@pytest.mark.parametrize("seed", range(5))
def test_pure_noise_and_pure_constants(seed):
    rng = np.random.default_rng(seed)
    truth, predicted = rng.integers(0, 19, (2, 67, 131), dtype=np.uint8)
    np.testing.assert_array_equal(confusion_matrix(truth, predicted, 19, 255), by_sklearn(truth, predicted, 19, 255))
    flat = confusion_matrix(np.full((67, 131), 3, np.uint8), np.full((67, 131), 18, np.uint8), 19, 255)
    assert flat[3, 18] == 67 * 131 == flat.sum()


@pytest.mark.parametrize(("classes", "ignored_id"), [(1, 255), (2, -1), (255, 255), (256, 65535), (300, 65535)])
def test_few_and_many_classes_and_other_ignored_ids(classes, ignored_id):
    rng = np.random.default_rng(classes)
    truth, predicted = rng.integers(0, classes, (2, 40, 50)).astype(np.int32)
    truth[:5] = ignored_id
    expected = by_sklearn(truth, predicted, classes, ignored_id)
    np.testing.assert_array_equal(confusion_matrix(truth, predicted, classes, ignored_id), expected)
    if classes <= 255 and ignored_id >= 0:
        as_bytes = confusion_matrix(truth.astype(np.uint8), predicted.astype(np.uint8), classes, ignored_id)
        np.testing.assert_array_equal(as_bytes, expected)


def test_256_classes_fit_into_bytes():
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_array_equal(
        confusion_matrix(values, values[::-1], 256, -1), by_sklearn(values, values[::-1], 256, -1)
    )


def test_threads_agree_with_one(monkeypatch):
    monkeypatch.setattr(confusion, "THREAD_PIXELS", 500)
    truth, predicted = patches(123, 211, classes=7)
    one = confusion_matrix(truth, predicted, 7, 255)
    for threads in (2, 3, 8):
        np.testing.assert_array_equal(confusion_matrix(truth, predicted, 7, 255, threads), one)
        wide = confusion_matrix(truth.astype(np.int32), predicted.astype(np.int32), 7, 255, threads)
        np.testing.assert_array_equal(wide, one)
    spans = confusion._pieces(123 * 211, 3)
    assert [s.start % 64 for s in spans] == [0, 0, 0] and sum(s.stop - s.start for s in spans) == 123 * 211
    lengths = [s.stop - s.start for s in spans]
    assert lengths[0] > lengths[1] > 0 and abs(lengths[1] - lengths[2]) < 128


def test_called_from_many_threads_at_once():
    truth, predicted = patches(200, 200, classes=7)
    expected, found = confusion_matrix(truth, predicted, 7, 255), []
    workers = [
        threading.Thread(target=lambda: found.append(confusion_matrix(truth, predicted, 7, 255))) for _ in range(8)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(found) == 8 and all(np.array_equal(table, expected) for table in found)


def test_views_that_are_neither_contiguous_nor_aligned():
    truth, predicted = patches(60, 70, classes=5)
    for view in (np.s_[::2, ::3], np.s_[1:, 1:], np.s_[::-1, ::-1]):
        expected = by_sklearn(truth[view], predicted[view], 5, 255)
        np.testing.assert_array_equal(confusion_matrix(truth[view], predicted[view], 5, 255), expected)
    shifted = truth.reshape(-1)[3:], predicted.reshape(-1)[5:-2][: truth.size - 7]
    shifted = shifted[0][: shifted[1].size], shifted[1]
    np.testing.assert_array_equal(confusion_matrix(*shifted, 5, 255), by_sklearn(*shifted, 5, 255))


def test_what_is_predicted_on_ignored_pixels_does_not_matter():
    truth, predicted = patches()
    expected = confusion_matrix(truth, predicted, 4, 255)
    predicted[truth == 255] = 200
    np.testing.assert_array_equal(confusion_matrix(truth, predicted, 4, 255), expected)
    nothing = confusion_matrix(np.full((5, 5), 255, np.uint8), predicted[:5, :5], 4, 255)
    assert nothing.shape == (4, 4) and nothing.sum() == 0


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_out_of_range_is_an_error_with_values_and_counts(dtype):
    truth, predicted = (labels.astype(dtype) for labels in patches(void_share=0))
    wrong = predicted.copy()
    wrong[4, 5:8] = 9
    with pytest.raises(DataError, match=r"prediction .*9 on 3 pixels.*0 to 3"):
        confusion_matrix(truth, wrong, 4, 255)
    truth[7, 1:3] = 77
    with pytest.raises(DataError, match=r"truth .*77 on 2 pixels.*source_values"):
        confusion_matrix(truth, predicted, 4, 255)


def test_negative_ids_and_the_ignored_id_in_a_prediction_are_errors():
    truth, predicted = (labels.astype(np.int32) for labels in patches(void_share=0))
    predicted[0, 0] = -5
    with pytest.raises(DataError, match="value -5 on 1 pixels"):
        confusion_matrix(truth, predicted, 4, 255)
    predicted[0, 0] = 255
    with pytest.raises(DataError, match="value 255 on 1 pixels"):
        confusion_matrix(truth, predicted, 4, 255)


def test_maps_that_cannot_be_compared_are_errors():
    truth, predicted = patches()
    with pytest.raises(DataError, match=r"\(41, 53\).*\(40, 53\)"):
        confusion_matrix(truth, predicted[1:], 4, 255)
    with pytest.raises(DataError, match="float64"):
        confusion_matrix(truth, predicted.astype(float), 4, 255)
    with pytest.raises(DataError, match="ignored id 2"):
        confusion_matrix(truth, predicted, 4, 2)


def test_equals_torchmetrics_and_cityscapesscripts(monkeypatch):
    torch = pytest.importorskip("torch")
    classification = pytest.importorskip("torchmetrics.classification")
    peer = pytest.importorskip("cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling")
    pooled = ConfusionMatrix(6, 255)
    metric = classification.MulticlassConfusionMatrix(6, ignore_index=255)
    official = np.zeros((256, 256), np.ulonglong)
    settings = SimpleNamespace(evalInstLevelScore=False, evalPixelAccuracy=False, evalLabels=[*range(6), 255])
    for seed in range(3):
        truth, predicted = patches(classes=6, seed=seed)
        pooled.update(truth, predicted)
        metric.update(torch.from_numpy(predicted).long(), torch.from_numpy(truth).long())
        images = {"p": predicted, "t": truth}
        opened = SimpleNamespace(open=lambda name, images=images: _Opened(images[name]))
        monkeypatch.setattr(peer, "Image", opened)
        peer.evaluatePair("p", "t", official, {}, {}, settings)
    np.testing.assert_array_equal(pooled.counts, metric.compute().numpy())
    np.testing.assert_array_equal(pooled.counts, official[:6, :6])


class _Opened:
    def __init__(self, pixels):
        self.pixels, self.size = pixels, pixels.shape[::-1]

    def __array__(self, dtype=None, copy=None):
        return self.pixels


def test_updates_sums_and_reductions_give_the_pooled_counts():
    pairs = [patches(seed=seed) for seed in range(4)]
    whole = confusion_matrix(np.stack([t for t, _ in pairs]), np.stack([p for _, p in pairs]), 4, 255)
    parts = [ConfusionMatrix(4), ConfusionMatrix(4)]
    for i, (truth, predicted) in enumerate(pairs):
        own = parts[i % 2].update(truth, predicted)
        np.testing.assert_array_equal(own, by_sklearn(truth, predicted, 4, 255))
    np.testing.assert_array_equal((parts[0] + parts[1]).counts, whole)
    np.testing.assert_array_equal(parts[0].reduce(lambda mine: mine + parts[1].counts).counts, whole)
    assert parts[0].counts.sum() < whole.sum()
    with pytest.raises(DataError, match="cannot be joined"):
        parts[0] + ConfusionMatrix(5)
    with pytest.raises(DataError, match=r"\(3, 3\) do not fit 4"):
        ConfusionMatrix(4, counts=np.zeros((3, 3)))
