import math

import numpy as np
import pytest
import torch

from segfield.data.augment import Augmentation, AugmentationConfig
from segfield.data.value_range import ValueRange

IGNORED = 255
PLAIN = {"flip": False, "scale": (1, 1), "brightness": 0, "contrast": 0, "saturation": 0}
EVERYTHING = {
    "vertical_flip": True,
    "crop": (40, 50),
    "rotate": 20,
    "elastic": 4,
    "elastic_probability": 0.5,
    "hue": 0.1,
    "grey": 0.2,
    "blur": 0.5,
    "noise": 0.05,
}


def sample(size=(48, 64), bands=3, classes=5, dtype=torch.uint8, seed=0):
    """Blocks of 8 × 8 pixels of one class each, with an image of noise."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.randint(0, 256, (bands, *size), generator=generator).to(dtype)
    blocks = torch.randint(0, classes, (size[0] // 8 + 1, size[1] // 8 + 1), generator=generator)
    labels = blocks.repeat_interleave(8, 0).repeat_interleave(8, 1)[: size[0], : size[1]]
    return image, labels.to(torch.uint8).contiguous()


def augmentation(**settings):
    return Augmentation(AugmentationConfig(**settings), IGNORED)


@pytest.mark.parametrize("settings", [{}, EVERYTHING], ids=["default", "everything"])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.float32])
def test_same_seed_same_result_whatever_the_global_state(settings, dtype):
    image, labels = sample(dtype=dtype)
    augment = augmentation(**settings)
    for seed in range(6):
        first = augment(image, labels, seed)
        torch.manual_seed(99 + seed)
        np.random.seed(99 + seed)
        state = torch.get_rng_state()
        second = augment(image, labels, seed)
        assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])
        assert torch.equal(state, torch.get_rng_state())
    assert not torch.equal(augment(image, labels, 0)[0], augment(image, labels, 1)[0])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.float32])
def test_nothing_on_is_the_identity_and_a_copy(dtype):
    image, labels = sample(dtype=dtype)
    before = image.clone()
    changed, changed_labels = augmentation(**PLAIN)(image, labels, 3)
    assert changed.dtype == torch.float32 and torch.equal(changed, image.float())
    assert changed_labels.dtype == labels.dtype and torch.equal(changed_labels, labels)
    changed.zero_()
    assert torch.equal(image, before)


@pytest.mark.parametrize("setting, axis", [("flip", -1), ("vertical_flip", -2)])
def test_flips_are_torch_flip_half_of_the_time(setting, axis):
    image, labels = sample()
    augment = augmentation(**{**PLAIN, setting: True})
    flipped = 0
    for seed in range(200):
        changed, changed_labels = augment(image, labels, seed)
        is_flipped = torch.equal(changed_labels, labels.flip(axis))
        assert torch.equal(changed, (image.flip(axis) if is_flipped else image).float())
        assert is_flipped or torch.equal(changed_labels, labels)
        flipped += is_flipped
    assert 70 < flipped < 130


def test_a_crop_without_scale_is_a_slice():
    image, _ = sample()
    numbered = torch.arange(48 * 64, dtype=torch.int32).view(48, 64)
    corners = set()
    for seed in range(100):
        changed, positions = Augmentation(AugmentationConfig(**PLAIN, crop=(40, 60)), -1)(image, numbered, seed)
        top, left = divmod(int(positions[0, 0]), 64)
        corners.add((top, left))
        assert torch.equal(positions, numbered[top : top + 40, left : left + 60])
        assert torch.equal(changed, image[:, top : top + 40, left : left + 60].float())
    # 9 × 5 corners are possible, and each must be.
    assert {top for top, _ in corners} == set(range(9)) and {left for _, left in corners} == set(range(5))


@pytest.mark.parametrize("settings", [{}, {"crop": (30, 70)}, EVERYTHING])
def test_labels_are_of_the_input_or_ignored(settings):
    image, labels = sample(classes=3)
    labels = labels * 7  # ids 0, 7, 14: interpolated values would stand out
    for seed in range(40):
        changed, changed_labels = augmentation(**settings)(image, labels, seed)
        assert set(changed_labels.unique().tolist()) <= {0, 7, 14, IGNORED}
        assert torch.isfinite(changed).all() and changed.min() >= 0 and changed.max() <= 255
        assert changed.shape[1:] == changed_labels.shape == torch.Size(settings.get("crop", (48, 64)))


GEOMETRY = [
    {"scale": (0.4, 3.0)},
    {"scale": (0.4, 3.0), "crop": (40, 90), "flip": True, "vertical_flip": True},
    {"rotate": 45, "scale": (0.6, 2.0), "flip": True},
    {"elastic": 3, "vertical_flip": True},
    {"rotate": 180, "elastic": 3, "scale": (0.5, 2.0), "crop": (40, 90), "flip": True},
]


@pytest.mark.parametrize("settings", GEOMETRY)
@pytest.mark.parametrize("batched", [False, True])
def test_image_and_labels_stay_aligned(settings, batched):
    """An image painted by its labels must stay so: wherever no border is near, band 0 is the label's own value."""
    _, labels = sample((96, 128), classes=3)
    painted = torch.stack([labels * 100, labels * 0 + 200])
    augment = augmentation(**{**PLAIN, **settings})
    agreeing, inner = 0, 0
    for seed in range(12):
        if batched:
            changed, changed_labels = (both[0] for both in augment.batch(painted[None], labels[None], [seed]))
        else:
            changed, changed_labels = augment(painted, labels, seed)
        # Inside means: all labels within a pixel are the same class.
        near = changed_labels[None, None].float()
        low, high = -torch.max_pool2d(-near, 3, 1, 1)[0, 0], torch.max_pool2d(near, 3, 1, 1)[0, 0]
        inside = (low == high) & (changed_labels != IGNORED)
        close = (changed[0] - changed_labels * 100.0).abs() < 35
        agreeing += int((close & inside).sum())
        inner += int(inside.sum())
        torch.testing.assert_close(changed[1], torch.full_like(changed[1], 200), atol=0.01, rtol=0)
    assert inner > 3000 and agreeing / inner > 0.995


