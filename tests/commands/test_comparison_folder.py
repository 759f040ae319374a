"""What a comparison asks for: every recipe with every seed, one budget, one data set; and a folder that is its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from segfield.commands import comparison_folder
from segfield.commands.comparison_folder import Entry, alone, claim, note_training_memory, read_entries
from segfield.errors import FileFormatError, SettingError
from segfield.training.recipe import Recipe

NOTHING: dict[str, Any] = {"time": None, "epochs": None, "steps": None}
DATA = {"data": "cells", "classes": None, "train_split": None, "val_split": None}


def write(folder: Path, **recipes: dict[str, Any]) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    for name, settings in recipes.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(settings))
    return [str(folder / f"{name}.yaml") for name in recipes]


def read(files: list[str], seeds: int = 2, budget: dict[str, Any] | None = None, **given: str | None) -> list[Entry]:
    chosen = {**NOTHING, **({"time": "20m"} if budget is None else budget)}
    return read_entries(files, seeds, Path("out"), chosen, {**DATA, **given}, "cpu")


def test_every_recipe_with_every_seed_a_seed_of_all_before_the_next(tmp_path: Path) -> None:
    entries = read(write(tmp_path, fast={"model": "unet"}, deep={"epochs": 7, "learning_rate": 0.5, "seed": 9}))
    assert [entry.label for entry in entries] == ["fast, seed 0", "deep, seed 0", "fast, seed 1", "deep, seed 1"]
    deep = entries[3].recipe
    assert (deep.learning_rate, deep.time, deep.epochs, deep.seed, deep.data) == (0.5, "20m", None, 1, "cells")
    assert deep.out == str(Path("out/runs/deep-seed1")) and deep.device == "cpu"
    assert entries[3].measured == Path("out/measured/deep-seed1")


@pytest.mark.parametrize("own", [{"time": "1h"}, {"epochs": 7}, {"steps": 50}, {}])
def test_the_budget_takes_the_place_of_the_recipes_own(own: dict[str, Any], tmp_path: Path) -> None:
    for budget in ({"time": "9m"}, {"epochs": 3}, {"steps": 11}):
        (entry,) = read(write(tmp_path, a=own), 1, budget)
        told = {name: getattr(entry.recipe, name) for name in NOTHING}
        assert told == {**NOTHING, **budget}


@pytest.mark.parametrize(
    ("budget", "told"),
    [({}, "not given.*--time 20m"), ({"time": "1m", "epochs": 2}, "time and epochs.*give one")],
)
def test_one_budget_must_be_given(budget: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=told):
        read(write(tmp_path, a={}), budget=budget)


def test_recipes_agree_about_the_data_or_it_is_given(tmp_path: Path) -> None:
    same = write(tmp_path, a={"data": "x", "val_split": "dev"}, b={"data": "x", "val_split": "dev"})
    assert {(e.recipe.data, e.recipe.val_split) for e in read(same, data=None)} == {("x", "dev")}
    other = write(tmp_path / "other", a={"data": "x"}, b={"data": "y"})
    with pytest.raises(SettingError, match=r"same data \(a: x, b: y\).*--data"):
        read(other, data=None)
    assert {entry.recipe.data for entry in read(other)} == {"cells"}
    with pytest.raises(SettingError, match=r"same data \(a: None\)"):
        read(write(tmp_path / "none", a={}), data=None)
    with pytest.raises(SettingError, match=r"same val_split \(a: val, b: dev\)"):
        read(write(tmp_path / "splits", a={}, b={"val_split": "dev"}))


def test_a_recipe_stands_once(tmp_path: Path) -> None:
    (file,) = write(tmp_path, a={})
    with pytest.raises(SettingError, match=r"given twice.*once"):
        read([file, str(tmp_path / "." / "a.yaml")])
    (other,) = write(tmp_path / "other", a={})
    with pytest.raises(SettingError, match=r"one name, 'a'.*rename"):
        read([file, other])


def test_what_a_recipe_says_wrong_names_it(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="recipe 'a': batch_size is 0"):
        read(write(tmp_path, a={"batch_size": 0}))
    with pytest.raises(SettingError, match=r"a\.yaml.*'modle'"):
        read(write(tmp_path, a={"modle": "unet"}))
    with pytest.raises(FileFormatError, match=r"no recipe nowhere\.yaml"):
        read(["nowhere.yaml"])
    with pytest.raises(SettingError, match=r"'a' trains on a fold.*seed"):
        read(write(tmp_path, a={"folds": 5}))
    with pytest.raises(SettingError, match="seeds is 0"):
        read(write(tmp_path, a={}), 0)


def test_stages_are_claimed_each_in_its_folder(tmp_path: Path) -> None:
    stages = [{"name": "first", "learning_rate": 0.1}, {"name": "second", "share": 3}]
    (file,) = write(tmp_path / "r", a={"stages": stages, "model": "unet"})
    entries = read_entries([file], 1, tmp_path / "out", {**NOTHING, "time": "60s"}, DATA, "cpu")
    for _ in range(2):
        claim(entries, tmp_path / "out")
    run = tmp_path / "out" / "runs" / "a-seed0"
    whole = Recipe.load(entries[0].measured / "recipe.yaml")
    assert (whole.time, whole.stages, whole.learning_rate) == ("60s", stages, entries[0].recipe.learning_rate)
    assert yaml.safe_load((run / "stages" / "1-first" / "recipe.yaml").read_text())["learning_rate"] == 0.1


@pytest.mark.parametrize("what", ["file", "photos"])
def test_a_folder_of_something_else_is_left_alone(what: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    if what == "file":
        out.write_text("mine")
    else:
        out.mkdir()
        (out / "photo.jpg").write_text("mine")
    with pytest.raises(SettingError, match="give another --out"), alone(out):
        pass


def test_two_comparisons_do_not_share_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fcntl")
    monkeypatch.setattr(comparison_folder, "PATIENCE", 0.3)
    refused = pytest.raises(SettingError, match="another comparison")
    with alone(tmp_path / "out"), refused, alone(tmp_path / "out"):
        pass
    with alone(tmp_path / "out"):
        pass


def test_of_several_starts_the_largest_memory_is_kept(tmp_path: Path) -> None:
    for peak in (5, 9, 3):
        note_training_memory(tmp_path, peak)
    assert json.loads((tmp_path / "training.json").read_text()) == {"peak": 9}


def test_a_score_is_read_as_it_was_written(tmp_path: Path) -> None:
    recipe = Recipe(data="x", out=str(tmp_path / "runs" / "a-seed4"), seed=4)
    entry, counts = Entry("a", 4, recipe), np.arange(24).reshape(3, 4, 2)
    costs = {
        "parameters": 5, "multiply_adds": 6, "image_size": [7, 8], "training_seconds": 1.5, "training_rate": 2.5,
        "prediction_rate": 3.5, "prediction_memory": 9, "device": "cpu",
    }  # fmt: skip
    score = {
        "costs": costs,
        "scores": {"mean_iou": 0.5, "pixel_accuracy": 0.75, "mean_class_accuracy": None},
        "boundaries": {"boundary_iou": 0.25},
        "image_mean_iou": {"x": 0.1, "y": None, "z": 0.2, "w": 0.3},
    }
    comparison_folder.write_score(entry.measured, "test", score, counts)
    assert not comparison_folder.is_scored(entry, "test")  # its training has not ended
    entry.run.write_scores({"facts": {"data hash (SHA-256 of the training pixels)": "abc"}})
    assert comparison_folder.is_scored(entry, "test") and not comparison_folder.is_scored(entry, "val")
    assert comparison_folder.data_hash(entry) == "abc"
    run, images = comparison_folder.read_score(entry, "test")
    assert images == ["x", "y", "z", "w"] and np.array_equal(run.tallies, counts)
    assert (run.recipe, run.seed, run.mean_iou, run.boundary_iou) == ("a", 4, 0.5, 0.25)
    assert np.isnan(run.mean_class_accuracy) and run.costs.image_size == (7, 8) and run.costs.training_memory is None


def test_a_folder_with_runs_of_somebody_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "runs" / "marathon").mkdir(parents=True)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(SettingError, match=r"holds no comparison.*--out"), alone(tmp_path):
        pass
    assert not (tmp_path / ".lock").exists()


def test_a_lock_file_keeps_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_text("mine")
    with alone(tmp_path):
        pass
    assert (tmp_path / ".lock").read_text() == "mine"
