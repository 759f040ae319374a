"""tune: finds a planted gain, stays off where there is none, and does not depend on threads."""

from __future__ import annotations

import dataclasses
import itertools
import json

import numpy as np
import pytest

from segfield.crf.dense_crf import DenseCRF
from segfield.crf.tune import Tuning, default_grid, tune
from segfield.crf.tuning.grid import OFF, Grid, Point
from segfield.crf.tuning.trials import TuningSample, as_crf
from segfield.errors import DataError, SettingError
from tests.crf.tuning.planted import CLASSES, CRF, GRID, SIZE, CountingPrepare, planted, pooled_mean_iou, speckled

HELPFUL = planted(8)


def _tune(samples: list[TuningSample], **settings: object) -> Tuning:
    return tune(samples, CLASSES, **{"base": CRF, "grid": GRID, "folds": 4, "threads": 1, **settings})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def helpful() -> Tuning:
    return _tune(HELPFUL)


def test_a_planted_gain_is_found(helpful: Tuning) -> None:
    assert helpful.helps
    assert helpful.gain.interval.low > 0
    assert helpful.after.scores.mean_iou > helpful.before.scores.mean_iou + 0.05
    assert helpful.refiner == helpful.best
    assert helpful.tried[helpful.best_point] == max(helpful.tried.values())
    assert "helps" in helpful.verdict
    assert "on" in helpful.verdict
    curve = helpful.after.boundaries.trimap - helpful.before.boundaries.trimap
    assert (curve[:5] > 0).all()
    assert helpful.after.boundaries.boundary_iou > helpful.before.boundaries.boundary_iou


def test_the_refiner_does_what_was_promised(helpful: Tuning) -> None:
    """On new images of the same kind, through the public call."""
    new = planted(6, seed=5)
    crf = helpful.refiner
    assert isinstance(crf, DenseCRF)
    alone = [probabilities.argmax(axis=0) for _, probabilities, _ in new]
    refined = [crf(image, probabilities=p.astype(np.float32)).argmax(axis=0) for image, p, _ in new]
    assert pooled_mean_iou(new, refined, 3) > pooled_mean_iou(new, alone, 3) + 0.05


def test_what_is_told_is_the_cross_validated_gain(helpful: Tuning) -> None:
    """Each image refined with what the other folds chose, pooled by hand."""
    found = []
    for i, (image, probabilities, _) in enumerate(HELPFUL):
        point = next(fold.point for fold in helpful.folds if i in fold.images)
        single = probabilities.astype(np.float32)
        single /= single.sum(axis=0)
        crf = dataclasses.replace(
            CRF,
            bilateral_weight=point.weight,
            bilateral_sxy=point.sxy,
            bilateral_srgb=point.srgb,
            gaussian_weight=point.gaussian_weight,
        )
        found.append(crf(image, probabilities=single).argmax(axis=0))
    alone = [probabilities.argmax(axis=0) for _, probabilities, _ in HELPFUL]
    gain = pooled_mean_iou(HELPFUL, found, 3) - pooled_mean_iou(HELPFUL, alone, 3)
    assert helpful.gain.interval.value == pytest.approx(gain, abs=1e-12)


@pytest.mark.parametrize(
    "samples", [planted(6, shift=0.0), planted(8, coloured=False)], ids=["perfect classifier", "colours tell nothing"]
)
def test_it_stays_off_where_there_is_nothing_to_gain(samples: list[TuningSample]) -> None:
    tuning = _tune(samples)
    assert not tuning.helps
    assert tuning.refiner is None
    assert ("not certain" if tuning.gain.interval.value > 0 else "does not help") in tuning.verdict
    assert "stays off" in tuning.verdict
    assert OFF in tuning.tried


@pytest.mark.parametrize(
    ("lines", "wanted"), [(True, [0.0]), (False, [8.0, 24.0])], ids=["thin lines", "broad stripes"]
)
def test_the_gaussian_kernel_is_off_where_it_harms_and_on_where_it_helps(lines: bool, wanted: list[float]) -> None:
    """Whatever weight the base gives it."""
    grid = Grid(weights=(6.0,), sxy=(6.0,), srgb=(10.0,), gaussian_weights=(0.0, 8.0, 24.0))
    base = dataclasses.replace(CRF, gaussian_weight=0.0 if wanted[0] else 3.0)
    tuning = _tune(speckled(6, lines), base=base, grid=grid, rounds=0, folds=2)
    assert tuning.helps
    assert tuning.best_point.gaussian_weight in wanted
    assert tuning.refiner == as_crf(tuning.best_point, base)
    assert tuning.as_dict()["refiner"]["gaussian_weight"] == tuning.best_point.gaussian_weight
    others = [score for point, score in tuning.tried.items() if point != OFF and point.gaussian_weight not in wanted]
    assert tuning.tried[tuning.best_point] > max(others) + 0.02


