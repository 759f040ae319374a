"""The camera's way through a street, and what the light and the lamps of a scene do to its picture."""

import math
from itertools import pairwise

import numpy as np
import pytest

from segfield.data.drawing import scene
from segfield.data.drawing.dice import Dice
from segfield.data.drawing.light import draw_light
from segfield.data.drawing.materials import SCENE_CLASSES
from segfield.data.drawing.street import VIEW, Street

ID = {name: i for i, name in enumerate(SCENE_CLASSES.names)}


@pytest.mark.parametrize("seed", range(12))
def test_the_camera_is_on_the_road_or_the_pavement_at_eye_height(seed):
    street = Street(seed)
    camera, _ = scene.camera_at(street, (90, 140), 0.0)
    x, y, _ = camera.position
    assert 1.1 < y < 2.2
    on_road = 0 < x < street.road - 2
    on_pavement = street.road + street.verge < abs(x) < street.edge
    assert on_road != on_pavement
    view = 2 * math.degrees(math.atan(70 / camera.focal))
    assert 45 < view < 66
    assert camera.forward[2] > 0.9


@pytest.mark.parametrize("seed", range(6))
def test_the_camera_moves_smoothly(seed):
    street = Street(seed)
    poses = [scene.camera_at(street, (64, 96), t / 17)[0] for t in range(20)]
    steps = np.diff([p.position for p in poses], axis=0)
    assert np.allclose(steps, steps[0], atol=1e-9)
    turns = [math.acos(min(1.0, sum(a * b for a, b in zip(p.forward, q.forward)))) for p, q in pairwise(poses)]
    assert max(turns) < math.radians(0.5)


def test_focal_length_goes_with_the_size():
    street = Street(4)
    small, large = (scene.camera_at(street, size, 0.0)[0] for size in ((64, 96), (640, 960)))
    assert large.focal == pytest.approx(10 * small.focal)
    upright = scene.camera_at(street, (960, 64), 0.0)[0]
    assert upright.focal > large.focal


def test_scenes_are_by_day_at_evening_and_at_dusk():
    lights = [draw_light(Dice(seed, VIEW, 1)) for seed in range(80)]
    assert 0.03 < np.mean([light.lamps > 0.5 for light in lights]) < 0.25
    assert 0.05 < np.mean([light.haze > 0.01 for light in lights]) < 0.25
    assert np.mean([light.sunlight[1] > 1 for light in lights]) > 0.5
    heights = [math.degrees(math.asin(light.sun[1])) for light in lights]
    assert min(heights) < 10
    assert max(heights) > 50


def test_pictures_are_neither_black_nor_burnt_out():
    for seed in range(16):
        image, labels = scene.draw_scene((60, 90), seed)
        assert 45 < image.mean() < 215, seed
        assert (image == 255).mean() < 0.35, seed
        assert (image < 4).mean() < 0.15, seed
        if (labels == ID["vegetation"]).sum() > 600:
            red, green, blue = image[:, labels == ID["vegetation"]].astype(float).mean(axis=1)
            assert max(red, green) > blue - 12, seed


def test_lit_windows_appear_at_dusk_alone():
    def bright_share(seed):
        image, labels = scene.draw_scene((90, 140), seed)
        red, _, blue = image[:, labels == ID["building"]].astype(int)
        return ((red > 215) & (red - blue > 25)).mean()

    lights = {seed: draw_light(Dice(seed, VIEW, 1)) for seed in range(80)}
    dusk = [bright_share(seed) for seed, light in lights.items() if light.lit > 0.3][:4]
    noon = [bright_share(seed) for seed, light in lights.items() if light.lit == 0][:4]
    assert len(dusk) == len(noon) == 4
    assert np.mean(dusk) > np.mean(noon) + 0.02


def test_the_same_street_at_other_sizes_keeps_its_classes():
    shares = []
    for size in ((48, 72), (96, 144), (192, 288)):
        _, labels = scene.draw_scene(size, 8)
        shares.append(np.bincount(labels.ravel(), minlength=len(SCENE_CLASSES)) / labels.size)
    # Thin things never get thinner than a pixel, so small pictures have a little more of them.
    assert np.abs(shares[1] - shares[2]).max() < 0.02
    assert np.abs(shares[0] - shares[2]).max() < 0.05
