"""The pinhole camera against its own geometry: angles, round trips, clipping."""

import math

import numpy as np
import pytest

from segfield.data.drawing.camera import Camera, clip_near, cross, dot

POSES = [(0, 0, 0), (0.3, 0, 0), (0, -0.1, 0), (0, 0, 0.2), (-0.4, 0.08, -0.05)]


@pytest.mark.parametrize("pose", POSES)
def test_axes_are_a_right_handed_set(pose):
    camera = Camera.looking((100, 160), 120, (0, 0, 0), *pose)
    axes = np.array([camera.right, camera.up, camera.forward])
    assert np.allclose(axes @ axes.T, np.eye(3), atol=1e-12)
    assert np.allclose(np.cross(camera.forward, camera.right), camera.up)


def test_vectors():
    a, b = (1.0, 2.0, 3.0), (-2.0, 0.5, 4.0)
    assert np.allclose(cross(a, b), np.cross(a, b))
    assert dot(a, b) == pytest.approx(np.dot(a, b))


@pytest.mark.parametrize("pose", POSES)
def test_a_pixels_ray_comes_back_to_the_pixel(pose):
    camera = Camera.looking((60, 90), 80, (1.5, 1.2, 7), *pose)
    x, y = camera.pixel_slopes(0, 60)
    steps = np.stack(camera.world_slopes(x, y), axis=1).astype(np.float64)
    points = np.array(camera.position) + 13 * steps
    right, above, ahead = camera.to_camera(points)
    assert np.allclose(ahead, 13, atol=1e-4)
    column, row = camera.project(right, above, ahead)
    assert np.allclose(column.reshape(60, 90), np.arange(90) + 0.5, atol=0.07)
    assert np.allclose(row.reshape(60, 90), np.arange(60)[:, None] + 0.5, atol=0.07)


def test_slopes_of_some_rows_are_those_rows_of_all():
    camera = Camera.looking((40, 30), 25, (0, 1, 0))
    x, y = camera.pixel_slopes(0, 40)
    some_x, some_y = camera.pixel_slopes(10, 13)
    assert np.array_equal(some_x, x[300:390])
    assert np.array_equal(some_y, y[300:390])


def test_a_point_ahead_left_and_high_is_left_and_high_in_the_image():
    camera = Camera.looking((100, 200), 100, (0, 1.5, 0))
    column, row = camera.project(*camera.to_camera(np.array([[-3.0, 3.5, 10.0]])))
    assert column[0] == pytest.approx(100 - 30, abs=0.04)
    assert row[0] == pytest.approx(50 - 20, abs=0.04)


def test_yaw_turns_right_and_pitch_up():
    turned = Camera.looking((100, 200), 100, (0, 0, 0), yaw=math.radians(10))
    assert turned.project(*turned.to_camera(np.array([[0.0, 0, 50]])))[0][0] < 100
    raised = Camera.looking((100, 200), 100, (0, 0, 0), pitch=math.radians(10))
    assert raised.project(*raised.to_camera(np.array([[0.0, 0, 50]])))[1][0] > 50


def test_clipping_keeps_what_is_ahead():
    square = [(-1.0, 0.0, -1.0), (1.0, 0.0, -1.0), (1.0, 0.0, 3.0), (-1.0, 0.0, 3.0)]
    kept = clip_near(square, 0.5)
    assert sorted(kept) == sorted([(1.0, 0.0, 0.5), (1.0, 0.0, 3.0), (-1.0, 0.0, 3.0), (-1.0, 0.0, 0.5)])
    assert clip_near(square, 4) == []
    assert clip_near(square, -2) == square