def test_without_a_gaussian_bandwidth_its_weights_are_not_tried() -> None:
    tuning = _tune(HELPFUL[:2], base=dataclasses.replace(CRF, gaussian_sxy=None), folds=2, rounds=1)
    assert {point.gaussian_weight for point in tuning.tried} == {0.0}


def test_a_best_setting_at_the_rim_of_what_was_tried_is_told(helpful: Tuning) -> None:
    axes = itertools.product((1.0, 2.0, 4.0), (5.0, 10.0, 20.0), (0.0, 1.0, 3.0))
    tried = {OFF: 0.5, **{Point(w, s, 3.0, g): 0.6 for w, s, g in axes}}
    for best, rim in (
        (Point(2.0, 10.0, 3.0, 1.0), ()),
        (Point(2.0, 10.0, 3.0, 0.0), ()),  # nothing lies below 0
        (Point(2.0, 10.0, 3.0, 3.0), ("gaussian_weight",)),
        (Point(4.0, 10.0, 3.0, 1.0), ("weight",)),
        (Point(1.0, 5.0, 3.0, 1.0), ("weight", "sxy")),
    ):
        assert dataclasses.replace(helpful, tried=tried, best_point=best).at_rim == rim


def test_keep_switches_it_on_all_the_same() -> None:
    tuning = _tune(planted(4, shift=0.0), keep=True, rounds=0)
    assert not tuning.helps
    assert isinstance(tuning.refiner, DenseCRF)
    assert tuning.refiner.bilateral_weight > 0  # type: ignore[operator]
    assert "as asked" in tuning.verdict


def test_threads_change_nothing(helpful: Tuning) -> None:
    again = _tune(HELPFUL, threads=3)
    first, second = helpful.as_dict(), again.as_dict()
    first.pop("seconds"), second.pop("seconds")
    assert first == second


def test_lattices_are_reused_over_weights() -> None:
    prepare = CountingPrepare()
    tuning = _tune(HELPFUL[:3], rounds=0, folds=3, prepare=prepare)
    assert tuning.builds == 3 * len(GRID.sxy) * len(GRID.srgb)
    assert tuning.runs == tuning.builds * len(GRID.weights) * len(GRID.gaussian_weights)
    on = sum(fold.point != OFF for fold in tuning.folds for _ in fold.images)
    assert len(prepare.built) == tuning.builds + on, "and once an image to measure the result"


def test_all_of_it_can_be_written_as_json(helpful: Tuning) -> None:
    document = json.loads(json.dumps(helpful.as_dict(), allow_nan=False))
    assert DenseCRF.from_dict(document["refiner"]) == helpful.refiner
    assert len(document["tried"]) == len(helpful.tried)
    assert sorted(i for fold in document["folds"] for i in fold["images"]) == list(range(8))
    assert document["gain"]["value"] == pytest.approx(document["after"]["mean_iou"] - document["before"]["mean_iou"])


def test_any_iterable_will_do_and_the_default_grid_fits_small_images() -> None:
    grid = default_grid(HELPFUL)
    assert grid == Grid.for_images([SIZE])
    single = Grid((4.0,), (10.0,), (20.0,), (1.0,))
    tuning = tune(iter(HELPFUL[:2]), CLASSES, base=CRF, grid=single, folds=2, names=["x", "y"])
    assert tuning.names == ("x", "y")


def test_colour_bandwidths_follow_the_values_of_other_depths() -> None:
    """A 16-bit sensor that fills 12 bits: its colours lie a sixteenth as far apart, in units of 0..255."""
    twelve_bits = [(image.astype(np.uint16) * 16, p, labels) for image, p, labels in HELPFUL]
    grid = default_grid(twelve_bits)
    eight_bits = Grid.for_images([SIZE])
    ratio = grid.srgb[0] / eight_bits.srgb[0]
    spread = np.median([np.subtract(*np.percentile(image, [99, 1])) for image, _, _ in HELPFUL])
    assert ratio == pytest.approx(spread / 255 / 16, rel=0.01)
    assert grid.sxy == eight_bits.sxy
    white = default_grid(twelve_bits, image_range=4095)
    assert white.srgb[0] == pytest.approx(16 * grid.srgb[0], rel=0.02)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"folds": 1}, "folds"),
        ({"rounds": -1}, "rounds"),
        ({"names": ["a"] * 8}, "own"),
        ({"names": ["a", "b"]}, "own"),
    ],
)
def test_settings_that_cannot_be_are_said(settings: dict[str, object], said: str) -> None:
    with pytest.raises((SettingError, DataError), match=said):
        _tune(HELPFUL, **settings)


def test_one_image_or_none_with_truth_is_said() -> None:
    with pytest.raises(SettingError, match="2 labelled images"):
        _tune(HELPFUL[:1])
    blank = [(image, p, np.full_like(labels, 255)) for image, p, labels in HELPFUL[:3]]
    prepare = CountingPrepare()
    with pytest.raises(DataError, match="no pixel"):
        _tune(blank, prepare=prepare)
    assert prepare.built == [], "before any work"
