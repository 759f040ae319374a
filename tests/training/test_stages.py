"""Several trainings one after another: what each is told, where it lies, what it starts from, and going on."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from segfield.commands.train import train
from segfield.data.augmentation import AugmentationConfig
from segfield.errors import FileFormatError, SettingError
from segfield.segmenter import Segmenter
from segfield.training.recipe import Recipe
from segfield.training.stages import stage_recipes

RECIPE = Recipe(
    data="scenes:count=10,size=32x48",
    model="unet_padded",
    weights="none",
    options={"width": 2, "levels": 2},
    batch_size=4,
    learning_rate=0.01,
    precision="32-true",
    device="cpu",
    threads=1,
    augment=AugmentationConfig(crop=(32, 32), flip=False),
)
TWO: list[dict[str, Any]] = [
    {"name": "whole", "epochs": 2, "learning_rate": 0.02},
    {"name": "last layer", "epochs": 1, "rates": {"down.*": 0, "merge.*": 0, "up.*": 0}, "augment": {"crop": [16, 32]}},
]


def _recipe(**changes: object) -> Recipe:
    return dataclasses.replace(RECIPE, **changes)  # type: ignore[arg-type]


def test_without_stages_a_recipe_is_its_own_and_only_one() -> None:
    assert stage_recipes(RECIPE) == [("", RECIPE)]


def test_a_stage_is_the_recipe_with_its_own_settings() -> None:
    recipe = _recipe(stages=TWO, out="run", start="first.safetensors")
    (one, first), (two, second) = stage_recipes(recipe)
    assert (one, two) == ("whole", "last layer")
    assert first == _recipe(out="run/stages/1-whole", start="first.safetensors", epochs=2, learning_rate=0.02)
    augment = dataclasses.replace(RECIPE.augment, crop=(16, 32))
    assert second == _recipe(
        stages=TWO, out="run", start="run/stages/1-whole", epochs=1, rates=TWO[1]["rates"], augment=augment
    )


@pytest.mark.parametrize(
    ("budget", "shares", "expected"),
    [
        ({"time": "20m"}, (1, 3), ["300.000s", "900.000s"]),
        ({"epochs": 10}, (1, 1), [5, 5]),
        ({"steps": 100}, (4, 1), [80, 20]),
        ({"epochs": 1}, (1, 9), [1, 1]),  # a stage is at least one
    ],
)
def test_a_budget_of_the_whole_is_shared(budget: dict[str, Any], shares: tuple[int, int], expected: list[Any]) -> None:
    stages = [{**stage, "share": share} for stage, share in zip(TWO, shares)]
    [name] = budget
    given = [recipe for _, recipe in stage_recipes(_recipe(stages=stages, **budget))]
    assert [getattr(stage, name) for stage in given] == expected
    assert all(getattr(stage, other) is None for stage in given for other in {"time", "epochs", "steps"} - {name})


def test_half_size_first_is_two_stages() -> None:
    recipe = _recipe(half_size_first=0.25, time="100s", out="run")
    (one, half), (two, full) = stage_recipes(recipe)
    assert (one, two) == ("half size", "full size")
    assert (half.time, full.time) == ("25.000s", "75.000s")
    assert (half.augment.size, full.augment.size) == (0.5, 1.0) and half.augment.crop == full.augment.crop == (32, 32)
    assert full.learning_rate == half.learning_rate / 2 == recipe.learning_rate / 2
    assert full.start == half.out == "run/stages/1-half-size"


def test_half_size_first_shares_a_hundred_epochs_and_goes_before_a_crf() -> None:
    assert [stage.epochs for _, stage in stage_recipes(_recipe(half_size_first=0.5))] == [50, 50]
    stages = stage_recipes(_recipe(half_size_first=0.5, crf="joint", epochs=100))
    assert [name for name, _ in stages] == ["half size", "full size", "CRF", "both"]
    assert [stage.epochs for _, stage in stages] == [35, 35, 10, 20]
    assert [stage.crf for _, stage in stages] == ["none", "none", "learn", "joint"]
    assert [stage.augment.size for _, stage in stages] == [0.5, 1, 1, 1]


def test_a_crf_is_trained_on_images_as_they_are() -> None:
    changed = dataclasses.replace(RECIPE.augment, brightness=0.3, rotate=10.0, flip=True)
    network, learned, both = (stage for _, stage in stage_recipes(_recipe(crf="joint", augment=changed)))
    assert network.augment == changed
    for stage in (learned, both, stage_recipes(_recipe(crf="joint", augment=changed, start="run"))[0][1]):
        assert stage.augment.scale == (1, 1) and stage.augment.flip and stage.augment.crop == (32, 32)
        assert stage.augment.brightness == stage.augment.rotate == stage.augment.contrast == 0
    named = _recipe(augment=changed, stages=[{"crf": "none"}, {"crf": "joint"}], crf="joint")
    assert stage_recipes(named)[1][1].augment == changed  # who names it himself has his way


@pytest.mark.parametrize("settings", [{"half_size_first": 1.0}, {"half_size_first": 0.5, "stages": TWO}])
def test_half_size_first_out_of_place_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match=r"half_size_first is .*(between|leave it out)"):
        _recipe(**settings)


def test_a_stage_on_whole_images_needs_no_crop() -> None:
    stages = [{"augment": {"whole": True}}, {"augment": {"crop": [8, 8]}}]
    assert [s.augment.crop for _, s in stage_recipes(_recipe(stages=stages))] == [None, (8, 8)]
    whole = _recipe(stages=stages, augment=AugmentationConfig(whole=True))
    assert [s.augment.whole for _, s in stage_recipes(whole)] == [True, False]


def test_a_value_out_of_range_names_its_stage() -> None:
    with pytest.raises(SettingError, match=r"stage 2 \(last layer\): momentum is 3"):
        stage_recipes(_recipe(stages=[TWO[0], {**TWO[1], "momentum": 3}]))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("stages") / "run"
    train(_recipe(stages=TWO, out=str(out)))
    return out


def test_each_stage_goes_on_from_the_last(run: Path) -> None:
    """What the second stage freezes is what the first one's best epoch left; what it trains is not."""
    first = load_file(run / "stages" / "1-whole" / "segmenter.safetensors")
    second = load_file(run / "segmenter.safetensors")
    same = {key for key in first if torch.equal(first[key], second[key])}
    assert same == {key for key in first if not key.startswith("classify")}
    assert (run / "report.html").is_file()
    assert len((run / "curves.csv").read_text().splitlines()) == 2


