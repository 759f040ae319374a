"""The consistency objective: confident answers to weak views are labels for strong ones, mixed as CutMix and ClassMix mix."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segfield.commands.train import train
from segfield.losses import build_loss
from segfield.models.classifier import Classifier
from segfield.segmenter import Scaling
from segfield.training.consistency import BOX_AREA, Consistent, _box, _half_of_the_classes
from segfield.training.objective import Batch, Unlabelled
from segfield.training.run_folder import RunFolder
from segfield.training.semi_supervised_config import SemiSupervisedConfig
from tests.training.test_adversarial import RECIPE

PLAIN = dataclasses.replace(RECIPE, adversary="none", unlabelled="train")


class Pointwise(Classifier):
    """Each pixel's logits are a linear map of its values."""

    def __init__(self) -> None:
        super().__init__(1, 3)
        self.score = nn.Conv2d(1, 3, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.score(image)  # type: ignore[no-any-return]


def objective(**settings: Any) -> Consistent:
    torch.manual_seed(1)
    recipe = dataclasses.replace(PLAIN, semi_supervised=SemiSupervisedConfig(**{"mix": "none", **settings}))
    made = Consistent(Pointwise(), build_loss("cross_entropy", 255), Scaling((0.0,), (1.0,)), recipe)
    made.train_mode()
    return made


@pytest.fixture
def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (2, 8, 8), generator=generator).to(torch.uint8)
    weak = torch.randn(4, 1, 8, 8, generator=generator) * 3
    known = torch.ones(4, 8, 8, dtype=torch.bool)
    known[0, :2] = False
    return Batch(torch.rand(2, 1, 8, 8, generator=generator), labels, None, Unlabelled(weak, 0.7 * weak + 0.1, known))


def test_the_loss_is_fixmatchs(batch: Batch) -> None:
    made = objective(confidence=0.6, weight=2.0)
    ((name, losses),) = made.turns(batch)
    network, without = made.networks["classifier"], batch.unlabelled
    assert name == "classifier" and without is not None
    sureness, taught = network(without.weak).softmax(1).max(1)
    sure = (sureness >= 0.6) & without.known
    each = F.cross_entropy(network(without.strong), taught, reduction="none")
    assert 0 < sure.sum() < sure.numel()
    torch.testing.assert_close(losses["no mask"], 2 * each[sure].sum() / without.known.sum())
    torch.testing.assert_close(losses["cross_entropy"], F.cross_entropy(network(batch.images), batch.labels.long()))
    share, loss = made.measured().tolist()
    assert share == pytest.approx(float(sure.sum() / without.known.sum())) and loss == pytest.approx(
        float(losses["no mask"].detach())
    )


def test_masks_alone_before_the_start(batch: Batch) -> None:
    made = objective(start=0.5)
    made.begin_step(0, 0.4)
    ((_, losses),) = made.turns(batch)
    assert set(losses) == {"cross_entropy"} and all(map(math.isnan, made.measured().tolist()))
    made.begin_step(0, 0.5)
    ((_, losses),) = made.turns(batch)
    assert "no mask" in losses


@pytest.mark.parametrize("mix", ["cutmix", "classmix"])
def test_labels_go_with_what_is_mixed_in(mix: str, batch: Batch) -> None:
    """A network of single pixels says of a strong view what it says of the image each pixel came from."""
    made = objective(mix=mix, confidence=0.0)
    without = batch.unlabelled
    assert without is not None
    torch.manual_seed(3)
    taught, sure, strong = made._lesson(Unlabelled(without.weak, without.weak, without.known))
    assert torch.equal(made.networks["classifier"](strong).argmax(1), taught)
    changed = (strong != without.weak).flatten(1).any(1)
    assert changed.any()
    came_from = torch.where((strong == without.weak)[:, 0], without.known, without.known.roll(1, 0))
    assert torch.equal(sure, came_from)


def test_boxes_and_classes() -> None:
    torch.manual_seed(0)
    shares = [float(_box(60, 80).float().mean()) for _ in range(200)]
    assert min(shares) >= 0.5 * BOX_AREA[0] and max(shares) <= BOX_AREA[1] + 0.02
    labels = torch.arange(5).repeat(4, 3)
    kept = _half_of_the_classes(labels)
    assert len(labels[kept].unique()) == 3 and all(kept[labels == k].all() for k in labels[kept].unique())


def test_a_training_says_what_it_trusts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    semi = SemiSupervisedConfig(confidence=0.0, ratio=0.5)
    train(dataclasses.replace(PLAIN, semi_supervised=semi, out=str(tmp_path / "run")))
    rows = RunFolder(tmp_path / "run").read_curves()
    assert rows[-1]["trusted_share"] > 0.5 and rows[-1]["unlabelled_loss"] > 0
    assert "without masks" in capsys.readouterr().out
