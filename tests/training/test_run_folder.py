"""The folder of a run: whose run it is, and what is told where that changed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml

from segfield.errors import SettingError
from segfield.training.recipe import Recipe
from segfield.training.run_folder import RunFolder


def started(folder: Path, recipe: Recipe) -> RunFolder:
    """A run that has trained something."""
    run = RunFolder(folder)
    assert not run.claim(recipe)
    run.state.write_bytes(b"state")
    return run


def test_a_run_is_continued_by_its_own_recipe_only(tmp_path: Path) -> None:
    recipe = Recipe("scenes:", learning_rate=0.01)
    run = started(tmp_path / "run", recipe)
    assert run.claim(recipe)
    with pytest.raises(SettingError, match=r"learning_rate 0.01 → 0.02"):
        run.claim(dataclasses.replace(recipe, learning_rate=0.02))


def test_settings_that_came_later_are_as_they_were_by_default(tmp_path: Path) -> None:
    recipe = Recipe("scenes:")
    run = started(tmp_path / "run", recipe)
    settings = yaml.safe_load(run.recipe.read_text(encoding="utf-8"))
    del settings["recompute_norm"], settings["augment"]["whole"]  # a run of before there were any
    run.recipe.write_text(yaml.safe_dump(settings), encoding="utf-8")
    assert run.claim(recipe)
    with pytest.raises(SettingError, match="recompute_norm False → True"):
        run.claim(dataclasses.replace(recipe, recompute_norm=True))