def test_outside_is_the_mean_and_ignored():
    image, labels = sample()
    image[:] = torch.tensor([10, 20, 30], dtype=torch.uint8)[:, None, None]
    for settings in ({"scale": (0.5, 0.5)}, {"scale": (0.5, 0.5), "rotate": 30}):
        changed, changed_labels = augmentation(**{**PLAIN, **settings})(image, labels, 1)
        assert (changed_labels == IGNORED).float().mean().item() == pytest.approx(0.75, abs=0.04)
        torch.testing.assert_close(changed, image.float(), atol=0.01, rtol=0)


def test_scales_are_drawn_evenly_and_as_asked():
    """The share of ignored pixels around a shrunk image tells its scale."""
    image, labels = sample((100, 100))
    augment = augmentation(**{**PLAIN, "scale": (0.5, 0.9)})
    known = [(augment(image, labels, seed)[1] != IGNORED).float().mean().item() for seed in range(200)]
    scales = np.sqrt(known)
    assert scales.min() == pytest.approx(0.5, abs=0.02) and scales.max() == pytest.approx(0.9, abs=0.02)
    assert np.quantile(scales, [0.25, 0.5, 0.75]) == pytest.approx([0.6, 0.7, 0.8], abs=0.04)


def test_shrinking_does_not_alias():
    """A one-pixel chequerboard has no place at half the size: it turns grey, straight or rotated or in a batch."""
    board = (255 * ((torch.arange(64)[:, None] + torch.arange(64)) % 2)).to(torch.uint8)[None]
    labels = torch.zeros(64, 64, dtype=torch.uint8)
    for settings in ({}, {"rotate": 10}):
        augment = augmentation(**{**PLAIN, "scale": (0.5, 0.5), "crop": (20, 20), **settings})
        assert augment(board, labels, 0)[0].std() < 16
        assert augment.batch(board[None], labels[None], [0])[0].std() < 40


def test_rotation_by_a_quarter_turns_counter_clockwise():
    image, labels = sample((40, 40))
    augment = augmentation(**PLAIN, rotate=90)
    turned = None
    for seed in range(4000):
        decisions = augment._draw(labels, seed)
        if abs(decisions.angle - math.pi / 2) < 2e-3:
            turned = augment(image, labels, seed)
            break
    assert turned is not None
    # A thousandth of a turn moves the outer pixels by 0.04 of one.
    assert torch.equal(turned[1][1:-1, 1:-1], labels.rot90(1)[1:-1, 1:-1])


