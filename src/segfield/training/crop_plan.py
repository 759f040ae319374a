"""The crop a run trains on, planned from the typical image; and what is told of it."""

from __future__ import annotations

import dataclasses

from segfield.errors import SettingError
from segfield.training.recipe import Recipe
from segfield.training.setup import Measured

LARGEST_DEFAULT_CROP = 512


def with_crop(recipe: Recipe, measured: Measured) -> Recipe:
    """The recipe with a crop size, so that items of a batch are of one size; without one where whole images are asked for.

    Where none is given: the median image's sides, at most 512, down to a multiple of 32 where images differ. Smaller images
    are padded, with the ignored id in their labels.

    Raises:
        SettingError: if whole images of several sizes are to be in one batch.
    """
    if recipe.augment.whole and not measured.same_size and recipe.batch_size > 1:
        raise SettingError(
            f"augment.whole takes images as they are, and these differ in size, so a batch of {recipe.batch_size} cannot be "
            "made of them; give batch_size 1 (and --accumulate), or a crop"
        )
    if recipe.augment.crop is not None or recipe.augment.whole:
        return recipe
    sides = [min(side, LARGEST_DEFAULT_CROP) for side in measured.typical]
    if not measured.same_size:
        sides = [side // 32 * 32 if side >= 64 else side for side in sides]
    return dataclasses.replace(recipe, augment=dataclasses.replace(recipe.augment, crop=(sides[0], sides[1])))


def plan_in_words(given: Recipe, planned: Recipe, measured: Measured) -> str:
    """What a run takes its images for, and which crops it cuts of them and why; a line each.

    Args:
        given: the recipe as the user has it.
        planned: as `with_crop` made it.
        measured: of the training set.
    """
    values = f"images: {measured.bands} {'band' if measured.bands == 1 else 'bands'} of {measured.values}"
    crop = planned.augment.crop
    if crop is None:
        return f"{values}\nwhole images instead of crops"
    if given.augment.crop is not None:
        why = "as given"
    elif measured.same_size:
        why = f"the size of all images, at most {LARGEST_DEFAULT_CROP} a side"
    else:
        why = f"the median image is {measured.typical[0]}×{measured.typical[1]}; at most {LARGEST_DEFAULT_CROP}, in whole 32s"
    number = sum(count for (h, w), count in measured.sizes.items() if h < crop[0] or w < crop[1])
    small = f"; {number} of {sum(measured.sizes.values())} images are smaller and padded" if number else ""
    return f"{values}\ncrops of {crop[0]}×{crop[1]} pixels ({why}){small}"
