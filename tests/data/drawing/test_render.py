"""Light and labels of pixels against geometry worked out here by hand, one pixel at a time."""

import dataclasses

import numpy as np
import pytest

from segfield.data.drawing.camera import Camera
from segfield.data.drawing.canvas import Canvas, Frame, X, Y, rectangle
from segfield.data.drawing.dice import Dice
from segfield.data.drawing.light import draw_light
from segfield.data.drawing.materials import SCENE_CLASSES, Material
from segfield.data.drawing.render import View, render, sky_light
from segfield.data.drawing.street import Street, profile

ID = {name: i for i, name in enumerate(SCENE_CLASSES.names)}
NOON = dataclasses.replace(
    draw_light(Dice(0)), sun=(0.6, 0.8, 0.0), sunlight=(2.0, 2.0, 2.0), skylight=(0.5, 0.5, 0.5), haze=0.0, clouds=0.0
)


def bare_view(seed=2, light=NOON, pose=(0.1, -0.1, 0.02), height=90, width=120, lots=True):
    street = Street(seed)
    camera = Camera.looking((height, width), 90, (0.7, 1.6, 10), *pose)
    there = street.lots(-30, 180) if lots else []
    return View(street, light, profile(street, there, -30, 180), camera)


def expected_ground(view, row, column):
    """Label of a ground pixel, in plain Python from the camera's axes and the street's measures."""
    camera, street = view.camera, view.street
    x, y = (column + 0.5 - camera.width / 2) / camera.focal, (camera.height / 2 - row - 0.5) / camera.focal
    ray = [camera.forward[i] + x * camera.right[i] + y * camera.up[i] for i in range(3)]
    if ray[1] > -2e-3:
        return None
    reach = -camera.position[1] / ray[1]
    place_x, place_z = camera.position[0] + reach * ray[0], camera.position[2] + reach * ray[2]
    edges = [street.road, street.road + 0.15, street.road + street.verge, street.edge, 0]
    if place_z > 170 or min(abs(abs(place_x) - edge) for edge in edges) < 0.02:
        return None
    here = None
    for lot in street.lots(-30, 180):
        if min(abs(place_z - lot.near), abs(place_z - lot.far)) < 0.6:
            return None
        if lot.near < place_z < lot.far and lot.side == (1 if place_x > 0 else -1):
            here = lot
    if abs(place_x) < street.road or (here and here.kind == "crossing"):
        return ID["road"]
    if abs(place_x) > street.edge:
        garden = here is None or here.kind in ("house", "garden") or (here.kind == "block" and street.kind == "suburb")
        return ID["vegetation" if garden else "pavement"]
    verge = street.road + 0.15 < abs(place_x) < street.road + street.verge
    return ID["vegetation" if verge else "pavement"]


@pytest.mark.parametrize("seed", [1, 2, 4, 8])
def test_ground_labels_are_those_of_the_plan(seed):
    view = bare_view(seed, height=45, width=60)
    _, labels = render(view, Canvas(view.camera).paint())
    checked = 0
    for row in range(20, 45):
        for column in range(60):
            expected = expected_ground(view, row, column)
            if expected is not None:
                assert labels[row, column] == expected, (row, column)
                checked += 1
    assert checked > 500


@pytest.mark.parametrize(
    "material, name", [(Material.GLASS, "car"), (Material.BOARD, "sign"), (Material.BARK, "vegetation")]
)
def test_a_faces_label_is_its_materials_class_exactly_where_it_shows(material, name):
    view = bare_view()
    canvas = Canvas(view.camera)
    canvas.add(Frame((0.0, 0.0, 18.0), X, Y), rectangle(-1, 0, 2, 3), material, (0.5, 0.5, 0.5))
    painted = canvas.paint()
    _, labels = render(view, painted)
    before = render(view, Canvas(view.camera).paint())[1]
    assert (labels[painted.faces == 2] == ID[name]).all()
    assert np.array_equal(labels[painted.faces != 2], before[painted.faces != 2])


def test_bands_do_not_show(monkeypatch):
    view = bare_view()
    whole = render(view, Canvas(view.camera).paint())
    monkeypatch.setattr("segfield.data.drawing.render._BAND", 7 * 120)
    banded = render(view, Canvas(view.camera).paint())
    assert np.array_equal(whole[0], banded[0])
    assert np.array_equal(whole[1], banded[1])


def test_house_fronts_shade_the_street_and_objects_the_ground():
    open_view, street_view = bare_view(lots=False), bare_view(lots=True)
    low_sun = dataclasses.replace(NOON, sun=(0.96, 0.28, 0.0))
    lit, _ = render(dataclasses.replace(open_view, light=low_sun), Canvas(open_view.camera).paint())
    shaded, labels = render(dataclasses.replace(street_view, light=low_sun), Canvas(street_view.camera).paint())
    road = labels == ID["road"]
    assert (shaded[:, road] <= lit[:, road] * 1.001 + 1e-6).mean() > 0.98
    assert (shaded[:, road] < 0.8 * lit[:, road]).mean() > 0.2
    canvas = Canvas(open_view.camera)
    canvas.shade(((-3, 12), (3, 12), (3, 16), (-3, 16)), 255)
    painted = canvas.paint()
    dark, _ = render(open_view, painted)
    plain, _ = render(open_view, Canvas(open_view.camera).paint())
    under = (painted.shade == 255) & (labels == ID["road"])
    assert under.sum() > 100
    assert dark[:, under].mean() < 0.5 * plain[:, under].mean()
    assert np.array_equal(dark[:, painted.shade == 0], plain[:, painted.shade == 0])


def test_haze_draws_distant_things_to_the_horizons_colour():
    misty = dataclasses.replace(NOON, haze=0.02, horizon=(0.2, 0.9, 0.2))
    radiances = []
    for z in (15.0, 30.0, 80.0, 150.0):
        view = bare_view(light=misty, pose=(0, 0, 0))
        canvas = Canvas(view.camera)
        canvas.add(Frame((0.0, 0.0, z), X, Y), rectangle(-9, 0, 18, 9), Material.STONE, (0.0, 0.0, 0.0))
        radiances.append(render(view, canvas.paint())[0][:, 42, 60])
    green = [r[1] for r in radiances]
    assert green == sorted(green)
    assert radiances[-1][1] > 0.55
    assert np.allclose(radiances[-1][0] / radiances[-1][1], 0.2 / 0.9, atol=0.02)


def test_lamps_glow():
    view = bare_view(pose=(0, 0, 0))
    bright = []
    for glow in (0.0, 3.0):
        canvas = Canvas(view.camera)
        canvas.add(Frame((0.0, 0.0, 18.0), X, Y), rectangle(-1, 0, 2, 3), Material.METAL, (0.5, 0.5, 0.5), glow)
        bright.append(render(view, canvas.paint())[0][:, 45, 60].mean())
    assert bright[1] - bright[0] == pytest.approx(1.5, rel=0.3)


def test_the_sky_is_brightest_at_the_sun():
    angles = np.linspace(0.02, np.pi - 0.02, 200, dtype=np.float32)
    sky = sky_light(NOON, np.cos(angles), np.sin(angles), np.zeros_like(angles)).sum(axis=0)
    brightest = angles[np.argmax(sky)]
    assert brightest == pytest.approx(np.arctan2(0.8, 0.6), abs=0.12)
