"""Trials: right counts, one build an image and bandwidth pair, nothing tried twice, the same with any number of threads."""

from __future__ import annotations

import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch

from segfield.classes import Array
from segfield.crf import refiner
from segfield.crf.dense_crf import DenseCRF, PreparedCRF
from segfield.crf.tuning.grid import OFF, Grid, Point
from segfield.crf.tuning.trials import (
    PrepareOn,
    Trials,
    as_crf,
    checked_sample,
    gpu_of,
    over_images,
    prepare_crf,
    prepare_where,
    refined_labels,
)
from segfield.crf.unary import unary_from_probabilities
from segfield.errors import DataError
from tests.crf.tuning.planted import CLASSES, CRF, GRID, ByHand, CountingPrepare, planted, pooled_mean_iou

SAMPLES = planted(3)
NAMES = ["a", "b", "c"]


def _trials(prepare: object = prepare_crf, threads: int = 1) -> Trials:
    return Trials(SAMPLES, NAMES, CLASSES, CRF, prepare, threads=threads)  # type: ignore[arg-type]


def test_kernels_are_built_once_an_image_and_bandwidth_pair_not_once_a_weight_of_either_kernel() -> None:
    prepare = CountingPrepare()
    trials = _trials(prepare)
    trials.run(Grid((0, 1, 2, 4), (6, 18), (10, 40), (0, 2)).points())
    assert len(prepare.built) == trials.builds == 3 * 4
    assert sorted(set(prepare.built)) == [(s, r) for s in (6, 18) for r in (10, 40)]
    assert trials.runs == 3 * 4 * 3 * 2


def test_what_was_tried_is_not_tried_again() -> None:
    trials = _trials()
    trials.run(GRID.points())
    runs = trials.runs
    trials.run([*GRID.points(), Point(2.0, 6.0, 10.0, 1.0)])
    assert trials.runs == runs + 3
    trials.run(GRID.points())
    assert trials.runs == runs + 3


@pytest.mark.parametrize("gaussian_weight", [0.0, 1.0])
def test_scores_are_those_of_the_crf_itself_pooled(gaussian_weight: float) -> None:
    trials = _trials()
    trials.run(GRID.points())
    point = Point(6.0, 6.0, 40.0, gaussian_weight)
    bilateral = dataclasses.replace(CRF, bilateral_weight=6.0, bilateral_sxy=6.0, bilateral_srgb=40.0)
    crf = dataclasses.replace(bilateral, gaussian_weight=gaussian_weight)
    found = []
    for image, probabilities, _ in SAMPLES:
        single = probabilities.astype(np.float32)
        found.append(crf(image, probabilities=single / single.sum(axis=0)).argmax(axis=0))
    assert trials.mean_iou(point) == pytest.approx(pooled_mean_iou(SAMPLES, found, 3), abs=1e-12)
    assert trials.mean_iou(point, [1]) == pytest.approx(pooled_mean_iou(SAMPLES[1:2], found[1:2], 3), abs=1e-12)


def test_off_is_the_classifier_and_so_is_a_crf_of_weight_0() -> None:
    trials = _trials()
    trials.run([OFF])
    alone = [probabilities.argmax(axis=0) for _, probabilities, _ in SAMPLES]
    assert trials.mean_iou(OFF) == pytest.approx(pooled_mean_iou(SAMPLES, alone, 3), abs=1e-12)
    assert (trials.builds, trials.runs) == (0, 0)
    weightless = as_crf(OFF, CRF)
    for (image, probabilities, _), labels in zip(SAMPLES, alone):
        single = probabilities.astype(np.float32)
        unary = unary_from_probabilities(single / single.sum(axis=0))
        assert np.array_equal(weightless.prepare(image).run(unary).argmax(axis=0), labels)


def test_the_number_of_threads_changes_nothing() -> None:
    one, three = _trials(), _trials(threads=3)
    one.run(GRID.points())
    three.run(reversed(GRID.points()))
    assert one.tallies.keys() == three.tallies.keys()
    assert all(np.array_equal(one.tallies[point], three.tallies[point]) for point in one.tallies)
    assert (one.builds, one.runs) == (three.builds, three.runs)


def test_ignored_pixels_are_out() -> None:
    image, probabilities, labels = SAMPLES[0]
    wrong = probabilities.argmax(axis=0) != labels
    assert wrong.any()
    trials = Trials(
        [(image, probabilities, np.where(wrong, 255, labels).astype(np.uint8))], ["a"], CLASSES, CRF, prepare_crf
    )
    trials.run([OFF])
    assert trials.mean_iou(OFF) == 1.0