def test_the_same_recipe_again_is_finished(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (run / "segmenter.safetensors").read_bytes()
    train(_recipe(stages=TWO, out=str(run)))
    told = capsys.readouterr().out
    assert "finished already" in told
    assert told.count("drawn street scenes") == 1 and "stage 2 of 2: last layer" in told  # the data are described once
    assert (run / "segmenter.safetensors").read_bytes() == before


def test_a_run_starts_from_another_network_where_it_fits(run: Path, tmp_path: Path, capsys: Any) -> None:
    """A deeper network takes over what has the same names and shapes, and the input scaling."""
    deeper = _recipe(
        options={"width": 2, "levels": 3}, start=str(run), epochs=1, learning_rate=0.0, out=str(tmp_path / "run")
    )
    train(deeper)
    before, after = load_file(run / "segmenter.safetensors"), load_file(tmp_path / "run" / "segmenter.safetensors")
    same = {key for key in before if key in after and torch.equal(before[key], after[key]) and "running" not in key}
    assert {"down.0.0.weight", "classify.weight"} <= same
    said = capsys.readouterr().out.replace("\n", " ")
    assert f"starting from {run / 'segmenter.safetensors'}" in said
    scalings = [Segmenter.load(place / "segmenter.safetensors").scaling for place in (run, tmp_path / "run")]
    assert scalings[0] == scalings[1]


def test_what_cannot_be_started_from_is_a_sentence(run: Path, tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="no segmenter file"):
        train(_recipe(start="nowhere.safetensors", out=str(tmp_path / "run"), epochs=1))
    other = _recipe(model="unet:mobilenetv2_050", options={}, start=str(run), out=str(tmp_path / "other"), epochs=1)
    with pytest.raises(SettingError, match=r"none.*weights.*fits"):
        train(other)
