"""Calibration against torchmetrics and scikit-learn, and on probabilities that are calibrated by construction."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy import special
from sklearn import metrics

from segfield.errors import DataError, SettingError
from segfield.evaluation.calibration import calibration, fit_temperature, no_calibration


def drawn(seed=0, classes=4, size=(23, 31), sharpness=2.0):
    """Logits, softmax, and labels drawn from that softmax: calibrated by construction."""
    rng = np.random.default_rng(seed)
    logits = sharpness * rng.normal(size=(classes, *size))
    probabilities = special.softmax(logits, axis=0)
    cumulative = probabilities.cumsum(axis=0)
    labels = (rng.random(size)[None] > cumulative).sum(axis=0).clip(0, classes - 1).astype(np.uint8)
    return logits, probabilities.astype(np.float32), labels


@pytest.mark.parametrize(("bins", "seed"), [(15, 0), (10, 1), (1, 2)])
def test_expected_error_is_torchmetrics(bins, seed):
    torch = pytest.importorskip("torch")
    classification = pytest.importorskip("torchmetrics.classification")
    _, probabilities, labels = drawn(seed)
    # too sure, but nowhere 1 in single precision: torchmetrics gives that value a bin of its own
    probabilities = special.softmax(1.3 * np.log(probabilities), axis=0)
    labels[:3] = 255
    for norm, name in (("l1", "expected_error"), ("max", "largest_error")):
        metric = classification.MulticlassCalibrationError(4, n_bins=bins, norm=norm, ignore_index=255)
        value = metric(torch.from_numpy(probabilities)[None], torch.from_numpy(labels)[None].long())
        assert getattr(calibration(probabilities, labels, 255, bins), name) == pytest.approx(float(value), abs=1e-5)


def test_brier_and_likelihood_are_sklearns():
    _, probabilities, labels = drawn(3)
    found = calibration(probabilities, labels, 255)
    rows, truth = probabilities.reshape(4, -1).T, labels.reshape(-1)
    assert found.negative_log_likelihood == pytest.approx(metrics.log_loss(truth, rows, labels=range(4)), abs=1e-4)
    assert found.brier == pytest.approx(((rows - np.eye(4)[truth]) ** 2).sum(axis=1).mean(), abs=1e-6)
    assert found.pixels == labels.size


def test_calibrated_by_construction_has_a_small_error_and_sharpened_a_large_one():
    logits, probabilities, labels = drawn(4, size=(150, 200))
    assert calibration(probabilities, labels, 255).expected_error < 0.02
    assert calibration(special.softmax(3 * logits, axis=0), labels, 255).expected_error > 0.1


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_fitted_temperature_undoes_sharpening(temperature):
    logits, _, labels = drawn(5, size=(150, 200))
    found = fit_temperature((logits * temperature).reshape(4, -1), labels.reshape(-1))
    assert found == pytest.approx(temperature, rel=0.05)


def test_parts_add_up_to_the_whole():
    _, probabilities, labels = drawn(6)
    whole = calibration(probabilities, labels, 255)
    parts = calibration(probabilities[:, :9], labels[:9], 255) + calibration(probabilities[:, 9:], labels[9:], 255)
    np.testing.assert_array_equal(parts.counts, whole.counts)
    assert parts.expected_error == pytest.approx(whole.expected_error)
    assert parts.brier == pytest.approx(whole.brier)
    with pytest.raises(DataError, match="15 bins and 10 bins"):
        whole + no_calibration(10)


def test_every_other_row_and_column():
    _, probabilities, labels = drawn(7)
    found = calibration(probabilities, labels, 255, every=3)
    assert found.as_dict() == calibration(probabilities[:, ::3, ::3], labels[::3, ::3], 255).as_dict()


def test_half_precision_certainty_and_nothing_known():
    probabilities = np.zeros((3, 4, 5), np.float16)
    probabilities[1] = 1
    sure = calibration(probabilities, np.ones((4, 5), np.uint8), 255)
    assert sure.counts[-1] == 20 == sure.correct[-1] and sure.expected_error == 0 and sure.brier == 0
    wrong = calibration(probabilities, np.zeros((4, 5), np.uint8), 255)
    assert wrong.expected_error == 1 and wrong.brier == 2 and math.isfinite(wrong.negative_log_likelihood)
    unknown = calibration(probabilities, np.full((4, 5), 255, np.uint8), 255)
    assert unknown.pixels == 0 and math.isnan(unknown.expected_error)
    assert json.loads(json.dumps(unknown.as_dict(), allow_nan=False))["expected_error"] is None


def test_input_that_cannot_be_used():
    _, probabilities, labels = drawn()
    with pytest.raises(DataError, match="softmax"):
        calibration(probabilities * 4, labels, 255)
    with pytest.raises(DataError, match="softmax"):
        calibration(np.full_like(probabilities, np.nan), labels, 255)
    with pytest.raises(DataError, match="up to 9"):
        calibration(probabilities, np.full_like(labels, 9), 255)
    with pytest.raises(DataError, match=r"\(K, H, W\)"):
        calibration(probabilities, labels[1:], 255)
    with pytest.raises(SettingError, match="0 bins"):
        calibration(probabilities, labels, 255, bins=0)
    with pytest.raises(SettingError, match="every=0"):
        calibration(probabilities, labels, 255, every=0)
    with pytest.raises(DataError, match=r"\(K, N\)"):
        fit_temperature(probabilities, labels)
