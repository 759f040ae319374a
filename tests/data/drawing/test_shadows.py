"""Shadows on the ground against projections worked out by hand."""

import dataclasses

import numpy as np
import pytest
from scipy.spatial import ConvexHull

from segfield.data.drawing.camera import Camera
from segfield.data.drawing.canvas import Canvas
from segfield.data.drawing.dice import Dice
from segfield.data.drawing.light import draw_light
from segfield.data.drawing.shadows import box_shadow, cast, disc_shadow, strip_shadow

EAST = dataclasses.replace(draw_light(Dice(0)), sun=(0.6, 0.8, 0.0))


def from_above(draw, height=20.0):
    """The shade as seen from straight above (0, 10), looking down, as a map of 0.1 metres a pixel."""
    down = Camera(200, 200, 10 * height, (0.0, height, 10.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, -1.0, 0.0))
    canvas = Canvas(down)
    draw(canvas)
    return canvas.paint().shade


def extent(shade):
    rows, columns = np.nonzero(shade)
    return (columns.min() - 100) / 10, (columns.max() + 1 - 100) / 10, 20 - (rows.max() + 1) / 10, 20 - rows.min() / 10


def test_a_shadow_lies_opposite_the_sun_and_is_longer_when_it_is_low():
    noon, evening = (dataclasses.replace(EAST, sun=s) for s in ((0.0, 0.9, 0.436), (0.0, 0.3, 0.954)))
    assert cast(noon, (2.0, 3.0, 10.0)) == (2.0, pytest.approx(10 - 3 * 0.436 / 0.9))
    assert cast(evening, (2.0, 3.0, 10.0)) == (2.0, pytest.approx(10 - 3 * 0.954 / 0.3))


def test_even_the_lowest_suns_shadows_end():
    lowest = dataclasses.replace(EAST, sun=(1.0, 0.0, 0.0))
    assert cast(lowest, (0.0, 1.0, 0.0)) == (-4.0, 0.0)


def test_a_post_casts_a_strip():
    shade = from_above(lambda c: strip_shadow(c, EAST, 1.0, 10.0, 0.0, 4.0, 0.2))
    left, right, near, far = extent(shade)
    assert left == pytest.approx(1 - 3, abs=0.15)
    assert right == pytest.approx(1, abs=0.15)
    assert (near, far) == (pytest.approx(9.8, abs=0.15), pytest.approx(10.2, abs=0.15))


def test_a_crown_casts_an_oval_about_its_middle():
    shade = from_above(lambda c: disc_shadow(c, EAST, 3.0, 10.0, 4.0, 2.0, 2.0))
    left, right, near, far = extent(shade)
    assert (left + right) / 2 == pytest.approx(0, abs=0.4)
    assert (near + far) / 2 == pytest.approx(10, abs=0.4)
    # A ball of radius 2 casts 2 · 2 across the sun's way and 2 / 0.8 · 2 along it.
    assert right - left == pytest.approx(5, abs=0.9)
    assert far - near == pytest.approx(4, abs=0.7)
    assert 0 < shade[shade > 0].min() < 255


@pytest.mark.parametrize("sun", [(0.6, 0.8, 0.0), (-0.5, 0.7, 0.51), (0.0, 0.6, -0.8)])
def test_a_box_casts_the_hull_of_its_corners_shadows(sun):
    light = dataclasses.replace(EAST, sun=sun)
    foot = [(-0.9, 8.0), (0.9, 8.0), (0.9, 12.0), (-0.9, 12.0)]
    shade = from_above(lambda c: box_shadow(c, light, foot, 1.5))
    corners = np.array([*foot, *(cast(light, (x, 1.5, z)) for x, z in foot)])
    hull = ConvexHull(corners)
    area = np.count_nonzero(shade) / 100
    assert area == pytest.approx(hull.volume, rel=0.1)
    left, right, near, far = extent(shade)
    assert (left, near) == pytest.approx(tuple(corners.min(axis=0)), abs=0.15)
    assert (right, far) == pytest.approx(tuple(corners.max(axis=0)), abs=0.15)


def test_far_things_cast_no_shadow_one_would_see():
    canvas = Canvas(Camera.looking((32, 48), 30, (0.0, 1.5, 0.0)))
    strip_shadow(canvas, EAST, 0.0, 90.0, 0.0, 2.0, 0.2)
    disc_shadow(canvas, EAST, 0.0, 90.0, 4.0, 2.0, 2.0)
    assert not canvas.paint().shade.any()
    strip_shadow(canvas, EAST, 0.0, 6.0, 0.0, 2.0, 0.2)
    assert canvas.paint().shade.any()
