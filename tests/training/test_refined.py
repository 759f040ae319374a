"""CRF-RNN in training: what learns in which stage, at which rate and precision; what the segmenter carries in the end."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from segfield.commands.train import train
from segfield.crf.crf_rnn import CRFRNN
from segfield.crf.dense_crf import DenseCRF
from segfield.data.augmentation import AugmentationConfig
from segfield.data.value_range import ValueRange
from segfield.errors import SettingError
from segfield.losses import build_loss
from segfield.models import build_classifier
from segfield.segmenter import Scaling, Segmenter
from segfield.training.interrupt import Interrupted
from segfield.training.loop import fit
from segfield.training.objective import Batch
from segfield.training.recipe import Recipe
from segfield.training.refined import Refined, build_crf
from segfield.training.stages import stage_recipes
from tests.training.test_stop_and_go import _Asked
from tests.training.test_supervised import Coarse, TwoHeads

SCALING = Scaling((10.0,), (2.0,))
WEAK = {"bilateral_weight": 0.3, "bilateral_sxy": 10.0, "bilateral_srgb": 20.0, "gaussian_weight": 0.3,
        "gaussian_sxy": 1.5, "normalization": "after"}  # fmt: skip
RECIPE = Recipe(
    data="scenes:count=20,size=32x48",
    model="unet_padded",
    weights="none",
    options={"width": 4, "levels": 3},
    batch_size=4,
    epochs=10,
    learning_rate=0.01,
    precision="32-true",
    device="cpu",
    threads=1,
    augment=AugmentationConfig(crop=(32, 32)),
    crf="joint",
    crf_options={"iterations": 2, "test_iterations": 3},
)


def refiner_file(folder: Path, **changes: Any) -> str:
    """A JSON file of a CRF that does little."""
    file = folder / "refiner.json"
    file.write_text(json.dumps({"name": "dense_crf", **WEAK, **changes}), encoding="utf-8")
    return str(file)


def batch_of(classes: int = 3) -> Batch:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, classes, (2, 16, 16), generator=generator)
    return Batch(torch.rand(2, 1, 16, 16, generator=generator) * 255, labels.to(torch.uint8))


def objective(network: torch.nn.Module, crf: str, **changes: Any) -> Refined:
    recipe = dataclasses.replace(RECIPE, data="x", crf=crf, **changes)
    layer = CRFRNN(3, 1, DenseCRF.from_dict(WEAK), iterations=2)
    made = Refined(network, layer, build_loss("cross_entropy", 255), SCALING, recipe)  # type: ignore[arg-type]
    made.train_mode()
    return made


def test_the_loss_is_of_the_refined_logits() -> None:
    network = build_classifier("unet_padded", 1, 3, options={"width": 2, "levels": 2}).eval()
    made, batch = objective(network, "learn"), batch_of()
    ((name, losses),) = made.turns(batch)
    refined = made.crf(batch.images, network((batch.images - 10) / 2))
    expected = torch.nn.functional.cross_entropy(refined, batch.labels.long())
    assert name == "crf"
    torch.testing.assert_close(losses["cross_entropy"], expected)


def test_alone_the_crf_learns_and_the_network_is_as_it_is() -> None:
    network = build_classifier("unet_padded", 1, 3, options={"width": 2, "levels": 2})
    made = objective(network, "learn")
    ((_, losses),) = made.turns(batch_of())
    sum(losses.values()).backward()  # type: ignore[union-attr]
    assert not network.training and made.crf.training
    assert all(parameter.grad is None for parameter in network.parameters())
    assert made.crf.bilateral_weight.grad is not None and bool(made.crf.bilateral_weight.grad.any())


def test_together_each_has_its_own_rate() -> None:
    network = build_classifier("unet_padded", 1, 3, options={"width": 2, "levels": 2})
    made = objective(network, "joint", crf_rate=0.5, learning_rate=0.125)
    ((name, losses),) = made.turns(batch_of())
    sum(losses.values()).backward()  # type: ignore[union-attr]
    assert name == "classifier"
    assert all(parameter.grad is not None for parameter in network.parameters())
    rates = {
        id(p): group["highest_rate"] for group in made.optimisers["classifier"].param_groups for p in group["params"]
    }
    assert rates[id(made.crf.bilateral_weight)] == 0.5 and rates[id(made.crf.compatibility)] == 0.5
    assert {rates[id(parameter)] for parameter in network.parameters()} == {0.125}


def test_the_network_s_own_scores_may_count_as_well() -> None:
    network = build_classifier("unet_padded", 1, 3, options={"width": 2, "levels": 2})
    batch = batch_of()
    ((_, published),) = objective(network, "joint").turns(batch)
    ((_, both),) = objective(network, "joint", crf_network_loss=0.25).turns(batch)
    assert set(published) == {"cross_entropy"} and set(both) == {"cross_entropy", "network cross_entropy"}
    own = torch.nn.functional.cross_entropy(network((batch.images - 10) / 2), batch.labels.long())
    torch.testing.assert_close(both["network cross_entropy"], 0.25 * own)
    torch.testing.assert_close(both["cross_entropy"], published["cross_entropy"])
    ((_, alone),) = objective(network, "learn", crf_network_loss=0.25).turns(batch)  # nothing of the network's to learn
    assert set(alone) == {"cross_entropy"}


@pytest.mark.parametrize("crf", ["learn", "joint"])
def test_a_temperature_divides_the_refined_logits_alone(crf: str) -> None:
    network = build_classifier("unet_padded", 1, 3, options={"width": 2, "levels": 2})
    made, batch = objective(network, crf, crf_temperature=4.0, crf_network_loss=1.0), batch_of()
    ((_, losses),) = made.turns(batch)
    scores = network((batch.images - 10) / 2)
    refined = made.crf(batch.images, scores) / 4
    torch.testing.assert_close(losses["cross_entropy"], torch.nn.functional.cross_entropy(refined, batch.labels.long()))
    if crf == "joint":
        own = torch.nn.functional.cross_entropy(scores, batch.labels.long())
        torch.testing.assert_close(losses["network cross_entropy"], own)


def test_auxiliary_heads_and_coarse_logits() -> None:
    ((_, losses),) = objective(TwoHeads(), "joint").turns(batch_of())
    assert set(losses) == {"cross_entropy", "auxiliary0"}
    ((_, losses),) = objective(Coarse(), "joint").turns(batch_of())
    assert losses["cross_entropy"].isfinite()


def test_three_stages_of_a_joint_training() -> None:
    recipe = dataclasses.replace(RECIPE, epochs=None, time="100s", out="run")
    (one, first), (two, second), (three, third) = stage_recipes(recipe)
    assert (one, two, three) == ("network", "CRF", "both")
    assert [stage.crf for stage in (first, second, third)] == ["none", "learn", "joint"]
    assert [stage.time for stage in (first, second, third)] == ["70.000s", "10.000s", "20.000s"]
    assert (first.learning_rate, third.learning_rate) == (0.01, pytest.approx(0.001))
    assert third.out == "run" and third.start == second.out
    # the recipe that is kept says it all
    assert [(stage["name"], stage["crf"]) for stage in third.stages] == [
        ("network", "none"),
        ("CRF", "learn"),
        ("both", "joint"),
    ]


def test_stages_of_the_recipe_come_first() -> None:
    own = [{"name": "small", "share": 3, "epochs": 2}, {"name": "large", "epochs": 4, "learning_rate": 0.5}]
    named = stage_recipes(dataclasses.replace(RECIPE, epochs=None, crf="learn", stages=own))
    assert [name for name, _ in named] == ["small", "large", "CRF"]
    assert [stage.epochs for _, stage in named] == [2, 4, 5]
    assert [stage.crf for _, stage in named] == ["none", "none", "learn"]


@pytest.fixture(scope="module")
def joint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("joint")
    train(dataclasses.replace(RECIPE, out=str(folder / "run"), crf_start=refiner_file(folder)))
    return folder / "run"


def test_a_joint_training_ends_with_a_segmenter_that_carries_its_crf(joint: Path) -> None:
    scores = json.loads((joint / "scores.json").read_text(encoding="utf-8"))
    changed = scores["refinement"]
    assert set(changed["measures"]) >= {"mIoU", "trimap IoU, 3 pixels", "boundary IoU"}
    segmenter = Segmenter.load(joint / "segmenter.safetensors", device="cpu")
    assert (segmenter.refiner is None) == changed["switched off"]
    report = (joint / "report.html").read_text(encoding="utf-8")
    assert "What the CRF changed" in report
    kept = Segmenter.load(joint / "stages" / "2-CRF" / "segmenter.safetensors", device="cpu").refiner
    assert isinstance(kept, DenseCRF) and kept.iterations == 3
    assert kept.bilateral_sxy == pytest.approx((10.0, 10.0)) and kept.normalization == "after"
    learned = torch.tensor(kept.bilateral_weight)
    assert learned.shape == (10, 10) and not torch.allclose(learned, 0.3 * torch.eye(10), atol=1e-3)


def test_the_crf_stage_leaves_the_network_as_it_was(joint: Path) -> None:
    before, after = (load_file(joint / "stages" / name / "segmenter.safetensors") for name in ("1-network", "2-CRF"))
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_a_crf_that_hurts_is_switched_off(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = refiner_file(tmp_path, bilateral_weight=60.0, bilateral_srgb=200.0, bilateral_sxy=100.0)
    train(dataclasses.replace(RECIPE, out=str(tmp_path / "run"), crf="learn", crf_start=start, crf_rate=0.0))
    told = capsys.readouterr().out
    assert "does not help" in told and "--crf_keep" in told
    assert Segmenter.load(tmp_path / "run" / "segmenter.safetensors", device="cpu").refiner is None
    scores = json.loads((tmp_path / "run" / "scores.json").read_text(encoding="utf-8"))
    assert scores["refinement"]["switched off"]
    before = scores["refinement"]["measures"]["mIoU"]["before"]
    assert scores["scores"]["mean_iou"] == pytest.approx(before)


def test_a_run_goes_on_with_its_crf_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = dataclasses.replace(RECIPE, crf="none", epochs=2, out=str(tmp_path / "network"))
    fit(network)
    both = dataclasses.replace(network, crf="joint", start=str(tmp_path / "network"), crf_start=refiner_file(tmp_path))
    whole = dataclasses.replace(both, epochs=2, out=str(tmp_path / "whole"))
    fit(whole)
    parts = dataclasses.replace(whole, out=str(tmp_path / "parts"))
    monkeypatch.setattr("segfield.training.loop.StopSignals", _Asked)
    _Asked.left = 4
    with pytest.raises(Interrupted):
        fit(parts)
    fit(parts)
    first, second = (load_file(tmp_path / name / "resume.safetensors") for name in ("whole", "parts"))
    assert first.keys() == second.keys() and any(key.startswith("network/crf/") for key in first)
    for key in first:
        torch.testing.assert_close(first[key], second[key], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("crf", ["learn", "joint"])
def test_in_mixed_precision_the_crf_is_given_single(tmp_path: Path, crf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    given = set()
    forward = CRFRNN.forward

    def spied(self: CRFRNN, images: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        given.update((images.dtype, logits.dtype))
        return forward(self, images, logits)

    monkeypatch.setattr(CRFRNN, "forward", spied)
    network = dataclasses.replace(
        RECIPE, crf="none", epochs=1, precision="bf16-mixed", clip=1.0, out=str(tmp_path / "n")
    )
    fit(network)
    fit(dataclasses.replace(network, crf=crf, start=str(tmp_path / "n"), out=str(tmp_path / "c")))
    assert given == {torch.float32}


def test_what_cannot_be_is_said_in_a_sentence(tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, data="x")
    with pytest.raises(SettingError, match=r"crf_options.*'iteration'.*mean iterations"):
        build_crf(dataclasses.replace(recipe, crf_options={"iteration": 3}), 3, 3, ValueRange("uint8", 255.0))
    with pytest.raises(SettingError, match="refiner 'deeplap'"):
        build_crf(dataclasses.replace(recipe, crf_start="deeplap"), 3, 3, ValueRange("uint8", 255.0))
    with pytest.raises(SettingError, match="is no dense CRF"):
        build_crf(dataclasses.replace(recipe, crf_start="guided_filter"), 3, 3, ValueRange("uint8", 255.0))
    with pytest.raises(SettingError, match=r"both.*kernels are off"):
        none = CRFRNN(3, 1, DenseCRF(bilateral_sxy=None, gaussian_sxy=None), compatibility="potts")
        Refined(TwoHeads(), none, build_loss("cross_entropy", 255), SCALING, recipe)
    assert build_crf(recipe, 3, 3, ValueRange("uint16", 4095.0)).start.image_range == 4095.0
