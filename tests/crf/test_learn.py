"""Learning a CRF behind a fixed classifier: every goal goes downhill to what helps, and stays off where nothing does."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from segfield.crf.crf_rnn import CRFRNN
from segfield.crf.dense_crf import DenseCRF
from segfield.crf.learn import _backward, _Checked, _class_shares, learn
from segfield.crf.unary import clipped_unary
from segfield.errors import DataError, SettingError
from segfield.evaluation.scores import mean_iou_from_tally
from tests.crf.tuning.planted import CLASSES, planted

START = DenseCRF(bilateral_weight=0.5, bilateral_sxy=8.0, bilateral_srgb=20.0, gaussian_weight=0.5, gaussian_sxy=1.5,
                 iterations=4)  # fmt: skip


QUICK = {("log_likelihood", "symmetric"), ("hamming", "potts"), ("soft_iou", "diagonal")}
LEARNED = [(goal, w) for goal in ("log_likelihood", "hamming", "soft_iou") for w in ("potts", "diagonal", "symmetric")]


@pytest.mark.parametrize(
    ("goal", "weights"),
    [pytest.param(*pair, marks=() if pair in QUICK else pytest.mark.thorough) for pair in LEARNED],
)
def test_it_learns_what_helps(goal: Any, weights: Any) -> None:
    samples = planted(6)
    found = learn(samples, CLASSES, start=START, goal=goal, weights=weights, iterations=3, steps=6)
    assert found.losses[-1] < found.losses[0]
    assert found.helps and found.refiner == found.best and "The learned CRF helps" in found.verdict
    assert np.ndim(found.best.bilateral_weight) == {"potts": 0, "diagonal": 1, "symmetric": 2}[weights]
    assert np.max(found.best.bilateral_weight) > 0.8
    assert found.best.iterations == 4 and found.best.bilateral_sxy == pytest.approx((8.0, 8.0))
    told = {name: after - before for name, before, after in found.refinement.rows()}
    assert told["mIoU"] == pytest.approx(found.gain.interval.value) and told["mIoU"] > 0.05


def test_the_refiner_does_what_was_told() -> None:
    samples = planted(5)
    found = learn(samples, CLASSES, start=START, steps=4)
    again = DenseCRF.from_dict(found.best.as_dict())
    before, after = [], []
    for image, probabilities, labels in samples:
        refined = again(image, unary=clipped_unary(np.float32(probabilities))).argmax(axis=0)
        before.append((probabilities.argmax(axis=0) == labels).mean())
        after.append((refined == labels).mean())
    assert np.mean(after) > np.mean(before)


def test_where_colours_tell_nothing_it_stays_off() -> None:
    found = learn(planted(6, coloured=False), CLASSES, start=START, steps=3)
    assert not found.helps and found.refiner is None and "stays off" in found.verdict
    kept = learn(planted(6, coloured=False), CLASSES, start=START, steps=3, keep=True)
    assert kept.refiner is not None and "as asked" in kept.verdict


def test_the_folds_decide_how_far_it_goes_from_the_start() -> None:
    samples = planted(6)
    stiff, both = (learn(samples, CLASSES, start=START, steps=4, decay=decay) for decay in (100.0, (1e-4, 100.0)))
    assert stiff.decay == 100.0 and np.max(stiff.best.bilateral_weight) < 0.6
    assert both.decay == 1e-4 and both.gain.interval.value > stiff.gain.interval.value
    wrong = [
        (image, p, np.roll(labels, 1, axis=0) if n < 3 else labels) for n, (image, p, labels) in enumerate(samples)
    ]
    kept = learn(wrong, CLASSES, start=both.best, steps=4, decay=(100.0, 0.0))
    alone = learn(wrong, CLASSES, start=both.best, steps=4, decay=100.0)
    assert kept.decay == 100.0 and kept.best == alone.best and kept.gain == alone.gain


def test_bandwidths_are_learned_where_asked() -> None:
    start = dataclasses.replace(START, bilateral_weight=4.0, bilateral_srgb=90.0, accuracy="exact")
    found = learn(planted(4), CLASSES, start=start, learn_bandwidths=True, steps=6, decay=1e-4)
    widths = np.array(found.best.bilateral_srgb)
    assert widths.shape == (3,) and widths.min() < 80  # much too wide to tell the stripes apart


@pytest.mark.parametrize("goal", ["log_likelihood", "hamming", "soft_iou"])
def test_gradients_of_the_goals_are_those_of_finite_differences(goal: Any) -> None:
    samples = _Checked(planted(3), ["a", "b", "c"], CLASSES)
    shares = _class_shares(samples)
    layer = CRFRNN(3, 3, START, iterations=2, weights="diagonal", compatibility="potts").double()
    layer.double()
    value = _backward(layer, samples, range(3), goal, shares)
    slope = layer.bilateral_weight.grad
    assert slope is not None
    for k in range(3):
        with torch.no_grad():
            layer.bilateral_weight[0, k] += 0.02
        more = _backward(layer, samples, range(3), goal, shares)
        with torch.no_grad():
            layer.bilateral_weight[0, k] -= 0.04
        less = _backward(layer, samples, range(3), goal, shares)
        with torch.no_grad():
            layer.bilateral_weight[0, k] += 0.02
        assert float(slope[0, k]) != 0
        layer.zero_grad()
        _backward(layer, samples, range(3), goal, shares)
        assert float(layer.bilateral_weight.grad[0, k]) == pytest.approx((more - less) / 0.04, rel=0.03, abs=1e-6)
    assert np.isfinite(value)


def test_soft_iou_is_pooled_over_the_images() -> None:
    samples = planted(4)
    checked = _Checked(samples, list("abcd"), CLASSES)
    hard = [
        (image, np.eye(3, dtype=np.float32)[p.argmax(0)].transpose(2, 0, 1), labels) for image, p, labels in samples
    ]
    layer = CRFRNN(3, 3, dataclasses.replace(START, bilateral_weight=0.0, gaussian_weight=0.0), iterations=1)
    value = _backward(layer, _Checked(hard, list("abcd"), CLASSES), range(4), "soft_iou", _class_shares(checked))
    counts = np.zeros((3, 3), np.int64)
    for _, p, labels in hard:
        np.add.at(counts, (labels.ravel(), p.argmax(0).ravel()), 1)
    hits = np.diag(counts)
    assert -value == pytest.approx(float(mean_iou_from_tally(hits, counts.sum(1), counts.sum(0))), abs=1e-3)


def test_bad_input_is_refused_in_a_sentence() -> None:
    samples = planted(3)
    with pytest.raises(SettingError, match=r"goal 'likelihood'.*mean log_likelihood"):
        learn(samples, CLASSES, goal="likelihood")  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="2 folds or more"):
        learn(samples, CLASSES, folds=1)
    with pytest.raises(SettingError, match=r"no decay.*one or more"):
        learn(samples, CLASSES, decay=())
    unknown = [(image, p, np.full_like(labels, 255)) for image, p, labels in samples]
    with pytest.raises(DataError, match=r"3 images.*known class"):
        learn(unknown, CLASSES)


def test_on_a_device_it_learns_the_same() -> None:
    """The processor stands for the device: tensors go there, and what is measured comes back."""
    samples = planted(4)
    here, there = (
        learn(samples, CLASSES, steps=2, decay=1e-3, device=device) for device in (None, torch.device("cpu"))
    )
    assert there.best == here.best and there.gain.interval == here.gain.interval
