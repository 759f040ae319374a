"""Which objective a recipe gets."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from segfield.data.value_range import ValueRange
from segfield.errors import SettingError
from segfield.losses import build_loss
from segfield.losses.class_weights import ClassCounts
from segfield.models import build_classifier
from segfield.segmenter import Scaling
from segfield.training.adversarial import Adversarial
from segfield.training.build_objective import build_objective
from segfield.training.consistency import Consistent
from segfield.training.objective import Objective
from segfield.training.refined import Refined
from segfield.training.setup import Measured
from segfield.training.supervised import Supervised
from tests.training.test_adversarial import RECIPE

PLAIN = dataclasses.replace(RECIPE, adversary="none")
COUNTS = ClassCounts(np.ones(4, int), np.ones(4, int))
MEASURED = Measured(3, ValueRange("uint8", 255.0), np.zeros(3), np.ones(3), COUNTS, {(64, 64): 2}, 1, "", {})


def built(recipe: Any) -> Objective:
    classifier = build_classifier("unet_padded", 3, 4, options={"width": 2, "levels": 2})
    scaling = Scaling((0.0,) * 3, (1.0,) * 3)
    return build_objective(recipe, classifier, build_loss("cross_entropy", 255), scaling, MEASURED, True)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, Supervised),
        ({"unlabelled": "unlabelled"}, Consistent),
        ({"adversary": "smallfov"}, Adversarial),
        ({"adversary": "smallfov", "unlabelled": "unlabelled"}, Adversarial),
        ({"crf": "learn"}, Refined),
    ],
)
def test_kinds(changes: dict[str, Any], kind: type) -> None:
    assert type(built(dataclasses.replace(PLAIN, **changes))) is kind


def test_a_crf_learns_from_masks_alone() -> None:
    for changes in ({"adversary": "smallfov"}, {"unlabelled": "unlabelled"}):
        with pytest.raises(SettingError, match="earlier stage"):
            built(dataclasses.replace(PLAIN, crf="learn", **changes))


def test_product_multiplies_maps_by_bands() -> None:
    adversarial = dataclasses.replace(RECIPE.adversarial, input="product")
    made = built(dataclasses.replace(RECIPE, adversarial=adversarial))
    first = next(iter(made.networks["adversary"].parameters()))
    assert first.shape[1] == 12
