"""The supervised objective: its losses, auxiliary heads, parameter groups."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor, nn

from segfield.losses import build_loss
from segfield.models import build_classifier
from segfield.models.classifier import Classifier, TrainingOutput
from segfield.segmenter import Scaling
from segfield.training.objective import Batch
from segfield.training.recipe import Recipe
from segfield.training.supervised import Supervised, build_optimiser

RECIPE = Recipe(data="x", learning_rate=0.1, encoder_rate=0.25, weight_decay=0.01)
SCALING = Scaling((10.0,), (2.0,))


class TwoHeads(Classifier):
    """A network with an auxiliary head of weight 0.4."""

    def __init__(self) -> None:
        super().__init__(1, 3)
        self.main, self.aux = nn.Conv2d(1, 3, 1), nn.Conv2d(1, 3, 1)

    def forward(self, image: Tensor) -> Tensor | TrainingOutput:  # type: ignore[override]
        if self.training:
            return TrainingOutput(self.main(image), [(0.4, self.aux(image))])
        return self.main(image)


@pytest.fixture
def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (2, 8, 8), generator=generator)
    return Batch(torch.rand(2, 1, 8, 8, generator=generator) * 20, labels.to(torch.uint8))


def test_losses_are_of_the_scaled_image(batch: Batch) -> None:
    network = build_classifier("unet_padded", 1, 3, options={"width": 2, "levels": 2}).eval()
    objective = Supervised(network, build_loss("cross_entropy", 255), SCALING, RECIPE)
    turns = list(objective.turns(batch))
    expected = nn.functional.cross_entropy(network((batch.images - 10) / 2), batch.labels.long())
    assert [name for name, _ in turns] == ["classifier"]
    torch.testing.assert_close(turns[0][1]["cross_entropy"], expected)


def test_auxiliary_heads_count_with_their_weights(batch: Batch) -> None:
    network = TwoHeads().train()
    objective = Supervised(network, build_loss("cross_entropy+dice", 255), SCALING, RECIPE)
    ((_, losses),) = objective.turns(batch)
    scaled = (batch.images - 10) / 2
    parts = build_loss("cross_entropy+dice", 255)(network.aux(scaled), batch.labels)
    assert set(losses) == {"cross_entropy", "dice", "auxiliary0"}
    torch.testing.assert_close(losses["auxiliary0"], 0.4 * sum(parts.values()))


@pytest.mark.parametrize("kind", ["adamw", "sgd"])
def test_parameter_groups(kind: str) -> None:
    network = build_classifier("unet:mobilenetv2_050", 3, 4)
    optimiser = build_optimiser(network, dataclasses.replace(RECIPE, optimiser=kind))
    inside = {id(p) for p in network.encoder_parameters()}
    seen = []
    for group in optimiser.param_groups:
        for parameter in group["params"]:
            seen.append(id(parameter))
            assert group["highest_rate"] == pytest.approx(0.025 if id(parameter) in inside else 0.1)
            assert group["weight_decay"] == (0.01 if parameter.ndim > 1 else 0.0)
    assert sorted(seen) == sorted(id(p) for p in network.parameters())
