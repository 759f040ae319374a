import colorsys
import dataclasses

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as reference

from segfield.data.augment import Augmentation, AugmentationConfig
from segfield.data.augment_draw import draw
from segfield.data.colour import add_noise, change_colours, colour_map, gaussian_blur, hue_matrix

NEUTRAL = dataclasses.replace(
    draw(AugmentationConfig(), torch.zeros(8, 8), 0), brightness=1.0, contrast=1.0, saturation=1.0, hue=0.0
)


def image(bands=3):
    """Values 0.3 … 0.6: no change of these tests leaves 0 … 1, where torchvision would clip."""
    return 0.3 + 0.3 * torch.rand(bands, 20, 30, generator=torch.Generator().manual_seed(0))


def changed(values, **settings):
    return change_colours(values[None], [dataclasses.replace(NEUTRAL, **settings)])[0]


@pytest.mark.parametrize("factor", [0.5, 0.9, 1.4])
def test_brightness_contrast_saturation_equal_torchvision(factor):
    values = image()
    close = {"atol": 2e-4, "rtol": 0}  # torchvision's luma weights are 0.2989, 0.587, 0.114
    torch.testing.assert_close(changed(values, brightness=factor), reference.adjust_brightness(values, factor), **close)
    torch.testing.assert_close(changed(values, contrast=factor), reference.adjust_contrast(values, factor), **close)
    torch.testing.assert_close(changed(values, saturation=factor), reference.adjust_saturation(values, factor), **close)


def test_all_three_equal_torchvision_one_after_the_other():
    values = image()
    expected = reference.adjust_saturation(
        reference.adjust_contrast(reference.adjust_brightness(values, 1.2), 0.7), 1.3
    )
    together = changed(values, brightness=1.2, contrast=0.7, saturation=1.3)
    torch.testing.assert_close(together, expected, atol=4e-4, rtol=0)


def test_one_band_equals_torchvision():
    values = image(1)
    expected = reference.adjust_contrast(reference.adjust_brightness(values, 1.2), 0.7)
    torch.testing.assert_close(changed(values, brightness=1.2, contrast=0.7, saturation=0.0, hue=0.4), expected)


def test_many_bands_keep_their_means_under_contrast():
    values = image(6) + torch.arange(6)[:, None, None]
    result = changed(values, contrast=0.5, saturation=0.0)
    torch.testing.assert_close(result.mean((1, 2)), values.mean((1, 2)))
    torch.testing.assert_close(result.std((1, 2)), values.std((1, 2)) / 2)


def test_no_saturation_is_torchvision_grey():
    values = image()
    torch.testing.assert_close(
        changed(values, saturation=0.0), reference.rgb_to_grayscale(values, 3), atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("turn", [-0.3, 0.05, 1 / 3, 0.5])
def test_hue_keeps_greys_and_luma(turn):
    matrix = hue_matrix(turn)
    assert matrix @ np.ones(3) == pytest.approx(np.ones(3), abs=1e-5)
    assert np.array([0.299, 0.587, 0.114]) @ matrix == pytest.approx([0.299, 0.587, 0.114], abs=1e-5)
    assert hue_matrix(-turn) @ matrix == pytest.approx(np.eye(3), abs=1e-9)


@pytest.mark.parametrize("turn", [-0.1, 0.05, 0.2])
def test_hue_turns_the_way_and_about_as_far_as_torchvision(turn):
    values = image()
    ours, theirs = changed(values, hue=turn).flatten(1).T, reference.adjust_hue(values, turn).flatten(1).T
    turned = []
    for mine, other in zip(ours.tolist(), theirs.tolist()):
        difference = colorsys.rgb_to_hsv(*mine)[0] - colorsys.rgb_to_hsv(*other)[0]
        turned.append((difference + 0.5) % 1 - 0.5)
    # The circles of YIQ and of HSV do not coincide; the turn is the same in the mean.
    assert np.mean(turned) == pytest.approx(0, abs=0.02) and np.std(turned) < 0.05


def test_each_image_of_a_batch_has_its_own_change():
    values = image()
    draws = [dataclasses.replace(NEUTRAL, brightness=b, contrast=c) for b, c in ((1.5, 1.0), (1.0, 0.5))]
    both = change_colours(torch.stack([values, values]), draws)
    torch.testing.assert_close(both[0], values * 1.5)
    torch.testing.assert_close(both[1], changed(values, contrast=0.5))


def test_neutral_changes_nothing():
    values = image()
    assert torch.equal(changed(values), values)
    matrix, pull = colour_map(NEUTRAL, 3)
    assert matrix == pytest.approx(np.eye(3), abs=1e-9) and pull == pytest.approx(np.zeros((3, 3)))


@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.0])
def test_blur_equals_torchvision(sigma):
    side = 2 * int(np.ceil(3 * sigma)) + 1
    expected = reference.gaussian_blur(image(), [side, side], [sigma, sigma])
    torch.testing.assert_close(gaussian_blur(image(), sigma), expected, atol=1e-5, rtol=0)


def test_blur_of_a_thin_image():
    row = image()[:, :1]
    assert gaussian_blur(row, 2.0).shape == row.shape
    assert gaussian_blur(torch.ones(1, 3, 2), 5.0) == pytest.approx(torch.ones(1, 3, 2))


def test_noise_has_its_deviation_and_its_seed():
    grey = torch.zeros(3, 100, 100)
    noisy = add_noise(grey, 12.0, seed=5)
    assert noisy.std().item() == pytest.approx(12, rel=0.03) and noisy.mean().abs() < 0.3
    assert torch.equal(noisy, add_noise(grey, 12.0, seed=5)) and not torch.equal(noisy, add_noise(grey, 12.0, seed=6))


@pytest.mark.parametrize("dtype, highest", [(torch.uint8, 255), (torch.uint16, 65535)])
def test_integer_images_are_clipped_and_noise_knows_their_range(dtype, highest):
    config = AugmentationConfig(flip=False, scale=(1, 1), brightness=1, contrast=0, saturation=0, noise=0.5)
    values = torch.full((3, 30, 30), highest, dtype=torch.int32).to(dtype)
    lowest = []
    for seed in range(20):
        result, _ = Augmentation(config, 255)(values, torch.zeros(30, 30, dtype=torch.uint8), seed)
        assert result.min() >= 0 and result.max() <= highest
        lowest.append(result.min().item() / highest)
    assert min(lowest) < 0.3 and len(set(lowest)) > 10


def test_float_images_are_not_clipped():
    config = AugmentationConfig(flip=False, scale=(1, 1), brightness=0.5, contrast=0, saturation=0)
    values = 1000 + 500 * torch.randn(2, 30, 30, generator=torch.Generator().manual_seed(1))
    result, _ = Augmentation(config, 255)(values, torch.zeros(30, 30, dtype=torch.uint8), 3)
    ratio = result / values
    torch.testing.assert_close(ratio, ratio[0, 0, 0].expand_as(ratio), rtol=1e-4, atol=1e-4)
    assert result.max() > 2000
