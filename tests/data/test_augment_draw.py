import numpy as np
import pytest
import torch

from segfield.data.augment import Augmentation, AugmentationConfig
from segfield.data.augment_draw import crop_origin, draw


def scene():
    """A large class 0, a rare class 2 in one corner, class 1 nowhere."""
    labels = torch.zeros(100, 120, dtype=torch.uint8)
    labels[80:84, 100:104] = 2
    return labels


def test_crops_stay_inside_and_reach_everywhere():
    corners = np.array([crop_origin(scene(), (90, 100), seed) for seed in range(600)])
    assert corners.min(0).tolist() == [0, 0] and corners.max(0).tolist() == [10, 20]
    assert corners.mean(0) == pytest.approx([5, 10], abs=0.7)


def test_crops_larger_than_the_image_hold_all_of_it():
    corners = np.array([crop_origin(scene(), (130, 120), seed) for seed in range(300)])
    assert set(corners[:, 0].tolist()) == set(range(-30, 1)) and not corners[:, 1].any()


def test_rare_crops_are_centred_on_the_class():
    for seed in range(50):
        top, left = crop_origin(scene(), (20, 20), seed, np.array([0.0, 0.5, 0.5]))
        assert 80 <= top + 10 <= 83 or top == 80
        assert 100 <= left + 10 < 104 or left == 100


def test_classes_are_drawn_by_weight_among_those_that_are_there():
    weights = np.array([1.0, 5.0, 3.0])
    holds = [crop_origin(scene(), (5, 5), seed, weights)[0] >= 78 for seed in range(800)]
    # Class 1 is not there: 3 in 4 go to class 2; of the rest a few lie beside it by chance.
    assert np.mean(holds) == pytest.approx(0.75 + 0.25 * 0.17, abs=0.05)


def test_no_drawable_class_falls_back_to_anywhere():
    for weights in (np.array([0.0, 1.0, 0.0]), np.zeros(3), np.zeros(0)):
        assert crop_origin(scene(), (90, 100), 4, weights) == crop_origin(scene(), (90, 100), 4)


def test_rare_crops_raise_the_share_of_the_rare_class():
    image = torch.zeros(1, 100, 120, dtype=torch.uint8)
    shares = []
    for rare_crops in (0.0, 0.5, 1.0):
        config = AugmentationConfig(crop=(32, 32), scale=(1, 1))
        augment = Augmentation(config, 255, rare_crops, class_shares=[0.99, 0.0, 0.01])
        shares.append(np.mean([(augment(image, scene(), seed)[1] == 2).float().mean() for seed in range(200)]))
    assert 5 * shares[0] < shares[1] < shares[2] and shares[2] > 0.01


def test_switching_one_change_on_leaves_the_others():
    labels = scene()
    plain = [draw(AugmentationConfig(crop=(50, 60)), labels, seed) for seed in range(20)]
    noisy = [draw(AugmentationConfig(crop=(50, 60), noise=0.1, elastic=5), labels, seed) for seed in range(20)]
    assert [one.window for one in plain] == [one.window for one in noisy]
    assert [one.brightness for one in plain] == [one.brightness for one in noisy]
    assert any(one.noise for one in noisy) and not any(one.noise for one in plain)


def test_ranges_and_shares():
    config = AugmentationConfig(
        rotate=30,
        hue=0.1,
        brightness=0.4,
        grey=0.3,
        blur=0.25,
        blur_sigma=(1, 2),
        noise=0.1,
        elastic=2,
        elastic_probability=0.6,
    )
    draws = [draw(config, scene(), seed) for seed in range(1000)]
    angles = np.rad2deg([one.angle for one in draws])
    assert abs(angles).max() <= 30 and angles.std() == pytest.approx(30 / np.sqrt(3), rel=0.05)
    assert max(abs(one.hue) for one in draws) <= 0.1
    assert np.mean([one.brightness for one in draws]) == pytest.approx(1, abs=0.02)
    assert np.mean([one.saturation == 0 for one in draws]) == pytest.approx(0.3, abs=0.05)
    blurs = [one.blur for one in draws if one.blur]
    assert len(blurs) / 1000 == pytest.approx(0.25, abs=0.05) and 1 <= min(blurs) <= max(blurs) <= 2
    assert min(one.noise for one in draws) >= 0 and max(one.noise for one in draws) <= 0.1
    assert np.mean([one.displacements is not None for one in draws]) == pytest.approx(0.6, abs=0.05)


@pytest.mark.parametrize("crop", [(64, 100), None])
def test_half_the_size_shows_the_same_part_with_half_the_pixels(crop):
    labels = torch.zeros(64, 100, dtype=torch.long)
    whole = [draw(AugmentationConfig(crop=crop), labels, seed) for seed in range(30)]
    half = [draw(AugmentationConfig(crop=crop, size=0.5), labels, seed) for seed in range(30)]
    for ours, theirs in zip(half, whole):
        assert ours.size == (32, 48) and theirs.size == (64, 100)
        assert ours.window.height == pytest.approx(theirs.window.height, abs=1)
        assert ours.window.width == pytest.approx(theirs.window.width * 0.96, abs=2)
    assert draw(AugmentationConfig(crop=(20, 20), size=0.5), labels, 0).size == (16, 16)


def test_half_the_size_bends_half_as_far():
    labels = torch.zeros(64, 100, dtype=torch.long)
    whole, half = (draw(AugmentationConfig(elastic=8, size=size), labels, 3).displacements for size in (1.0, 0.5))
    torch.testing.assert_close(half, whole / 2)
