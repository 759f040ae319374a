"""The search space: what is tried, how it scales, and where the refinement goes."""

from __future__ import annotations

import itertools
import math

import pytest

from segfield.crf.tuning.grid import OFF, Grid, Point, refined, rounded
from segfield.errors import SettingError


def test_every_combination_and_off_are_tried_once() -> None:
    points = Grid((5, 0, 2), (30, 10), (3,)).points()
    assert points[0] == OFF
    assert set(points) == {OFF, *(Point(w, s, 3) for w in (2, 5) for s in (10, 30))}
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
    assert grid.weights == paper.weights


@pytest.mark.parametrize(
    ("weights", "sxy", "srgb", "said"),
    [
        ((), (1,), (1,), "weights"),
        ((-1, 2), (1,), (1,), "weights"),
        ((0,), (1,), (1,), "only weight is 0"),
        ((1,), (0, 4), (1,), "sxy"),
        ((1,), (4,), (math.nan,), "srgb"),
        ((1,), (math.inf,), (1,), "sxy"),
    ],
)
def test_a_grid_that_cannot_be_is_said(
    weights: tuple[float, ...], sxy: tuple[float, ...], srgb: tuple[float, ...], said: str
) -> None:
    with pytest.raises(SettingError, match=said):
        Grid(weights, sxy, srgb)


def test_refinement_halves_the_steps_within_the_grid() -> None:
    grid = Grid((1, 4, 16), (10, 40, 160), (2, 8, 32))
    new = refined(Point(4, 40, 8), grid.points())
    assert {point.weight for point in new} == {2, 4, 8}
    assert {point.sxy for point in new} == {20, 40, 80}
    assert {point.srgb for point in new} == {4, 8, 16}
    assert len(new) == len(set(new)) == 26


def test_at_the_rim_refinement_goes_a_whole_step_out() -> None:
    new = refined(Point(16, 10, 8), Grid((1, 4, 16), (10, 40), (8,)).points())
    assert {point.weight for point in new} == {8, 16, 64}
    assert {point.sxy for point in new} == {2.5, 10, 20}
    assert {point.srgb for point in new} == {8}, "an axis of one value stays"


def test_a_second_refinement_halves_again_and_repeats_nothing() -> None:
    tried = Grid((1, 4, 16), (10, 40, 160), (2, 8, 32)).points()
    tried += refined(Point(4, 40, 8), tried)
    new = refined(Point(4, 40, 8), tried)
    assert not {*new} & {*tried}
    assert {point.weight for point in new} == {rounded(4 / math.sqrt(2)), 4, rounded(4 * math.sqrt(2))}


def test_nothing_lies_about_off() -> None:
    assert refined(OFF, Grid((1, 2), (3,), (4,)).points()) == []


@pytest.mark.parametrize(("value", "text"), [(123.456, 123.0), (0.0123456, 0.0123), (7.0, 7.0), (99.96, 100.0)])
def test_rounded_keeps_three_digits(value: float, text: float) -> None:
    assert rounded(value) == text