def test_weight_maps_go_the_labels_way():
    image, labels = sample()
    weights = labels.float() + 0.5
    for settings in ({}, EVERYTHING):
        _, changed_labels, changed = augmentation(**settings)(image, labels, 5, weights)
        expected = torch.where(changed_labels == IGNORED, 0.0, changed_labels.float() + 0.5)
        assert torch.equal(changed, expected)


@pytest.mark.parametrize("bands", [1, 3, 5])
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (17, 5)])
def test_any_bands_and_tiny_images(bands, size):
    image, labels = sample(size, bands=bands)
    for settings in ({}, EVERYTHING):
        for seed in range(10):
            changed, changed_labels = augmentation(**settings)(image, labels, seed)
            assert changed.shape == (bands, *settings.get("crop", size)) and torch.isfinite(changed).all()
            assert changed_labels.shape == changed.shape[1:]


def test_labels_may_be_integers_of_any_width():
    image, labels = sample()
    augment = Augmentation(AugmentationConfig(**EVERYTHING), 65535)
    _, narrow = augmentation(**EVERYTHING)(image, labels, 2)
    _, wide = augment(image, labels.to(torch.int32) + 300, 2)
    assert wide.dtype == torch.int32
    assert torch.equal(wide, torch.where(narrow == IGNORED, 65535, narrow.to(torch.int32) + 300))


def test_batch_shows_what_single_calls_show():
    image, labels = sample((96, 128))
    smooth = torch.nn.functional.avg_pool2d(image[None].float(), 9, 1, 4)[0].to(torch.uint8)
    augment = augmentation(**{**EVERYTHING, "noise": 0, "scale": (0.5, 2)})
    seeds = list(range(20, 32))
    images, maps = augment.batch(smooth.expand(12, -1, -1, -1), labels.expand(12, -1, -1), seeds)
    assert images.shape == (12, 3, 40, 50) and images.dtype == torch.float32
    for i, seed in enumerate(seeds):
        single, single_labels = augment(smooth, labels, seed)
        assert (maps[i] == single_labels).float().mean() > 0.97
        inside = (maps[i] != IGNORED) & (single_labels != IGNORED)
        assert (images[i] - single)[:, inside].abs().mean() < 4


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_batch_on_a_gpu_equals_the_cpu():
    image, labels = sample((96, 128))
    augment = augmentation(**{**EVERYTHING, "noise": 0})
    images, maps = augment.batch(image.expand(4, -1, -1, -1), labels.expand(4, -1, -1), range(4))
    there = augment.batch(image.expand(4, -1, -1, -1).cuda(), labels.expand(4, -1, -1).cuda(), range(4))
    assert (there[1].cpu() == maps).float().mean() > 0.999
    torch.testing.assert_close(there[0].cpu(), images, atol=0.5, rtol=0)


def test_noise_and_clipping_go_by_the_range_of_the_data():
    """12 bits in 16: amplitudes are of 4095 and values stay within it, as for the 8-bit twin."""
    config = AugmentationConfig(flip=False, scale=(1, 1), brightness=0.5, contrast=0, saturation=0, noise=0.2)
    image = torch.randint(0, 256, (1, 30, 40), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    labels = torch.zeros(30, 40, dtype=torch.uint8)
    deep = image.to(torch.int32).mul(16).to(torch.uint16)
    for seed in range(6):
        expected = Augmentation(config, 255)(image, labels, seed)[0]
        found = Augmentation(config, 255, values=ValueRange("uint16", 4080.0))(deep, labels, seed)[0]
        torch.testing.assert_close(found / 16, expected, atol=1e-2, rtol=1e-5)
        floats = Augmentation(config, 255, values=ValueRange("float32", 1.0))(image / 255, labels, seed)[0]
        torch.testing.assert_close((floats * 255).clamp(0, 255), expected, atol=1e-2, rtol=1e-5)


def test_colours_change_about_black_wherever_that_lies():
    config = AugmentationConfig(flip=False, scale=(1, 1), brightness=0.5, contrast=0.5, saturation=0)
    image, labels = torch.rand(2, 9, 8), torch.zeros(9, 8, dtype=torch.uint8)
    expected = Augmentation(config, 255, values=ValueRange("float32", 1.0))(image, labels, 4)[0]
    found = Augmentation(config, 255, values=ValueRange("float32", 3000.0, -1000.0))(image * 4000 - 1000, labels, 4)[0]
    torch.testing.assert_close((found + 1000) / 4000, expected, atol=1e-5, rtol=1e-5)
