"""The default crop follows the typical image, not the smallest; smaller images are padded, and the plan is told."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import pytest
import torch

from segfield.data.augment import Augmentation, AugmentationConfig
from segfield.data.value_range import ValueRange
from segfield.errors import SettingError
from segfield.losses.class_weights import ClassCounts
from segfield.training.crop_plan import plan_in_words, with_crop
from segfield.training.recipe import Recipe
from segfield.training.setup import Measured

RECIPE = Recipe(data="photos")


def measured(sizes: Mapping[tuple[int, int], int], bands: int = 3) -> Measured:
    nothing = np.zeros(0)
    return Measured(
        bands, ValueRange("uint8", 255.0), nothing, nothing, ClassCounts(nothing, nothing), sizes, 0, "", {}
    )  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sizes", "crop"),
    [
        ({(50, 70): 2}, (50, 70)),
        ({(600, 600): 3}, (512, 512)),
        ({(70, 100): 1, (90, 66): 1}, (64, 64)),
        ({(64, 40): 1, (480, 640): 9}, (480, 512)),  # one thumbnail
        ({(64, 40): 4, (400, 640): 5}, (384, 512)),
        ({(64, 40): 5, (480, 640): 4}, (64, 40)),  # nearly all are thumbnails
        ({(20, 20): 1, (30, 18): 2}, (30, 18)),
    ],
)
def test_the_crop_is_of_the_median_image(sizes: Mapping[tuple[int, int], int], crop: tuple[int, int]) -> None:
    planned = with_crop(RECIPE, measured(sizes))
    assert planned.augment.crop == crop


def test_a_given_crop_stays() -> None:
    given = dataclasses.replace(RECIPE, augment=AugmentationConfig(crop=(96, 64)))
    facts = measured({(64, 40): 1, (480, 640): 9})
    assert with_crop(given, facts) == given
    assert "96×64 pixels (as given); 1 of 10 images are smaller" in plan_in_words(given, given, facts)


def test_the_plan_is_told() -> None:
    facts = measured({(64, 40): 1, (480, 640): 9}, bands=1)
    told = plan_in_words(RECIPE, with_crop(RECIPE, facts), facts)
    assert "1 band of uint8, 0 (black) to 255 (white)" in told
    assert "480×512" in told
    assert "median image is 480×640" in told
    assert "1 of 10 images are smaller and padded" in told
    alike = measured({(50, 70): 2})
    assert "50×70 pixels (the size of all images" in plan_in_words(RECIPE, with_crop(RECIPE, alike), alike)
    whole = dataclasses.replace(RECIPE, augment=AugmentationConfig(whole=True))
    assert "whole images" in plan_in_words(whole, whole, alike)


def test_small_images_are_padded_with_the_ignored_id() -> None:
    config = AugmentationConfig(flip=False, scale=(1, 1), crop=(96, 64), brightness=0, contrast=0, saturation=0)
    image, labels = torch.full((3, 64, 40), 7, dtype=torch.uint8), torch.ones(64, 40, dtype=torch.uint8)
    shown, ids = Augmentation(config, ignored_id=255)(image, labels, seed=3)
    assert shown.shape == (3, 96, 64)
    assert (shown == 7).all()
    assert ((ids == 1).sum(), (ids == 255).sum()) == (64 * 40, 96 * 64 - 64 * 40)


def test_whole_images_of_several_sizes_go_one_by_one() -> None:
    whole = dataclasses.replace(RECIPE, augment=AugmentationConfig(whole=True))
    differing = measured({(50, 70): 1, (70, 50): 1})
    assert with_crop(dataclasses.replace(whole, batch_size=1), differing).augment.crop is None
    with pytest.raises(SettingError, match="give batch_size 1"):
        with_crop(whole, differing)
    assert with_crop(whole, measured({(50, 70): 2})).augment.crop is None
