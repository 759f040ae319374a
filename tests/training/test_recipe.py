"""Recipe: round trips, ranges, units, and what a misspelt setting answers."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml

from segfield.errors import FileFormatError, SettingError
from segfield.training.recipe import Recipe, memory_bytes, seconds
from segfield.training.run_folder import RunFolder


def test_dict_round_trip_through_yaml() -> None:
    recipe = Recipe(data="scenes:", options={"width": 8}, epochs=3)
    recipe = dataclasses.replace(recipe, augment=dataclasses.replace(recipe.augment, crop=(32, 48), scale=(0.7, 1.4)))
    text = yaml.safe_dump(yaml.safe_load(yaml.safe_dump(_lists(recipe.as_dict()))))
    assert Recipe.from_dict(yaml.safe_load(text)) == recipe


@pytest.mark.parametrize(
    "path", sorted(Path(__file__).parents[2].joinpath("recipes").glob("*.yaml")), ids=lambda p: p.stem
)
def test_every_recipe_of_the_project_is_read(path: Path) -> None:
    assert Recipe.load(path).data


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"learningrate": 1}, "did you mean learning_rate"),
        ({"augment": {"flipp": True}}, "did you mean flip"),
        ({"batch_size": 0}, "batch_size is 0.*between 1"),
        ({"time": "soon"}, "give a time such as 90s"),
        ({"time": "0s"}, "time is '0s'"),
        ({"cache": "lots"}, "cache is 'lots'"),
        ({"epochs": 3, "time": "3m"}, "give one of them"),
        ({"folds": 5, "fold": 5}, "fold 5 of 5"),
        ({"optimiser": "adam"}, "did you mean adamw"),
        ({"ema": 1.0}, "ema is 1.0"),
        ({"model": None}, "model is null.*give it a value"),
        ({"augment": 3}, "augment is 3.*by name"),
        ({"epochs": 3, "steps": 4}, r"both epochs \(3\) and steps \(4\)"),
        ({"rates": {"*.bias": -1}}, "rates has -1 for '\\*.bias'"),
        ({"rates": 3}, "rates is 3.*by name"),
        ({"stages": [3]}, "stage 1 is 3.*by name"),
        ({"stages": [{"epochs": 1}, {"epohcs": 1}]}, "stage 2.*'epohcs'.*mean epochs"),
        ({"stages": [{"data": "y"}]}, "stage 1 gives data"),
        ({"stages": [{"share": 0}]}, "share of stage 1 is 0"),
    ],
)
def test_bad_settings_are_sentences(settings: dict[str, object], match: str) -> None:
    with pytest.raises(SettingError, match=match):
        Recipe.from_dict({"data": "scenes:", **settings})


def test_budget_is_epochs_unless_steps_or_time_are_given() -> None:
    assert Recipe(data="x").budget_steps(7) == 700
    assert Recipe(data="x", steps=20).budget_steps(7) == 20
    timed = Recipe(data="x", time="1.5h")
    assert (timed.budget_steps(7), timed.budget_seconds) == (None, 5400)


@pytest.mark.parametrize(("text", "value"), [("90", 90), ("90s", 90), ("60m", 3600), ("2h", 7200), ("1d", 86400)])
def test_seconds(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("4GiB", 4 * 2**30), ("500MB", 500_000_000), ("1.5k", 1500)])
def test_memory_bytes(text: str, value: int) -> None:
    assert memory_bytes(text) == value


def test_class_weights_as_numbers_or_rule() -> None:
    assert Recipe(data="x", class_weights="1, 2.5,1e-1").given_class_weights() == [1, 2.5, 0.1]
    assert Recipe(data="x", class_weights="enet").given_class_weights() == "enet"


@pytest.mark.parametrize("content", ["- a\n- b\n", "data: [\n", "\x00\xff"])
def test_not_a_recipe(tmp_path: Path, content: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(FileFormatError, match="recipe"):
        Recipe.load(path)


def test_a_folder_belongs_to_one_recipe(tmp_path: Path) -> None:
    recipe = Recipe(data="scenes:", out=str(tmp_path / "run"))
    folder = RunFolder(recipe.out)
    assert folder.claim(recipe) is False
    folder.state.write_bytes(b"trained")
    assert folder.claim(dataclasses.replace(recipe, threads=3)) is True  # threads do not change what comes out
    with pytest.raises(SettingError, match=r"\(learning_rate 0.001 → 0.5\)"):
        folder.claim(dataclasses.replace(recipe, learning_rate=0.5))
    cropped = dataclasses.replace(recipe, augment=dataclasses.replace(recipe.augment, crop=(8, 9)))
    with pytest.raises(SettingError, match=r"\(augment.crop None → \[8, 9\]\)"):
        folder.claim(cropped)
    folder.recipe.write_text("- damaged\n")
    with pytest.raises(FileFormatError, match=r"recipe\.yaml is damaged"):
        folder.claim(recipe)


def test_a_start_that_failed_before_training_leaves_the_folder_free(tmp_path: Path) -> None:
    recipe = Recipe(data="scenes:", loss="dise", out=str(tmp_path / "run"))
    RunFolder(recipe.out).claim(recipe)
    assert RunFolder(recipe.out).claim(dataclasses.replace(recipe, loss="dice")) is False
    assert yaml.safe_load(RunFolder(recipe.out).recipe.read_text())["loss"] == "dice"


def test_a_folder_with_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(SettingError, match="not empty"):
        RunFolder(tmp_path).claim(Recipe(data="scenes:"))
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_curves_round_trip(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    rows = [{"epoch": 1.0, "loss": 0.25}, {"epoch": 2.0, "loss": 0.125}]
    folder.write_curves(rows)
    assert folder.read_curves() == rows


def _lists(value: object) -> object:
    if isinstance(value, dict):
        return {key: _lists(inner) for key, inner in value.items()}
    return [_lists(inner) for inner in value] if isinstance(value, tuple | list) else value
