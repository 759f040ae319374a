"""Folds: every image judged once, and never by parameters it had a say in."""

from __future__ import annotations

import numpy as np
import pytest

from segfield.crf.tuning.cross_validation import Fold, Search, cross_validate, fold_images
from segfield.crf.tuning.grid import OFF, Point
from segfield.crf.tuning.trials import Trials, TuningSample, prepare_crf
from segfield.errors import SettingError
from tests.crf.tuning.planted import CLASSES, CRF, GRID, CountingPrepare, planted

SAMPLES = planted(6)
FOLDS = fold_images(6, 3)


def _trials(samples: list[TuningSample], prepare: object = prepare_crf) -> Trials:
    return Trials(samples, [f"image {i}" for i in range(len(samples))], CLASSES, CRF, prepare, threads=1)  # type: ignore[arg-type]


@pytest.mark.parametrize(("count", "folds", "made"), [(10, 3, 3), (4, 5, 4), (2, 2, 2)])
def test_every_image_is_held_out_once(count: int, folds: int, made: int) -> None:
    parts = fold_images(count, folds)
    assert len(parts) == made
    assert sorted(image for part in parts for image in part) == list(range(count))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert fold_images(count, folds) == parts


def test_neighbours_are_in_one_fold() -> None:
    assert fold_images(7, 3) == [(0, 1, 2), (3, 4), (5, 6)]


@pytest.mark.parametrize(("count", "folds"), [(1, 5), (10, 1), (0, 2)])
def test_folds_that_cannot_be_are_said(count: int, folds: int) -> None:
    with pytest.raises(SettingError, match="folds"):
        fold_images(count, folds)


@pytest.fixture(scope="module")
def honest() -> list[Fold]:
    return cross_validate(_trials(SAMPLES), GRID, FOLDS)[0]


@pytest.mark.parametrize("part", [0, 1, 2])
def test_held_out_images_have_no_say_in_their_folds_parameters(honest: list[Fold], part: int) -> None:
    """Their labels, colours and probabilities are replaced by others: the fold's choice and score stay as they were."""
    other = planted(6, seed=9, shift=-7.0, coloured=False)
    changed = [other[i] if i in FOLDS[part] else SAMPLES[i] for i in range(6)]
    spied, _ = cross_validate(_trials(changed), GRID, FOLDS)
    assert spied[part].point == honest[part].point
    assert spied[part].chosen_at == honest[part].chosen_at
    assert spied[part].before != honest[part].before, "the images that were replaced are those that are judged"


def test_a_fold_is_judged_on_its_own_images() -> None:
    trials = _trials(SAMPLES)
    folds, final = cross_validate(trials, GRID, FOLDS)
    for fold, part in zip(folds, FOLDS):
        rest = [i for i in range(6) if i not in part]
        assert fold.images == part
        assert fold.after == trials.mean_iou(fold.point, part)
        assert fold.chosen_at == max(trials.mean_iou(point, rest) for point in [*GRID.points(), fold.point])
    assert final.images == tuple(range(6))


def test_refinement_finds_what_is_at_least_as_good_and_shares_trials() -> None:
    prepare = CountingPrepare()
    trials = _trials(SAMPLES, prepare)
    _, coarse = cross_validate(trials, GRID, FOLDS, rounds=0)
    assert len(prepare.built) == 6 * 4
    assert {*trials.tallies} == {*GRID.points()}
    _, fine = cross_validate(trials, GRID, FOLDS, rounds=1)
    assert fine.score(fine.best()) >= coarse.score(coarse.best())
    assert len(fine.candidates) == len(set(fine.candidates)) > len(coarse.candidates)
    assert trials.runs == 6 * (len(trials.tallies) - 1), "a point several folds ask for is tried once"


def test_of_equals_the_gentlest_wins() -> None:
    perfect = planted(3, shift=0.0)
    trials = _trials(perfect)
    tally = np.ones((3, 3, 3), np.int64) * np.array([1, 2, 2])[:, None, None]  # hits, true, predicted pixels
    trials.tallies = dict.fromkeys(GRID.points(), tally)
    search = Search(trials, GRID, range(3))
    assert search.best() == OFF
    assert search.best_on() == Point(1.5, 6.0, 10.0, 0.0)
    trials.tallies[Point(6.0, 6.0, 10.0, 1.0)] = tally + np.array([1, 0, 0])[:, None, None]
    assert search.best() == search.best_on() == Point(6.0, 6.0, 10.0, 1.0)
