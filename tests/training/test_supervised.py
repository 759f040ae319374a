"""The supervised objective: its losses, auxiliary heads, parameter groups."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from segfield.losses import build_loss
from segfield.models import build_classifier
from segfield.models.classifier import Classifier, TrainingOutput
from segfield.segmenter import Scaling
from segfield.training.objective import Batch
from segfield.training.recipe import Recipe
from segfield.training.supervised import Supervised, on_grid

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


class Coarse(Classifier):
    """Logits at every fourth pixel in training, an auxiliary head at every eighth."""

    def __init__(self) -> None:
        super().__init__(1, 3)
        self.head = nn.Conv2d(1, 3, 1)

    def forward(self, image: Tensor) -> TrainingOutput:  # type: ignore[override]
        return TrainingOutput(self.head(image[..., ::4, ::4]), [(0.5, self.head(image[..., ::8, ::8]))])


@pytest.mark.parametrize("size", [(8, 8), (33, 65), (30, 21)])
def test_labels_are_shrunk_to_coarser_logits(size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(0, 3, (2, *size), generator=generator).to(torch.uint8)
    weights = torch.rand(2, *size, generator=generator)
    batch = Batch(torch.rand(2, 1, *size, generator=generator), labels, weights)
    network = Coarse()
    objective = Supervised(network, build_loss("cross_entropy", 255), Scaling((0.0,), (1.0,)), RECIPE)
    [(_, losses)] = objective.turns(batch)
    logits = network.head(batch.images)  # a 1×1 convolution: every pixel for itself
    for name, factor, step in (("cross_entropy", 1.0, 4), ("auxiliary0", 0.5, 8)):
        each = nn.functional.cross_entropy(logits, labels.long(), reduction="none")[:, ::step, ::step]
        weight = weights[:, ::step, ::step]
        torch.testing.assert_close(losses[name], factor * (each * weight).sum() / weight.sum())


@pytest.mark.parametrize("step", [1, 2, 4, 8, 16, 32])
def test_the_step_is_found_from_the_sizes(step: int) -> None:
    for size in range(1, 300):
        expected = torch.arange(size)[::step]
        assert on_grid(torch.arange(size)[None, :, None], len(expected), 1)[0, :, 0].tolist() == expected.tolist()


def test_labels_that_fit_no_grid_are_taken_at_the_last_pixel() -> None:
    labels = torch.arange(10)[None, :, None].expand(1, 10, 2)
    assert on_grid(labels, 7, 2)[0, :, 0].tolist() == [0, 2, 4, 6, 8, 9, 9]
