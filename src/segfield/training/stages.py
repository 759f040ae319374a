"""Recipes of several trainings, one after another: FCN-32s → 16s → 8s, front end → context → both, wide → narrow.

Each stage is a run of its own with the loop's usual means; it starts from the segmenter of the one before.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

from rich.console import Console

from segfield.errors import SettingError
from segfield.training import loop
from segfield.training.out_of_fold import after_folds, crf_out_of_fold
from segfield.training.processes import is_first_process
from segfield.training.recipe import Recipe, seconds
from segfield.training.run_folder import RunFolder


def fit_in_stages(recipe: Recipe, console: Console | None = None) -> loop.Fitted:
    """Train every stage of a recipe (one, where it has none); the last one's run is the recipe's own.

    Raises:
        SettingError, DataError: for what cannot be used as it is.
        Interrupted: where the user stopped it; the same recipe goes on.
    """
    stages = stage_recipes(after_folds(recipe) if recipe.crf_folds else recipe)
    if len(stages) > 1 and is_first_process():
        RunFolder(recipe.out).claim(stages[-1][1])  # refused now where it lies, not after the first stages
    if recipe.crf_folds:
        crf_out_of_fold(recipe, fit_in_stages, console)
    for number, (name, stage) in enumerate(stages, 1):
        if console is not None and len(stages) > 1:
            console.print(f"stage {number} of {len(stages)}: {name}", highlight=False, soft_wrap=True)
        fitted = loop.fit(stage, console, introduce=number == 1)
    return fitted


def stage_recipes(recipe: Recipe) -> list[tuple[str, Recipe]]:
    """(name, recipe) of each stage, in order.

    A stage has the recipe's settings and, before them, its own; it starts from the stage before. Its run lies in
    OUT/stages/NUMBER-NAME, the last one's in OUT. Where the recipe has a budget (time, steps or epochs), that is the
    budget of all stages, divided by their `share`; else each stage has its own.

    Raises:
        SettingError: if a stage's settings are unknown or unfit.
    """
    recipe = with_crf_stages(with_half_size_stage(recipe))
    if not recipe.stages:
        return [("", recipe)]
    shares = [float(stage.get("share", 1)) for stage in recipe.stages]
    start, stages = recipe.start, []
    for number, (given, share) in enumerate(zip(recipe.stages, shares), 1):
        name = str(given.get("name", f"stage {number}"))
        last = number == len(recipe.stages)
        folder = Path(recipe.out) / "stages" / f"{number}-{re.sub(r'[^0-9A-Za-z]+', '-', name).strip('-')}"
        settings = {key: value for key, value in given.items() if key not in ("name", "share")}
        settings |= _budget(recipe, settings, share / sum(shares))
        settings["augment"] = _augment(recipe, settings.get("augment", {}))
        try:
            stage = Recipe.from_dict({**recipe.as_dict(), **_NOT_OF_A_STAGE, **settings, "start": start})
        except SettingError as error:
            raise SettingError(f"stage {number} ({name}): {error}") from error
        place = {"stages": recipe.stages, "out": recipe.out} if last else {"out": str(folder)}
        stages.append((name, dataclasses.replace(stage, **place)))
        start = str(folder)
    return stages


_NOT_OF_A_STAGE: dict[str, Any] = {"stages": [], "crf_folds": 0, "half_size_first": 0.0}


def with_half_size_stage(recipe: Recipe) -> Recipe:
    """The recipe with its `half_size_first` spelt out as two stages; the second, at full size, has half the learning rate."""
    if not recipe.half_size_first:
        return recipe
    half = {"size": recipe.augment.size / 2}
    stages = [
        {"name": "half size", "share": recipe.half_size_first, "augment": half},
        {"name": "full size", "share": 1 - recipe.half_size_first, "learning_rate": recipe.learning_rate / 2},
    ]
    return dataclasses.replace(_budgeted(recipe), stages=stages, half_size_first=0.0)


CRF_SHARES = {"CRF": 0.1, "both": 0.2}
"""Of the budget, for the stages of a CRF; the network alone has the rest."""

CRF_EPOCHS = {"CRF": 5, "both": 10}
"""Of a CRF's stages where the recipe's own stages have budgets of their own."""

JOINT_RATE = 0.1
"""Of the network with its CRF, as a multiple of its rate alone: in the paper it hardly moves (section 7)."""

AS_THEY_ARE: dict[str, Any] = {
    "scale": [1.0, 1.0], "rotate": 0.0, "elastic": 0.0, "brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0,
    "grey": 0.0, "blur": 0.0, "noise": 0.0,
}  # fmt: skip
"""No change that resamples an image or its values: a CRF compares them, and learns for what it will meet."""


MASKS_ALONE: dict[str, Any] = {"adversary": "none", "unlabelled": "none"}
"""A CRF learns from masks, without an adversary; the network before it may have had both."""


def with_crf_stages(recipe: Recipe) -> Recipe:
    """The recipe with its `crf` spelt out as stages: the network without, the CRF behind it, then both (Zheng et al. 2015).

    Where the CRF is trained, images are flipped and cut but else taken as they are (`AS_THEY_ARE`). A recipe whose stages name
    `crf` themselves, and one without a CRF, stay as they are.
    """
    if recipe.crf == "none" or any("crf" in stage for stage in recipe.stages):
        return recipe
    if recipe.start and not recipe.stages:
        return dataclasses.replace(recipe, augment=dataclasses.replace(recipe.augment, **AS_THEY_ARE), **MASKS_ALONE)
    own = recipe.stages or [{"name": "network"}]
    added = {"CRF": "learn", "both": "joint"} if recipe.crf == "joint" else {"CRF": "learn"}
    if recipe.crf_folds and recipe.crf == "joint":  # the CRF is learned before, by what the folds' networks said
        added = {"both": "joint"}
    total, left = sum(float(stage.get("share", 1)) for stage in own), 1 - sum(CRF_SHARES[name] for name in added)
    stages = [{**stage, "share": left * float(stage.get("share", 1)) / total, "crf": "none"} for stage in own]
    last = {name: value for name, value in own[-1].items() if name not in ("name", "share", *recipe.ALTERNATIVES[0])}
    budgeted = any(name in own[-1] for name in recipe.ALTERNATIVES[0])
    for name, how in added.items():
        augment = {**last.get("augment", {}), **AS_THEY_ARE}
        stage = {**last, **MASKS_ALONE, "name": name, "share": CRF_SHARES[name], "crf": how, "augment": augment}
        if how == "joint":
            stage["learning_rate"] = JOINT_RATE * float(last.get("learning_rate", recipe.learning_rate))
        elif recipe.crf_folds:  # it is put behind the network as it is
            stage["crf_rate"] = 0.0
        stages.append({**stage, "epochs": CRF_EPOCHS[name]} if budgeted else stage)
    return dataclasses.replace(recipe if budgeted else _budgeted(recipe), stages=stages)


def _budgeted(recipe: Recipe) -> Recipe:
    """A recipe without a budget gets the hundred epochs that are meant, to be shared by stages."""
    none = all(getattr(recipe, name) is None for name in recipe.ALTERNATIVES[0])
    return dataclasses.replace(recipe, epochs=100) if none else recipe


def _augment(recipe: Recipe, own: dict[str, Any]) -> dict[str, Any]:
    """A stage's augmentation: of crop and whole, the one it names takes the place of the recipe's."""
    displaced: dict[str, Any] = {"crop": None} if own.get("whole") else {"whole": False} if own.get("crop") else {}
    return {**dataclasses.asdict(recipe.augment), **displaced, **own}


def _budget(recipe: Recipe, settings: dict[str, Any], share: float) -> dict[str, Any]:
    """epochs, steps and time of a stage: its share of the recipe's, or its own."""
    names = recipe.ALTERNATIVES[0]
    budget = {name: getattr(recipe, name) for name in names}
    if all(value is None for value in budget.values()):
        return {name: settings.get(name) for name in names}
    if recipe.time is not None:
        return {**budget, "time": f"{seconds(recipe.time) * share:.3f}s"}
    return {name: None if value is None else max(1, round(value * share)) for name, value in budget.items()}
