"""Painting: which face each pixel shows, against scikit-image's polygons and the painter's order."""

import numpy as np
import pytest
from scipy import ndimage
from skimage.draw import polygon2mask

from segfield.data.drawing.camera import Camera
from segfield.data.drawing.canvas import GROUND_FACE, SKY_FACE, Canvas, Frame, X, Y, Z, rectangle
from segfield.data.drawing.dice import Dice
from segfield.data.drawing.materials import Material

GREY = (0.5, 0.5, 0.5)


def level_camera(height=80, width=120):
    return Camera.looking((height, width), 100, (0, 1.5, 0))


def test_an_empty_street_is_sky_over_ground():
    faces = Canvas(level_camera()).paint().faces
    assert (faces[:40] == SKY_FACE).all()
    assert (faces[40:] == GROUND_FACE).all()


@pytest.mark.parametrize("seed", range(6))
def test_a_polygon_fills_its_pixels(seed):
    camera, dice = level_camera(), Dice(seed)
    angles = np.sort(dice.array(7)) * 2 * np.pi
    outline = np.stack([3 * np.cos(angles), 2 * np.sin(angles) + 1], axis=1)
    canvas = Canvas(camera)
    canvas.add(Frame((0.0, 0.0, 8.0), X, Y), outline.tolist(), Material.STONE, GREY)
    painted = canvas.paint().faces == 2
    column, row = 60 + outline[:, 0] * 100 / 8, 40 - (outline[:, 1] - 1.5) * 100 / 8
    fine = polygon2mask((640, 960), np.stack([row * 8 - 0.5, column * 8 - 0.5], axis=1))
    covered = fine.reshape(80, 8, 120, 8).mean(axis=(1, 3))
    # Pillow fills a rim of up to half a pixel more; beyond that the two must agree.
    assert not (painted & ~ndimage.binary_dilation(covered > 0, np.ones((3, 3)))).any()
    assert not (~painted & ndimage.binary_erosion(covered == 1)).any()


def test_polygons_are_not_shifted():
    shifts = []
    for seed in range(40):
        dice = Dice(seed, 1)
        left, low, wide, tall = dice.between(-4, 1), dice.between(0, 2), dice.between(1, 3), dice.between(1, 2)
        canvas = Canvas(level_camera())
        canvas.add(Frame((0.0, 0.0, 8.0), X, Y), rectangle(left, low, wide, tall), Material.STONE, GREY)
        rows, columns = np.nonzero(canvas.paint().faces == 2)
        exact = 40 - (low + tall / 2 - 1.5) * 12.5, 60 + (left + wide / 2) * 12.5
        shifts.append((rows.mean() + 0.5 - exact[0], columns.mean() + 0.5 - exact[1]))
    assert np.abs(shifts).max() < 1
    assert np.abs(np.mean(shifts, axis=0)).max() < 0.15


def test_what_is_added_later_lies_in_front():
    canvas = Canvas(level_camera())
    for i, u in enumerate((-2.0, -1.0, 0.0)):
        canvas.add(Frame((u, 0.0, 10.0 - i), X, Y), rectangle(0, 0, 2, 3), Material.STONE, GREY)
    faces = canvas.paint().faces
    assert faces[35, 60 - 15] == 2
    assert faces[35, 60 - 5] == 3
    assert faces[35, 60 + 5] == 4


def test_thin_things_stay_unbroken():
    canvas = Canvas(level_camera())
    canvas.add(Frame((1.0, 0.0, 40.0), X, Y), rectangle(0, 0, 0.05, 8), Material.METAL, GREY)
    rows = (canvas.paint().faces == 2).any(axis=1)
    assert rows[24 + 1 : 43].all()


def test_depth_and_place_on_the_face_are_those_of_the_geometry():
    camera = Camera.looking((80, 120), 100, (0.4, 1.5, 2), yaw=0.2, pitch=-0.05)
    canvas = Canvas(camera)
    canvas.add(Frame((4.0, 0.0, 30.0), (0.0, 0.0, -1.0), Y), rectangle(0, 0, 25, 6), Material.FACADE, GREY)
    painted = canvas.paint()
    at = np.flatnonzero(painted.faces == 2)
    plane = painted.planes[:, 2].astype(np.float64)
    x, y = (a[at].astype(np.float64) for a in camera.pixel_slopes(0, 80))
    depth = plane[3] / (plane[0] * x + plane[1] * y + plane[2])
    steps = np.stack(camera.world_slopes(x, y), axis=1)
    places = np.array(camera.position) + depth[:, None] * steps
    assert len(at) > 200
    assert np.allclose(places[:, 0], 4, atol=1e-3)
    u = depth * (plane[4] * x + plane[5] * y + plane[6]) + plane[7]
    v = depth * (plane[8] * x + plane[9] * y + plane[10]) + plane[11]
    assert np.allclose(u, 30 - places[:, 2], atol=1e-3)
    assert np.allclose(v, places[:, 1], atol=1e-3)
    assert np.allclose(painted.normals[:, 2], [-1, 0, 0])


def test_faces_behind_the_camera_are_clipped_or_left_out():
    canvas = Canvas(level_camera())
    canvas.add(Frame((0.0, 0.0, -5.0), X, Y), rectangle(-5, 0, 10, 5), Material.STONE, GREY)
    canvas.add(Frame((-2.0, 0.0, -5.0), Z, Y), rectangle(0, 0, 30, 3), Material.STONE, GREY)
    faces = canvas.paint().faces
    assert not (faces == 2).any()
    assert (faces[40, :30] == 3).all()
    assert not (faces[:, 60:] == 3).any()


def test_a_plane_shows_its_back_to_a_camera_behind_it():
    canvas = Canvas(level_camera())
    assert not canvas.shows_back(Frame((0.0, 0.0, 5.0), X, Y))
    assert canvas.shows_back(Frame((0.0, 0.0, 5.0), (-1.0, 0.0, 0.0), Y))
    assert canvas.detail(10.0) == pytest.approx(10)


def test_shade_lies_on_the_ground():
    canvas = Canvas(level_camera())
    canvas.shade(((-1, 5), (1, 5), (1, 10), (-1, 10)), 200)
    shade = canvas.paint().shade
    # Five metres ahead the ground is 30 pixels below the horizon, ten metres ahead 15.
    assert (shade[56:69, 55:65] == 200).all()
    assert not shade[:54].any()
    assert not shade[72:].any()
