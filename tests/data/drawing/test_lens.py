"""The camera's own effects: noise of the stated size, blur that keeps the mean, exposure, JPEG."""

import dataclasses

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

from segfield.data.drawing import lens
from segfield.data.drawing.dice import Dice
from segfield.data.drawing.light import draw_light
from segfield.data.drawing.scene import draw_scene

LIGHT = dataclasses.replace(draw_light(Dice(0)), balance=(1.0, 1.0, 1.0))


def flat(value, height=64, width=96):
    return np.full((3, height, width), value, dtype=np.float32)


def test_noise_is_nearly_normal_and_of_its_deviation():
    noise = lens._noise(Dice(1), (3, 80, 90), 4.0)
    assert noise.mean() == pytest.approx(0, abs=0.1)
    assert noise.std() == pytest.approx(4, rel=0.03)
    assert ((noise / noise.std()) ** 4).mean() == pytest.approx(2.7, abs=0.2)  # four uniforms: kurtosis 3 − 1.2/4


def test_more_light_is_a_brighter_picture():
    means = [lens.expose(flat(v), LIGHT, Dice(1), Dice(2)).mean() for v in (0.0, 0.05, 0.2, 0.6, 2.0)]
    assert means == sorted(means)
    assert means[0] < 6
    assert means[-1] > 180


def test_another_frame_another_noise_the_same_lens():
    one, other = (lens.expose(flat(0.3), LIGHT, Dice(1), Dice(2, k)).astype(float) for k in (0, 1))
    assert not np.array_equal(one, other)
    assert np.abs(one.mean(axis=0) - other.mean(axis=0)).mean() < 5
    assert np.array_equal(one, lens.expose(flat(0.3), LIGHT, Dice(1), Dice(2, 0)))


def test_the_corners_are_darker_than_the_middle():
    picture = lens.expose(flat(0.4, 100, 100), LIGHT, Dice(7), Dice(2)).astype(float)
    assert picture[:, 45:55, 45:55].mean() > picture[:, :10, :10].mean() + 3


def test_white_balance_tints():
    warm = dataclasses.replace(LIGHT, balance=(1.2, 1.0, 0.8))
    red, _, blue = lens.expose(flat(0.3), warm, Dice(1), Dice(2)).astype(float).mean(axis=(1, 2))
    assert red > blue + 10


def test_jpeg_loses_more_at_lower_quality():
    image, _ = draw_scene((64, 96), 5)
    ratios = [peak_signal_noise_ratio(image, lens.through_jpeg(image, q)) for q in (95, 60, 10)]
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[0] > 30
    assert lens.through_jpeg(image, 50).shape == image.shape
