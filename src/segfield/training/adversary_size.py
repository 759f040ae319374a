"""What an adversary takes: the size of the maps it is shown, whether they suffice, and memory, counted before any step."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from segfield.errors import SettingError
from segfield.models.adversaries import Adversary
from segfield.models.classifier import Classifier, TrainingOutput
from segfield.training.recipe import Recipe
from segfield.training.supervised import grid_step


@dataclass(frozen=True)
class AdversarySize:
    """Of one step.

    Attributes:
        maps: (B, M, h, w) that the adversary is shown: true and predicted together.
        parameters: of the adversary.
        bytes: of weights, gradients, both moments of AdamW, and what its layers keep for the way back.
    """

    maps: tuple[int, int, int, int]
    parameters: int
    bytes: int


_KEPT: dict[type[nn.Module], int] = {nn.ReLU: 1, nn.LeakyReLU: 2, nn.MaxPool2d: 3}
"""Float32 numbers that a layer keeps for the way back, for each that it gives: what ReLU gives, what leaky ReLU gets and gives,
and what a maximum gives with the 64-bit place it came from."""


def check_size(
    adversary: Adversary, classifier: Classifier, maps: int, recipe: Recipe, smallest: tuple[int, int]
) -> AdversarySize:
    """How large the adversary's work is, by running it on shapes alone.

    Args:
        adversary, classifier: the two networks.
        maps: M, the channels of what it is shown.
        recipe: with its crop.
        smallest: (H, W) of the smallest image, where there is no crop.

    Raises:
        SettingError: if the maps are smaller than one decision needs.
    """
    crop = tuple(recipe.augment.sized(side) for side in recipe.augment.crop or smallest)
    grid = _grid(classifier, crop)
    shown = [-(-side // max(1, recipe.adversarial.stride // grid_step(fine, side))) for fine, side in zip(crop, grid)]
    if min(shown) < adversary.stride:
        raise SettingError(
            f"the adversary '{recipe.adversary}' needs maps of {adversary.stride} pixels a side, and a crop of "
            f"{crop[0]}×{crop[1]} gives {shown[0]}×{shown[1]}; give a larger augment.crop, a smaller adversarial.stride, or "
            "another adversary"
        )
    whole = (2 * recipe.batch_size, maps, shown[0], shown[1])
    kept: list[int] = []
    shapes = copy.deepcopy(adversary).to("meta")
    for module in shapes.modules():
        factor = next((factor for kind, factor in _KEPT.items() if isinstance(module, kind)), 0)
        if factor:
            module.register_forward_hook(lambda _, __, found, factor=factor: kept.append(factor * found.numel()))
    image = torch.empty(whole[0], classifier.bands, *shown, device="meta") if adversary.wants_image else None
    shapes(torch.empty(whole, device="meta"), image)
    parameters = sum(parameter.numel() for parameter in adversary.parameters())
    width = torch.finfo(torch.float32).bits // 8
    shown_numbers = whole[0] * whole[1] * whole[2] * whole[3]
    return AdversarySize(whole, parameters, width * (4 * parameters + sum(kept) + shown_numbers))


def size_in_words(name: str, adversary: Adversary, size: AdversarySize) -> str:
    """What is told before training."""
    _, maps, height, width = size.maps
    text = (
        f"adversary {name}: {size.parameters:,} parameters, about {size.bytes / 2**20:.0f} MiB in training; it is shown {maps} "
        f"maps of {height}×{width} and decides from {adversary.field_of_view} pixels a side"
    )
    if adversary.field_of_view > min(height, width):
        text += ", more than they have: a larger augment.crop or a smaller adversarial.stride shows it more"
    return text


def _grid(classifier: Classifier, crop: tuple[int, ...]) -> tuple[int, int]:
    """(h, w) of the classifier's logits in training, by a run on shapes alone; the crop's where that cannot be run so."""
    network: nn.Module = copy.deepcopy(classifier).to("meta").train()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            output = network(torch.empty(2, classifier.bands, *crop, device="meta"))
    except Exception:
        return crop[0], crop[1]
    logits: Tensor = output.logits if isinstance(output, TrainingOutput) else output
    return logits.shape[2], logits.shape[3]
