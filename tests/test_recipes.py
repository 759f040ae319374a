"""Every recipe in recipes/ is read as it stands, and trained for an epoch of two steps on four small images."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from segfield.commands.train import train
from segfield.data.scenes import write_scenes
from segfield.segmenter import Segmenter
from segfield.training.recipe import Recipe
from tests.models.networks import TINY

FOLDER = Path(__file__).resolve().parents[1] / "recipes"
RECIPES = sorted(FOLDER.glob("*.yaml"))
SIZES = ("width", "levels", "fc_channels", "encoder", "layers", "channels", "depth")


@pytest.fixture
def four_images(tmp_path):
    """Four to train on and one to validate on, RGB, 48×64, with scenes' classes."""
    folder = write_scenes(tmp_path / "scenes", "count=6,size=48x64")
    for kind in ("images", "masks"):
        (folder / kind / "test").rename(tmp_path / f"{kind}-test")
    return folder


@pytest.fixture
def four_grey_images(tmp_path):
    """Grey pictures with {0, 255} masks: the first 24 columns hold an object, and a thin gap parts it from another."""
    for number in range(5):
        mask = np.zeros((48, 64), np.uint8)
        mask[8 + number : 40, 4:24], mask[8 + number : 40, 27:50] = 255, 255
        noise = np.random.default_rng(number).integers(0, 60, mask.shape)
        for kind, array in (("images", (mask // 2 + noise).astype(np.uint8)), ("masks", mask)):
            (tmp_path / "cells" / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(tmp_path / "cells" / kind / f"{number}.png")
    return tmp_path / "cells"


def small(model: str, options: dict[str, Any]) -> dict[str, Any]:
    """The network's options, but narrow; ICNet's widths keep their ratios, for one is pruned to the next."""
    if model == "icnet":
        return {**options, "width": options.get("width", 0.5) / 8}
    return {**options, **{key: value for key, value in TINY.get(model, {}).items() if key in SIZES}}


def tiny(recipe: Recipe, data: Path, out: Path) -> Recipe:
    """The recipe on this data: all its settings and stages, but for size and length."""
    stages = []
    for stage in recipe.stages:
        options = small(stage.get("model", recipe.model), stage.get("options", recipe.options))
        augment = {**stage.get("augment", {}), **({"crop": [32, 32]} if "crop" in stage.get("augment", {}) else {})}
        batch = {"batch_size": 2} if "batch_size" in stage else {}
        stages.append({**stage, **batch, "options": options, "augment": augment, "accumulate": 1})
    crop = None if recipe.augment.whole else tuple(min(side, 32) for side in recipe.augment.crop or (32, 32))
    return dataclasses.replace(
        recipe,
        data=str(data),
        out=str(out),
        weights="none",
        options=small(recipe.model, recipe.options),
        stages=stages,
        train_split="train",
        val_split="val",
        epochs=len(stages) or 1,
        steps=None,
        time=None,
        batch_size=2,
        accumulate=1,
        validate_every=1,
        precision="32-true",
        device="cpu",
        augment=dataclasses.replace(recipe.augment, crop=crop),
    )


def test_there_are_recipes():
    names = {path.stem for path in RECIPES}
    assert {"camvid_deeplabv3plus_mobilenetv2", "unet_isbi2012", "scenes_unet", "nuclei_unet"} <= names


@pytest.mark.thorough
@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipe_trains(path, request, tmp_path):
    recipe = Recipe.load(path)
    needs_grey = recipe.border_weight > 0 and not recipe.data.startswith("nuclei")
    data = request.getfixturevalue("four_grey_images" if needs_grey else "four_images")
    run = train(tiny(recipe, data, tmp_path / "run"))
    assert run.evaluation is not None
    scores = json.loads((run.folder / "scores.json").read_text())["scores"]
    assert 0 <= scores["mean_iou"] <= 1
    assert scores["pixels"] == len(run.evaluation.images) * 48 * 64
    image = np.zeros((3 if not needs_grey else 1, 40, 56), np.uint8)
    assert Segmenter.load(run.segmenter)(image).labels.shape == (40, 56)
    assert "nan" not in (run.folder / "curves.csv").read_text()


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipe_says_what_it_is(path):
    """The first lines tell what it is for and how it is started; the run goes below runs/."""
    text = path.read_text(encoding="utf-8")
    head = [line for line in text.splitlines() if line.startswith("#")]
    assert len(head) >= 3
    assert any("segfield train" in line and f"recipes/{path.name}" in line for line in head)
    assert Recipe.load(path).out.startswith("runs/")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipe_is_the_same_as_yaml_dict_and_command_line(path):
    """Written out whole and read back, as a run folder's recipe.yaml is, it is the same recipe."""
    from segfield.commands.arguments import call_with_words

    def keep(recipe: Recipe) -> Recipe:
        return recipe

    keep.__annotations__ = {"recipe": Recipe, "return": Recipe}
    recipe = Recipe.load(path)
    assert Recipe.from_dict(yaml.safe_load(yaml.safe_dump(json.loads(json.dumps(recipe.as_dict()))))) == recipe
    assert call_with_words("keep", keep, ["--recipe", str(path)]) == recipe
