"""Drawn films: frames belong together, and what moves moves as the geometry says."""

from itertools import pairwise

import numpy as np
import pytest

from segfield.data.drawing.scene import camera_at, draw_scene, draw_sequence
from segfield.data.drawing.street import Street
from segfield.data.scenes import SCENE_CLASSES
from segfield.errors import SettingError

ID = {name: i for i, name in enumerate(SCENE_CLASSES.names)}


def speeds(count=60):
    return {seed: camera_at(Street(seed), (64, 96), 0.0)[1] for seed in range(count)}


DRIVING = [seed for seed, speed in speeds().items() if speed > 4][:4]


def test_frames_are_scenes_at_their_times():
    images, labels = draw_sequence((40, 60), 3, 3, fps=10)
    assert images.shape == (3, 3, 40, 60)
    assert labels.shape == (3, 40, 60)
    for t in range(3):
        image, truth = draw_scene((40, 60), 3, t / 10)
        assert np.array_equal(images[t], image)
        assert np.array_equal(labels[t], truth)


@pytest.mark.parametrize("seed", DRIVING)
def test_frames_change_a_little_and_over_time_a_lot(seed):
    _, labels = draw_sequence((96, 144), seed, 18)
    step = [(a == b).mean() for a, b in pairwise(labels)]
    assert min(step) > 0.85
    assert max(step) < 1
    assert (labels[0] == labels[-1]).mean() < min(step) - 0.03


@pytest.mark.parametrize("seed", DRIVING)
def test_the_ground_moves_as_the_camera_drives(seed):
    """Ground pixels of one frame, carried over by the true cameras, meet the same label in the next."""
    size, (first, later) = (120, 180), (0.0, 0.3)
    (old, _), (new, _) = (camera_at(Street(seed), size, t) for t in (first, later))
    (before_image, before), (after_image, after) = (draw_scene(size, seed, t) for t in (first, later))
    x, y = (a.astype(np.float64) for a in old.pixel_slopes(0, 120))
    steps = np.stack(old.world_slopes(x, y), axis=1)
    ground = np.isin(before.ravel(), [ID["road"], ID["pavement"]]) & (steps[:, 1] < -0.05)
    places = np.array(old.position) + steps[ground] * (-old.position[1] / steps[ground, 1])[:, None]
    right, above, ahead = new.to_camera(places)
    kept = ahead > 0.5
    column, row = (a.astype(int) for a in new.project(right[kept], above[kept], ahead[kept]))
    inside = (column >= 0) & (column < 180) & (row >= 0) & (row < 120)
    target = row[inside] * 180 + column[inside]
    source = np.flatnonzero(ground)[kept][inside]
    arrived, left = after.ravel()[target], before.ravel()[source]
    still = np.isin(arrived, [ID["road"], ID["pavement"]])
    assert len(target) > 800
    assert (arrived == left)[still].mean() > 0.97
    # Textures travel as well: the picture fits better along the true motion than without it.
    grey = [image.astype(np.float32).mean(axis=0).ravel() for image in (before_image, after_image)]
    moved = np.abs(grey[0][source] - grey[1][target])[still].mean()
    unmoved = np.abs(grey[0][source] - grey[1][source])[still].mean()
    assert moved < unmoved


def test_things_move_while_the_camera_stands():
    standing = [seed for seed, speed in speeds(80).items() if speed == 0][:4]
    shares = []
    for seed in standing:
        _, (before, after) = draw_sequence((96, 144), seed, 2, fps=1)
        changed = before != after
        moving = np.isin(before, [ID["car"], ID["person"]]) | np.isin(after, [ID["car"], ID["person"]])
        shares.append(moving[changed].mean() if changed.any() else 0)
        assert (before == after).mean() > 0.6
    assert len(standing) >= 3
    assert max(shares) > 0.2


def test_cameras_differ_and_go_on():
    found = speeds(80).values()
    assert sum(speed == 0 for speed in found) >= 4
    assert sum(0 < speed < 2 for speed in found) >= 4
    assert sum(speed > 3 for speed in found) >= 30
    street = Street(DRIVING[0])
    near, far = (camera_at(street, (64, 96), t)[0].position for t in (0.0, 10.0))
    assert far[2] - near[2] == pytest.approx(10 * speeds()[DRIVING[0]])


def test_a_film_does_not_run_out_of_street():
    _, labels = draw_scene((64, 96), DRIVING[0], 600.0)
    assert len(np.unique(labels)) >= 7


@pytest.mark.parametrize("frames, fps", [(0, 17), (3, 0), (3, -1), (3, 2000)])
def test_impossible_films_are_refused(frames, fps):
    with pytest.raises(SettingError, match="cannot be drawn"):
        draw_sequence((64, 64), 0, frames, fps)
