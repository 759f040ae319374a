"""Houses, cars, people, plants and street furniture: each is where it should be, and is what it should be."""

import dataclasses
import math

import numpy as np
import pytest
from scipy import ndimage

from segfield.data.drawing.buildings import draw_lot, draw_skyline
from segfield.data.drawing.camera import Camera
from segfield.data.drawing.canvas import Canvas, Frame, X, Y
from segfield.data.drawing.cars import draw_car
from segfield.data.drawing.dice import Dice
from segfield.data.drawing.furniture import (
    draw_bollard,
    draw_fence,
    draw_lamp,
    draw_sign,
    draw_traffic_light,
    draw_wire,
)
from segfield.data.drawing.light import draw_light
from segfield.data.drawing.materials import CLASS_OF_MATERIAL, SCENE_CLASSES
from segfield.data.drawing.people import draw_person
from segfield.data.drawing.plants import draw_bush, draw_hedge, draw_tree
from segfield.data.drawing.shadows import cast
from segfield.data.drawing.street import Lot, Street

LIGHT = dataclasses.replace(draw_light(Dice(0)), sun=(0.6, 0.8, 0.0))
ID = {name: i for i, name in enumerate(SCENE_CLASSES.names)}
LEAF = (0.1, 0.2, 0.05)


def shown(draw, height=240, width=320, eye=(0.0, 1.5, 0.0), **pose):
    """Which class each pixel shows after `draw(canvas)`, −1 where sky and ground stay; and the shade on the ground."""
    canvas = Canvas(Camera.looking((height, width), 240, eye, **pose))
    draw(canvas)
    painted = canvas.paint()
    classes = CLASS_OF_MATERIAL[painted.looks[4].astype(int)].astype(int)
    classes[:2] = -1
    return classes[painted.faces], painted.shade


def box(mask):
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return rows[0], rows[-1] + 1, columns[0], columns[-1] + 1


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("heading", [0.0, math.pi, math.pi / 2])
def test_a_car_is_one_solid_thing_of_a_cars_size(seed, heading):
    classes, shade = shown(lambda canvas: draw_car(canvas, Dice(seed), LIGHT, 0.0, 12.0, heading))
    car = classes == ID["car"]
    assert set(np.unique(classes)) == {-1, ID["car"]}
    assert ndimage.label(car)[1] == 1
    # No gaps in its seams: all that it encloses above the wheels is car.
    top, bottom, left, right = box(car)
    body = slice(top, bottom - int(0.3 * (bottom - top)))
    assert (ndimage.binary_fill_holes(car) == car)[body].all()
    metre = 240 / (12 - (2.3 if abs(math.sin(heading)) < 0.5 else 0.9))
    long = (1.5, 2.3) if abs(math.sin(heading)) < 0.5 else (3.5, 5.6)
    assert long[0] * metre < right - left < long[1] * metre * 1.06
    assert 1.2 * metre < bottom - top < 2.7 * metre
    assert shade[:, :left].any()  # the sun stands on the right


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("sideways", [False, True])
def test_a_person_stands_on_the_ground_and_is_as_tall_as_people_are(seed, sideways):
    classes, _ = shown(lambda canvas: draw_person(canvas, Dice(seed), LIGHT, 0.5, 8.0, 0.8 * seed, sideways))
    top, bottom, left, right = box(classes == ID["person"])
    assert set(np.unique(classes)) == {-1, ID["person"]}
    assert 0.95 < (bottom - top) / 30 < 2.0
    # The ground eight metres ahead lies 45 pixels below the horizon.
    assert bottom == pytest.approx(120 + 45, abs=5)
    assert 0.2 < (right - left) / 30 < 1.3
    assert left < 160 + 15 < right