def test_each_weight_gets_its_own_answer_whatever_the_order() -> None:
    """A stand-in that knows what it was asked for: labels are not mixed up between settings."""
    image, probabilities, labels = SAMPLES[0]
    answers: dict[tuple[float, float], Array] = {
        (1.0, 3.0): np.zeros_like(labels),
        (2.0, 0.0): labels,
        (2.0, 1.0): np.full_like(labels, 1),
        (3.0, 0.0): np.full_like(labels, 2),
    }
    asked = [(3.0, 5.0, 0.0), (1.0, 5.0, 3.0), (2.0, 5.0, 1.0), (2.0, 5.0, 0.0), (2.0, 9.0, 0.0)]
    points = [OFF, *(Point(weight, sxy, 5.0, gaussian) for weight, sxy, gaussian in asked)]
    found = {
        point: given
        for point, given, _ in refined_labels(
            checked_sample((image, probabilities, labels), "a", CLASSES),
            points,
            CRF,
            lambda image, crf: ByHand(answers),
        )
    }
    assert found.keys() == set(points)
    for point in points:
        expected = probabilities.argmax(axis=0) if point == OFF else answers[point.weight, point.gaussian_weight]
        assert np.array_equal(found[point], expected)


def test_a_point_becomes_a_crf_that_keeps_the_rest() -> None:
    base = DenseCRF(gaussian_weight=2.0, gaussian_sxy=5.0, iterations=7, normalization="after")
    crf = as_crf(Point(1.5, 20.0, 6.0, 0.25), base)
    assert (crf.bilateral_weight, crf.bilateral_sxy, crf.bilateral_srgb) == (1.5, 20.0, 6.0)
    assert (crf.gaussian_weight, crf.gaussian_sxy) == (0.25, 5.0)
    assert (crf.iterations, crf.normalization) == (7, "after")


@pytest.mark.parametrize(
    ("which", "change", "said"),
    [
        (1, lambda p: p[:2], "do not fit together"),
        (2, lambda labels: labels[:-1], "do not fit together"),
        (0, lambda image: image[0], "do not fit together"),
        (1, lambda p: p * 2, "sum"),
        (1, lambda p: p * np.nan, "NaN"),
        (2, lambda labels: labels + 7, "7, 8, 9"),
    ],
)
def test_a_bad_sample_is_said_with_its_name(which: int, change: object, said: str) -> None:
    bad = list(SAMPLES[1])
    bad[which] = change(bad[which])  # type: ignore[operator]
    trials = Trials([SAMPLES[0], tuple(bad)], ["good", "bad one"], CLASSES, CRF, prepare_crf)  # type: ignore[list-item]
    with pytest.raises(DataError, match=said) as caught:
        trials.run([OFF])
    assert "bad one" in str(caught.value)


def test_half_precision_probabilities_sum_to_one_afterwards() -> None:
    _, probabilities, _ = checked_sample(SAMPLES[0], "a", CLASSES)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=0), 1, atol=1e-6)
    np.testing.assert_allclose(probabilities, SAMPLES[0][1].astype(np.float64), atol=2e-3)


def test_results_come_in_order_and_an_error_stops_what_has_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    assert over_images(lambda i: i * i, 7, 3, None, "square") == [0, 1, 4, 9, 16, 25, 36]
    begun, stopped = [], threading.Event()
    real = ThreadPoolExecutor.shutdown

    def shutdown(pool: ThreadPoolExecutor, *given: Any, **settings: Any) -> None:
        if settings.get("cancel_futures"):
            real(pool, wait=False, cancel_futures=True)
            stopped.set()
        real(pool, *given, **settings)

    def work(index: int) -> int:
        begun.append(index)
        if index == 1:
            raise DataError("no")
        if index == 2:  # has begun by the time the error is heard of
            assert stopped.wait(300)
        return index

    monkeypatch.setattr(ThreadPoolExecutor, "shutdown", shutdown)
    with pytest.raises(DataError, match="no"):
        over_images(work, 500, 1, None, "fail")
    assert set(begun) <= {0, 1, 2}


def test_on_a_device_each_unary_is_sent_once_a_bandwidth_pair_and_labels_alone_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The processor stands for the device; what differs is that tensors are handed on."""
    samples = planted(2)
    given: list[Any] = []
    real = PreparedCRF.run

    def run(self: PreparedCRF, unary: Any, **weights: Any) -> Any:
        given.append(unary)
        found = real(self, unary, **weights)
        assert isinstance(found, torch.Tensor)
        return found

    names = ["a", "b"]
    here = Trials(samples, names, CLASSES, CRF, prepare_crf, threads=1)
    here.run(GRID.points())
    monkeypatch.setattr(PreparedCRF, "run", run)
    there = Trials(samples, names, CLASSES, CRF, PrepareOn(torch.device("cpu")), threads=1)
    there.run(GRID.points())
    assert all(isinstance(unary, torch.Tensor) for unary in given)
    assert len({id(unary) for unary in given}) == there.builds < len(given)
    assert there.tallies.keys() == here.tallies.keys()
    for point, tallies in here.tallies.items():
        np.testing.assert_array_equal(there.tallies[point], tallies)


def test_the_device_is_used_where_the_crf_works_there(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda, apple = torch.device("cuda"), torch.device("mps")
    assert gpu_of(cuda) == cuda and gpu_of(apple) is None and gpu_of(torch.device("cpu")) is None
    found = prepare_where(cuda)
    assert isinstance(found, PrepareOn) and found.device == cuda
    assert prepare_where(None) is prepare_crf
    monkeypatch.setattr(refiner, "_GPUS", ())
    assert gpu_of(cuda) is None
