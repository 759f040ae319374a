"""The adversarial objective: its losses by their formulas, whose turn it is, who gets gradients, and whole trainings."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from segfield.commands.train import train
from segfield.data.augmentation import AugmentationConfig
from segfield.data.value_range import ValueRange
from segfield.errors import SettingError
from segfield.losses import build_loss
from segfield.models import build_classifier
from segfield.models.adversaries import build_adversary
from segfield.segmenter import Scaling, Segmenter
from segfield.training.adversarial import Adversarial, adversary_optimiser
from segfield.training.adversarial_config import AdversarialConfig
from segfield.training.objective import Batch, Unlabelled
from segfield.training.recipe import Recipe
from segfield.training.run_folder import RunFolder

SCALING = Scaling((10.0,), (2.0,))
RECIPE = Recipe(
    data="scenes:count=12,size=32x48",
    model="unet_padded",
    weights="none",
    options={"width": 4, "levels": 2},
    batch_size=4,
    steps=6,
    learning_rate=0.01,
    precision="32-true",
    device="cpu",
    threads=1,
    augment=AugmentationConfig(crop=(32, 32)),
    adversary="smallfov_light",
    adversarial=AdversarialConfig(weight=0.5, stride=2),
)


def batch_of(unlabelled: bool = False) -> Batch:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (2, 16, 16), generator=generator).to(torch.uint8)
    labels[0, :3] = 255
    images = torch.rand(2, 1, 16, 16, generator=generator) * 255
    without = None
    if unlabelled:
        weak, known = torch.rand(2, 1, 16, 16, generator=generator) * 255, torch.ones(2, 16, 16, dtype=torch.bool)
        known[1, :, 9:] = False
        without = Unlabelled(weak, weak, known)
    return Batch(images, labels, None, without)


def objective(**settings: Any) -> Adversarial:
    torch.manual_seed(0)
    semi = settings.pop("semi_supervised", RECIPE.semi_supervised)
    config = AdversarialConfig(**{"weight": 0.5, "stride": 1, **settings})
    network = build_classifier("unet_padded", 1, 3, options={"width": 2, "levels": 2})
    adversary = build_adversary("smallfov_light", 3, 1)
    recipe = dataclasses.replace(RECIPE, adversarial=config, semi_supervised=semi)
    made = Adversarial(
        network, adversary, build_loss("cross_entropy", 255), SCALING, recipe, ValueRange("uint8", 255.0)
    )
    made.train_mode()
    return made


def test_both_losses_are_those_of_the_paper() -> None:
    made, batch = objective(), batch_of()
    network, adversary = made.networks["classifier"].eval(), made.networks["adversary"]
    (name, losses), (other, against) = made.turns(batch)
    assert (name, other) == ("classifier", "adversary")
    logits = network((batch.images - 10) / 2)
    known = (batch.labels != 255)[:, None]
    maps = logits.softmax(1) * known
    truth = F.one_hot(batch.labels.long().clamp(max=2), 3).movedim(3, 1).float() * known
    ones, zeros = torch.ones_like(adversary(maps)), torch.zeros_like(adversary(maps))
    bce = F.binary_cross_entropy_with_logits
    torch.testing.assert_close(losses["cross_entropy"], F.cross_entropy(logits, batch.labels.long(), ignore_index=255))
    torch.testing.assert_close(losses["adversarial"], 0.5 * bce(adversary(maps), ones))
    torch.testing.assert_close(against["adversary"], bce(adversary(truth), ones) + bce(adversary(maps), zeros))


def test_each_side_gets_gradients_of_its_own_turn_alone() -> None:
    made = objective()
    network, adversary = made.networks["classifier"], made.networks["adversary"]
    turns = made.turns(batch_of())
    _, losses = next(turns)
    losses["adversarial"].backward()
    assert all(parameter.grad is None for parameter in adversary.parameters())
    assert any(
        float(parameter.grad.abs().sum()) > 0 for parameter in network.parameters() if parameter.grad is not None
    )
    network.zero_grad(set_to_none=True)
    _, against = next(turns)
    against["adversary"].backward()
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(parameter.grad is not None for parameter in adversary.parameters())


def sides(made: Adversarial, step: int, progress: float) -> str:
    made.begin_step(step, progress)
    return "".join(name[0] for name, _ in made.turns(batch_of()))


def test_whose_turn_it_is() -> None:
    both = objective()
    assert [sides(both, step, step / 10) for step in range(3)] == ["ca", "ca", "ca"]
    slow = objective(turns=2)
    assert [sides(slow, step, step / 10) for step in range(6)] == ["c", "c", "a", "a", "c", "c"]
    first = objective(network_first=0.2, adversary_first=0.3, rise=0.4)
    assert [sides(first, step, step / 10) for step in range(6)] == ["c", "c", "a", "a", "a", "ca"]
    weights = []
    for step in range(11):
        first.begin_step(step, step / 10)
        weights.append(first.weight)
    assert weights == pytest.approx([0, 0, 0, 0, 0, 0, 0.125, 0.25, 0.375, 0.5, 0.5])


def test_what_is_measured() -> None:
    made = objective()
    with torch.no_grad():
        for parameter in made.networks["adversary"].parameters():
            parameter.zero_()
        last = list(made.networks["adversary"].modules())[-1]
        last.bias[1] = 3.0  # everything is called true
    list(made.turns(batch_of()))
    values = dict(zip(made.measures, made.measured().tolist()))
    assert values["adversary_accuracy_true"] == 1 and values["adversary_accuracy_predicted"] == 0
    assert values["adversary_loss"] == pytest.approx(math.log(1 + math.exp(-3)) + math.log(1 + math.exp(3)))
    assert math.isnan(values["trusted_share"])
    row = {name: value for name, value in values.items() if math.isfinite(value)}
    assert made.remarks(row) == []  # it has just begun
    made.begin_step(100, 0.5)
    assert "collapsed" in made.remarks(row)[0]
    assert made.remarks(row) == []  # once is enough
    won = {"adversary_accuracy_true": 0.99, "adversary_accuracy_predicted": 0.995}
    assert "adversarial.rate" in made.remarks(won)[0]
    assert made.remarks({"adversary_accuracy_true": 0.8, "adversary_accuracy_predicted": 0.7}) == []
    assert made.remarks({}) == []


def test_the_adversary_chooses_what_is_trusted() -> None:
    made = objective()
    made.semi = dataclasses.replace(made.semi, trust=0.5, start=0.0)
    made.begin_step(0, 0.0)
    batch = batch_of(unlabelled=True)
    made.networks["classifier"].eval()
    turns = made.turns(batch)
    _, losses = next(turns)
    logits = made.networks["classifier"]((batch.unlabelled.weak - 10) / 2)  # type: ignore[union-attr]
    known = batch.unlabelled.known  # type: ignore[union-attr]
    decisions = made.networks["adversary"](logits.softmax(1) * known[:, None])
    sure = F.interpolate(decisions.sigmoid(), size=(16, 16), mode="bilinear", align_corners=False)[:, 0]
    trusted = known & (sure > 0.5)
    each = F.cross_entropy(logits, logits.argmax(1), reduction="none")
    torch.testing.assert_close(losses["self-taught"], 0.1 * each[trusted].sum() / known.sum())
    ones = torch.ones_like(decisions)
    torch.testing.assert_close(
        losses["adversarial, no mask"], 0.1 * 0.5 * F.binary_cross_entropy_with_logits(decisions, ones)
    )
    list(turns)
    share = dict(zip(made.measures, made.measured().tolist()))["trusted_share"]
    assert share == pytest.approx(float(trusted.sum() / known.sum()))


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"input": "scaling", "loss": "hinge", "normalise": True}, marks=pytest.mark.thorough),
        {"decision": "average", "loss": "least_squares", "optimiser": "sgd"},
        pytest.param({"turns": 2, "adversary_first": 0.2, "rise": 0.5}, marks=pytest.mark.thorough),
    ],
    ids=["scaling hinge", "average least squares", "slow"],
)
def test_a_training_leaves_a_plain_segmenter(settings: dict[str, Any], tmp_path: Path) -> None:
    config = AdversarialConfig(**{"weight": 0.5, "stride": 2, **settings})
    recipe = dataclasses.replace(RECIPE, adversarial=config, out=str(tmp_path / "run"), unlabelled="train")
    run = train(recipe)
    segmenter = Segmenter.load(run.segmenter, device="cpu")
    assert not any("adversary" in key for key in segmenter.classifier.state_dict())
    rows = RunFolder(tmp_path / "run").read_curves()
    assert {"network_loss", "adversary_loss", "adversary_accuracy_true", "adversary_accuracy_predicted"} <= {
        key for row in rows for key in row
    }
    assert any("trusted_share" in row for row in rows)


def test_the_adversary_learns() -> None:
    """Alone, on maps that stay as they are, it comes to tell them apart."""
    made = objective(network_first=0.0, adversary_first=0.9, rate=0.01)
    batch, losses = batch_of(), []
    for step in range(30):
        made.begin_step(step, 0.1)
        for name, found in made.turns(batch):
            found["adversary"].backward()
            made.optimisers[name].step()
            made.optimisers[name].zero_grad()
            losses.append(float(found["adversary"].detach()))
    assert losses[-1] < 0.5 * losses[0]
    assert dict(zip(made.measures, made.measured().tolist()))["adversary_accuracy_true"] > 0.9


def test_its_optimiser() -> None:
    adversary = build_adversary("smallfov_light", 3, 1)
    adam = adversary_optimiser(adversary, AdversarialConfig(rate=0.002, momentum=0.5))
    sgd = adversary_optimiser(adversary, AdversarialConfig(optimiser="sgd", rate=0.1, momentum=0.99, weight_decay=5e-4))
    assert adam.defaults["betas"] == (0.5, 0.999) and adam.param_groups[0]["highest_rate"] == 0.002
    assert sgd.param_groups[0]["momentum"] == 0.99 and sgd.param_groups[0]["weight_decay"] == 5e-4


def test_a_recipe_keeps_its_adversary() -> None:
    recipe = dataclasses.replace(RECIPE, adversarial=AdversarialConfig(input="product", weight=2.0))
    again = Recipe.from_dict(json.loads(json.dumps(recipe.as_dict())))
    assert again == recipe
    with pytest.raises(SettingError, match="smallfov"):
        dataclasses.replace(RECIPE, adversary="smalfov")
