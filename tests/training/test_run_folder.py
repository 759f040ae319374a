"""The folder of a run: whose run it is, and what is told where that changed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml

from segfield.errors import FileFormatError, SettingError
from segfield.training import run_lock
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


def test_a_folder_of_nothing_but_leftovers_is_free(tmp_path: Path) -> None:
    """A start that was killed as it wrote its first file, here or on another host."""
    for name in (".segfield-999999999-0123456789ab.tmp", ".segfield-elsewhere-7-0123456789ab.tmp", run_lock.NAME):
        (tmp_path / name).write_text("half a fi")
    assert not RunFolder(tmp_path).claim(Recipe("scenes:"))
    assert not (tmp_path / ".segfield-999999999-0123456789ab.tmp").exists()
    (tmp_path / "recipe.yaml").unlink()
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(SettingError, match="choose another --out"):
        RunFolder(tmp_path).claim(Recipe("scenes:"))


@pytest.mark.parametrize("text", ["", "[1, 2]", "3", "a: [", "\xff\xfe", "null"])
def test_a_damaged_recipe_is_refused(tmp_path: Path, text: str) -> None:
    run = started(tmp_path / "run", Recipe("scenes:"))
    run.recipe.write_bytes(text.encode("latin-1"))
    with pytest.raises(FileFormatError, match=r"recipe\.yaml is damaged"):
        run.claim(Recipe("scenes:"))


@pytest.mark.parametrize("text", ["epoch,loss\n1,x\n", "epoch\n1,2\n", "epoch\n\xff\n"])
def test_damaged_curves_are_refused(tmp_path: Path, text: str) -> None:
    run = RunFolder(tmp_path)
    assert run.read_curves() == []
    run.write_curves([{"epoch": 1.0, "loss": 0.5}])
    assert run.read_curves() == [{"epoch": 1.0, "loss": 0.5}]
    run.curves.write_bytes(text.encode("latin-1"))
    with pytest.raises(FileFormatError, match=r"curves\.csv is damaged"):
        run.read_curves()


@pytest.mark.parametrize("beside", [{}, {"photo.jpg": "x"}])
def test_a_recipe_of_somebodys_own_stays(tmp_path: Path, beside: dict[str, str]) -> None:
    mine = tmp_path / "recipe.yaml"
    mine.write_text("# mine\ndata: cells\nmodel: unet\n", encoding="utf-8")
    for name, text in beside.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(SettingError, match=r"holds no run.*--out"):
        RunFolder(tmp_path).claim(Recipe(data="cells", out=str(tmp_path)))
    assert mine.read_text(encoding="utf-8").startswith("# mine")


def test_files_beside_a_start_that_failed_are_not_built_over(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    recipe = Recipe(data="cells")
    assert not folder.claim(recipe) and not folder.claim(recipe)
    (folder.path / "photo.jpg").write_text("x")
    with pytest.raises(SettingError, match="holds no run"):
        folder.claim(recipe)
