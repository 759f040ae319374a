"""The optimiser: rates by names, decay, what is frozen and stays as it was."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor, nn

from segfield.errors import SettingError
from segfield.models import build_classifier
from segfield.models.classifier import Classifier
from segfield.training.optimiser import build_optimiser, train_but_frozen_norm
from segfield.training.recipe import Recipe

RECIPE = Recipe(data="x", learning_rate=0.1, encoder_rate=0.25, weight_decay=0.01)


class Small(Classifier):
    """A trunk with batch norm, and a score layer."""

    def __init__(self) -> None:
        super().__init__(1, 3)
        self.trunk = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.score = nn.Conv2d(4, 3, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.score(self.trunk(image))  # type: ignore[no-any-return]


def highest_rates(network: Classifier, recipe: Recipe) -> dict[str, tuple[float, float]]:
    """name → (highest rate, weight decay) of what the optimiser steps."""
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    groups = build_optimiser(network, recipe).param_groups
    return {names[id(p)]: (g["highest_rate"], g["weight_decay"]) for g in groups for p in g["params"]}


@pytest.mark.parametrize("kind", ["adamw", "sgd"])
def test_the_encoder_has_its_own_rate_and_biases_no_decay(kind: str) -> None:
    network = build_classifier("unet:mobilenetv2_050", 3, 4)
    found = highest_rates(network, dataclasses.replace(RECIPE, optimiser=kind))  # type: ignore[arg-type]
    inside = {id(p) for p in network.encoder_parameters()}
    assert found.keys() == dict(network.named_parameters()).keys()
    for name, parameter in network.named_parameters():
        rate = 0.025 if id(parameter) in inside else 0.1
        assert found[name] == (pytest.approx(rate), 0.01 if parameter.ndim > 1 else 0.0)


def test_factors_of_all_patterns_that_fit_are_multiplied() -> None:
    """As the papers write it: the last layer learns 10 times as fast, biases twice as fast, its bias 20 times."""
    found = highest_rates(Small(), dataclasses.replace(RECIPE, rates={"score.*": 10, "*.bias": 2}))
    rates = {name: rate for name, (rate, _) in found.items()}
    assert rates == pytest.approx({
        "trunk.0.weight": 0.1, "trunk.0.bias": 0.2, "trunk.1.weight": 0.1, "trunk.1.bias": 0.2,
        "score.weight": 1.0, "score.bias": 2.0,
    })  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "moving", "statistics_move"),
    [
        ({}, {"trunk.0", "trunk.1", "score"}, True),
        ({"rates": {"trunk.*": 0}}, {"score"}, False),
        ({"freeze_norm": True}, {"trunk.0", "score"}, False),
    ],
)
def test_what_is_frozen_stays(changes: dict[str, object], moving: set[str], statistics_move: bool) -> None:
    torch.manual_seed(0)
    network = Small()
    optimiser = build_optimiser(network, dataclasses.replace(RECIPE, **changes))  # type: ignore[arg-type]
    before = {key: value.clone() for key, value in network.state_dict().items()}
    train_but_frozen_norm(network, bool(changes.get("freeze_norm")))
    for _ in range(2):
        (network(torch.randn(2, 1, 8, 8)) + torch.randn(3, 8, 8)).square().mean().backward()
        optimiser.step()
    changed = {key for key, value in network.state_dict().items() if not torch.equal(value, before[key])}
    assert {key.rsplit(".", 1)[0] for key in changed if "running" not in key and "batches" not in key} == moving
    assert ("trunk.1.running_mean" in changed) == statistics_move


def test_a_pattern_that_fits_nothing_is_named() -> None:
    with pytest.raises(SettingError, match=r"'scroe\.\*'.*mean score\.\*"):
        build_optimiser(Small(), dataclasses.replace(RECIPE, rates={"scroe.*": 10}))


def test_nothing_left_to_train_is_said() -> None:
    with pytest.raises(SettingError, match="leave nothing to train"):
        build_optimiser(Small(), dataclasses.replace(RECIPE, rates={"*": 0}))
