"""The search space: what is tried, how it scales, and where the refinement goes."""

from __future__ import annotations

import itertools
import math

import pytest

from segfield.crf.tuning.grid import OFF, Grid, Point, refined, rounded
from segfield.errors import SettingError


def test_every_combination_and_off_are_tried_once() -> None:
    points = Grid((5, 0, 2), (30, 10), (3,), (1, 0)).points()
    assert points[0] == OFF
    on = {Point(w, s, 3, g) for w in (2, 5) for s in (10, 30) for g in (0, 1)}
    assert set(points) == {OFF, *on}
    assert len(points) == len(set(points))


def test_the_default_covers_deeplabs_ranges_and_half_and_twice_of_them() -> None:
    grid = Grid.for_images([(375, 500)])
    for values, low, high in ((grid.weights, 5, 10), (grid.sxy, 50, 100), (grid.srgb, 3, 10)):
        assert values[0] <= low / 2 * 1.7
        assert values[-1] >= high
        ratios = [after / before for before, after in itertools.pairwise(values)]
        assert ratios == pytest.approx([2.0] * len(ratios), rel=0.01)


def test_positions_follow_the_median_diagonal_and_colours_the_range() -> None:
    paper = Grid.for_images([(375, 500)])
    grid = Grid.for_images([(750, 1000), (750, 1000), (30, 40)], colour_range=51)
    assert grid.sxy == pytest.approx([2 * value for value in paper.sxy])
    assert grid.srgb == pytest.approx([value / 5 for value in paper.srgb])
    assert (grid.weights, grid.gaussian_weights) == (paper.weights, paper.gaussian_weights)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (((), (1,), (1,)), "weights"),
        (((-1, 2), (1,), (1,)), "weights"),
        (((0,), (1,), (1,)), "only weight is 0"),
        (((1,), (0, 4), (1,)), "sxy"),
        (((1,), (4,), (math.nan,)), "srgb"),
        (((1,), (math.inf,), (1,)), "sxy"),
        (((1,), (4,), (1,), (-1, 2)), "gaussian_weights"),
        (((1,), (4,), (1,), ()), "gaussian_weights"),
    ],
)
def test_a_grid_that_cannot_be_is_said(values: tuple[tuple[float, ...], ...], said: str) -> None:
    with pytest.raises(SettingError, match=said):
        Grid(*values)


def test_refinement_halves_the_steps_within_the_grid() -> None:
    grid = Grid((1, 4, 16), (10, 40, 160), (2, 8, 32), (3,))
    new = refined(Point(4, 40, 8, 3), grid.points())
    assert {point.weight for point in new} == {2, 4, 8}
    assert {point.sxy for point in new} == {20, 40, 80}
    assert {point.srgb for point in new} == {4, 8, 16}
    assert len(new) == len(set(new)) == 26


def test_at_the_rim_refinement_goes_a_whole_step_out() -> None:
    new = refined(Point(16, 10, 8, 3), Grid((1, 4, 16), (10, 40), (8,), (3,)).points())
    assert {point.weight for point in new} == {8, 16, 64}
    assert {point.sxy for point in new} == {2.5, 10, 20}
    assert {point.srgb for point in new} == {8}, "an axis of one value stays"


def test_a_second_refinement_halves_again_and_repeats_nothing() -> None:
    tried = Grid((1, 4, 16), (10, 40, 160), (2, 8, 32), (3,)).points()
    tried += refined(Point(4, 40, 8, 3), tried)
    new = refined(Point(4, 40, 8, 3), tried)
    assert not {*new} & {*tried}
    assert {point.weight for point in new} == {rounded(4 / math.sqrt(2)), 4, rounded(4 * math.sqrt(2))}


@pytest.mark.parametrize(
    ("weights", "best", "about"),
    [
        ((0, 1, 4), 0, {0, 0.5}),
        ((0, 1, 4), 1, {0.5, 1, 2}),
        ((0, 1, 4), 4, {2, 4, 16}),
        ((0, 4), 4, {2, 4, 8}),
        ((1, 4), 1, {0.25, 1, 2}),
        ((0,), 0, {0}),
    ],
)
def test_gaussian_weights_are_refined_and_halved_towards_0(
    weights: tuple[float, ...], best: float, about: set[float]
) -> None:
    tried = Grid((1, 4, 16), (10, 40), (8,), weights).points()
    new = refined(Point(4, 40, 8, best), tried)
    assert {point.gaussian_weight for point in new} == about


def test_other_gaussian_weights_are_tried_at_the_best_bandwidths_alone() -> None:
    """No lattice is built for them, and trials do not multiply: 27 in the box about the best, 3 for each half step."""
    tried = Grid((1, 4, 16), (10, 40, 160), (2, 8, 32), (0, 1, 4)).points()
    new = refined(Point(4, 40, 8, 1), tried)
    aside = [point for point in new if point.gaussian_weight != 1]
    assert {(point.sxy, point.srgb) for point in aside} == {(40, 8)}
    assert {(point.weight, point.gaussian_weight) for point in aside} == {(w, g) for w in (2, 4, 8) for g in (0.5, 2)}
    assert len(new) == len(set(new)) == 26 + 6
    again = refined(Point(4, 40, 8, 0.5), [*tried, *new])
    assert {point.gaussian_weight for point in again} == {0.25, 0.5, rounded(math.sqrt(0.5))}


def test_nothing_lies_about_off() -> None:
    assert refined(OFF, Grid((1, 2), (3,), (4,)).points()) == []


@pytest.mark.parametrize(("value", "text"), [(123.456, 123.0), (0.0123456, 0.0123), (7.0, 7.0), (99.96, 100.0)])
def test_rounded_keeps_three_digits(value: float, text: float) -> None:
    assert rounded(value) == text