def test_legs_move_with_the_stride_and_heads_do_not():
    pictures = [shown(lambda c, s=s: draw_person(c, Dice(3), LIGHT, 0.0, 5.0, s, True))[0] for s in (0.0, 0.8, 1.6)]
    top, bottom, _, _ = box(pictures[0] >= 0)
    head, feet = slice(top, top + (bottom - top) // 6), slice(bottom - (bottom - top) // 4, bottom)
    assert np.array_equal(pictures[0][head], pictures[2][head])
    widths = [np.ptp(np.flatnonzero((p[feet] >= 0).any(axis=0))) for p in pictures]
    assert widths[0] < widths[1] < widths[2]


@pytest.mark.parametrize("seed", range(12))
def test_trees_stand_on_the_ground_and_reach_over_people(seed):
    classes, shade = shown(lambda canvas: draw_tree(canvas, Dice(seed), LIGHT, -1.0, 18.0, LEAF), pitch=0.15)
    tree = classes == ID["vegetation"]
    assert set(np.unique(classes)) == {-1, ID["vegetation"]}
    top, bottom, _, _ = box(tree)
    assert 4 < (bottom - top) / (240 / 18) < 14
    assert tree[bottom - 4 : bottom].sum(axis=1).max() < 14
    assert shade.any()


def test_hedges_and_bushes_are_vegetation():
    hedge, _ = shown(lambda canvas: draw_hedge(canvas, Dice(1), Frame((-4.0, 0.0, 12.0), X, Y), 8.0, LEAF))
    top, bottom, left, right = box(hedge == ID["vegetation"])
    assert (left, right) == (pytest.approx(80, abs=2), pytest.approx(240, abs=2))
    assert 0.6 < (bottom - top) / 20 < 2.3
    bush, _ = shown(lambda canvas: draw_bush(canvas, Dice(2), LIGHT, 0.0, 12.0, LEAF))
    assert 50 < (bush == ID["vegetation"]).sum() < 4000


@pytest.mark.parametrize(
    "kind, classes",
    [("sign", {"pole", "sign"}), ("lights", {"pole", "sign"}), ("lamp", {"pole"}), ("bollard", {"pole"})],
)
def test_street_furniture_is_thin_and_labelled(kind, classes):
    draws = {
        "sign": lambda c: draw_sign(c, Dice(4), LIGHT, 0.0, 10.0),
        "lights": lambda c: draw_traffic_light(c, LIGHT, 0.0, 10.0, 1),
        "lamp": lambda c: draw_lamp(c, LIGHT, 1, 0.0, 10.0, 6.0),
        "bollard": lambda c: draw_bollard(c, LIGHT, 0.0, 10.0, (0.2, 0.2, 0.2)),
    }
    there, _ = shown(draws[kind], pitch=0.1)
    assert {SCENE_CLASSES.names[i] for i in np.unique(there) if i >= 0} == classes
    widths = (there == ID["pole"]).sum(axis=1)
    assert 1 <= np.median(widths[widths > 0]) <= 6


@pytest.mark.parametrize("seed", range(20))
def test_signs_keep_their_faces_above_head_height(seed):
    there, _ = shown(lambda c: draw_sign(c, Dice(seed), LIGHT, 0.0, 10.0), pitch=0.1)
    rows = np.flatnonzero((there == ID["sign"]).any(axis=1))
    horizon = 120 + 240 * math.tan(0.1)
    assert rows[-1] < horizon + 24 * 0.35
    assert len(rows) > 8


def test_a_wire_hangs_between_its_ends():
    there, _ = shown(lambda c: draw_wire(c, (-5.0, 5.0, 20.0), (5.0, 5.0, 20.0), 1.0), pitch=0.0)
    rows, columns = np.nonzero(there == ID["pole"])
    assert columns.min() == pytest.approx(100, abs=2)
    assert columns.max() == pytest.approx(220, abs=2)
    # Every column has it; in the middle it hangs a metre lower, twelve pixels.
    assert len(np.unique(columns)) == columns.max() - columns.min() + 1
    sag = rows[columns == 160].mean() - rows[columns == columns.min()].mean()
    assert sag == pytest.approx(12, abs=2)


def test_one_can_see_through_most_fences():
    gaps = []
    for seed in range(12):
        there, _ = shown(lambda c, s=seed: draw_fence(c, Dice(s), Frame((-4.0, 0.0, 8.0), X, Y), 8.0))
        fence = there == ID["fence"]
        top, bottom, left, right = box(fence)
        assert set(np.unique(there)) == {-1, ID["fence"]}
        assert right - left == pytest.approx(240, abs=25)
        gaps.append(1 - fence[top:bottom, left:right].mean())
    assert max(gaps) > 0.5
    assert min(gaps) < 0.25


@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize("kind, height", [("block", 12.0), ("house", 6.0)])
def test_a_house_stands_on_its_side_and_is_as_high_as_planned(side, kind, height):
    street = Street(3)
    lot = Lot(side, 2, 20.0, 32.0, kind, height, 4.0 if kind == "house" else 0.0)
    there, _ = shown(lambda c: draw_lot(c, street, lot), width=600, pitch=0.2)
    house = there == ID["building"]
    assert set(np.unique(there)) == {-1, ID["building"]}
    assert house[:, : 300 if side > 0 else 600].sum() == (0 if side > 0 else house.sum())
    top = box(house)[0]
    horizon = 120 + 240 * math.tan(0.2)
    lowest = 240 * (height * 0.6 - 1.5) / 32
    highest = 240 * (height + 6) / 20
    assert lowest < horizon - top < highest * 1.3


def test_nothing_is_built_in_gardens_and_side_streets():
    for kind in ("garden", "crossing"):
        there, _ = shown(lambda c, k=kind: draw_lot(c, Street(3), Lot(1, 2, 20.0, 32.0, k, 0.0, 0.0)))
        assert (there == -1).all()


@pytest.mark.parametrize("seed", range(6))
def test_the_skyline_stays_at_the_horizon_and_never_comes_nearer(seed):
    street = Street(seed)
    near, _ = shown(lambda c: draw_skyline(c, street, 0.0))
    later, _ = shown(lambda c: draw_skyline(c, street, 50.0), eye=(0.0, 1.5, 50.0))
    assert np.array_equal(near, later)
    assert (near[117:119] >= 0).mean() > 0.9
    assert {SCENE_CLASSES.names[i] for i in np.unique(near) if i >= 0} <= {"vegetation", "building"}


def test_shadows_fall_away_from_the_sun():
    assert cast(LIGHT, (1.0, 0.0, 5.0)) == (1.0, 5.0)
    x, z = cast(LIGHT, (1.0, 4.0, 5.0))
    assert (x, z) == (pytest.approx(1 - 0.6 * 4 / 0.8), pytest.approx(5))


def colours_of(draw, name, **pose):
    """The albedos (N, 3) of the faces of a class that can be seen, and how much they glow."""
    canvas = Canvas(Camera.looking((240, 320), 240, (0.0, 1.5, 0.0), **pose))
    draw(canvas)
    painted = canvas.paint()
    faces = [f for f in np.unique(painted.faces) if f > 1]
    of_class = [f for f in faces if CLASS_OF_MATERIAL[int(painted.looks[4, f])] == ID[name]]
    return painted.looks[:3, of_class].T, painted.looks[3, of_class]


def test_cars_show_red_lamps_behind_and_white_ones_in_front():
    dusk = dataclasses.replace(LIGHT, lamps=1.0)
    for heading, red in ((0.0, True), (math.pi, False)):
        albedo, glow = colours_of(lambda c, h=heading: draw_car(c, Dice(5), dusk, 0.0, 10.0, h), "car")
        lamps = albedo[glow > 0]
        assert len(lamps) == 2
        assert (lamps[:, 0] > 5 * lamps[:, 1]).all() == red
    _, glow = colours_of(lambda c: draw_car(c, Dice(5), LIGHT, 0.0, 10.0, math.pi), "car")
    assert (glow == 3 * LIGHT.lamps).sum() >= 2


def test_one_lamp_of_a_traffic_light_burns():
    for phase, strongest in ((0, 0), (2, 1)):
        albedo, glow = colours_of(lambda c, p=phase: draw_traffic_light(c, LIGHT, 0.0, 8.0, p), "sign", pitch=0.1)
        assert (glow > 0).sum() == 1
        assert albedo[glow > 0][0].argmax() == strongest


def test_cars_and_clothes_come_in_many_colours():
    cars = {
        tuple(colours_of(lambda c, s=s: draw_car(c, Dice(s), LIGHT, 0.0, 9.0), "car")[0].sum(axis=0)) for s in range(12)
    }
    people = {
        tuple(colours_of(lambda c, s=s: draw_person(c, Dice(s), LIGHT, 0.0, 6.0, 0.0, False), "person")[0].sum(axis=0))
        for s in range(12)
    }
    assert len(cars) >= 10
    assert len(people) == 12


def test_some_people_are_children():
    heights = []
    for seed in range(60):
        classes, _ = shown(lambda c, s=seed: draw_person(c, Dice(s), LIGHT, 0.0, 8.0, 0.0, False))
        top, bottom, _, _ = box(classes == ID["person"])
        heights.append((bottom - top) / 30)
    assert 0.03 < np.mean(np.array(heights) < 1.45) < 0.35
    assert 1.6 < np.median(heights) < 1.9
