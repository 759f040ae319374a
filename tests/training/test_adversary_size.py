"""What an adversary takes, counted before training: against what torch really keeps, and what is too small."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from segfield.errors import SettingError
from segfield.models import build_classifier
from segfield.models.adversaries import build_adversary
from segfield.training.adversarial_config import AdversarialConfig
from segfield.training.adversary_size import AdversarySize, check_size, size_in_words
from tests.training.test_adversarial import RECIPE


@pytest.mark.parametrize("name", ["largefov_light", "smallfov", "stanford", "fully_convolutional"])
def test_maps_parameters_and_memory(name: str) -> None:
    adversary = build_adversary(name, 4, 3)
    classifier = build_classifier("unet_padded", 3, 4, options={"width": 2, "levels": 2})
    recipe = dataclasses.replace(RECIPE, adversarial=AdversarialConfig(stride=1))
    size = check_size(adversary, classifier, 4, recipe, (64, 64))
    assert size.maps == (8, 4, 32, 32)
    saved: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        saved[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        image = torch.rand(8, 3, 32, 32) if adversary.wants_image else None
        adversary(torch.rand(size.maps, requires_grad=True), image)
    weights = 4 * size.parameters
    kept = sum(saved.values()) - weights  # the hooks see the weights, too
    assert size.bytes - 4 * weights == pytest.approx(kept, rel=0.15)


def test_in_words() -> None:
    adversary = build_adversary("largefov_light", 4, 3)
    text = size_in_words("largefov_light", adversary, AdversarySize((8, 4, 16, 16), 1234, 5 * 2**20))
    assert "1,234" in text and "5 MiB" in text and "34 pixels" in text and "more than they have" in text
    assert "more than" not in size_in_words("largefov_light", adversary, AdversarySize((8, 4, 40, 40), 1, 1))


def test_a_crop_too_small_is_refused() -> None:
    classifier = build_classifier("unet_padded", 3, 4, options={"width": 2, "levels": 2})
    with pytest.raises(SettingError, match=r"32 pixels.*augment\.crop"):
        check_size(build_adversary("fully_convolutional", 4, 3), classifier, 4, RECIPE, (64, 64))
