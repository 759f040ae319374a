"""A CRF learned before the network it will stand behind: from what networks of several folds say of images they did not see.

On images it was trained on, a network is too sure, and a CRF learned there comes out too weak.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from segfield.crf.learn import learn
from segfield.crf.refiner import in_range
from segfield.crf.tuning.progress import stage
from segfield.crf.tuning.trials import gpu_of
from segfield.data.files import write_text
from segfield.segmenter import Segmenter
from segfield.training.held_out import HeldOut, fold_parts, limited
from segfield.training.recipe import Recipe, seconds
from segfield.training.refined import starting_crf

SHARE = 0.4
"""Of the budget, for the networks of all folds together; so it is of twice as few steps a network as folds are many."""

IMAGES = 64
"""To learn on, drawn by seed."""


def after_folds(recipe: Recipe) -> Recipe:
    """The recipe that starts from the CRF learned out of fold, with the budget that is left."""
    return dataclasses.replace(_with_share(recipe, 1 - SHARE), crf_start=str(_folder(recipe) / "refiner.json"))


def crf_out_of_fold(recipe: Recipe, fit: Callable[..., Any], console: Console | None = None) -> None:
    """Train a network a fold, and learn the CRF on the images each did not see.

    The networks lie in OUT/stages/folds/fold0 …, their scores in scores/, the CRF in refiner.json; what is there is taken up.

    Args:
        recipe: with crf_folds of 2 or more.
        fit: trains a recipe with its stages.
        console: where progress is shown.
    """
    folder = _folder(recipe)
    for fold in range(recipe.crf_folds):
        if console is not None:
            console.print(
                f"fold {fold + 1} of {recipe.crf_folds}: a network for the CRF to learn from", highlight=False
            )
        fit(_of_fold(recipe, fold, folder), console)
    if not (folder / "refiner.json").is_file():
        _learn(recipe, folder, console)


def _folder(recipe: Recipe) -> Path:
    return Path(recipe.out) / "stages" / "folds"


def _of_fold(recipe: Recipe, fold: int, folder: Path) -> Recipe:
    part = _with_share(recipe, SHARE / recipe.crf_folds)
    own = {"folds": recipe.crf_folds, "fold": fold, "out": str(folder / f"fold{fold}")}
    return dataclasses.replace(part, crf="none", crf_folds=0, **own)  # type: ignore[arg-type]


def _with_share(recipe: Recipe, share: float) -> Recipe:
    """The recipe with a share of its budget; one whose stages have budgets of their own stays as it is."""
    if recipe.time is not None:
        return dataclasses.replace(recipe, time=f"{seconds(recipe.time) * share:.3f}s")
    if recipe.steps is not None:
        return dataclasses.replace(recipe, steps=max(1, round(recipe.steps * share)))
    if recipe.epochs is None and any(name in stage for stage in recipe.stages for name in recipe.ALTERNATIVES[0]):
        return recipe
    return dataclasses.replace(recipe, epochs=max(1, round((recipe.epochs or 100) * share)))


def _learn(recipe: Recipe, folder: Path, console: Console | None) -> None:
    """Predict what each network did not see, and learn on it."""
    parts = limited(fold_parts(folder, recipe.data, recipe.classes, _recipe_of), IMAGES, recipe.seed)
    first = Segmenter.load(parts[0].segmenter, device=recipe.device)
    samples = HeldOut(parts, folder / "scores", first.bands, first.in_own_units)
    samples.claim(samples.origin({"data": recipe.data}), overwrite=True)
    with stage(console, "predict", len(samples)) as advance:
        samples.predict(lambda file: Segmenter.load(file, device=recipe.device), None, advance)
    start = starting_crf(recipe) if first.values is None else in_range(starting_crf(recipe), first.values)
    options = {name: value for name, value in recipe.crf_options.items() if name in _LEARNED}
    learned = learn(
        samples, first.classes, names=samples.names, start=start, folds=2, keep=True,
        console=console, device=gpu_of(first.device), **{"weights": "full", "compatibility": "full", **options},
    )  # fmt: skip
    if console is not None:
        console.print(learned.verdict, highlight=False, soft_wrap=True)
    write_text(folder / "refiner.json", json.dumps(learned.best.as_dict(), indent=2) + "\n")


_LEARNED = ("iterations", "weights", "compatibility", "learn_bandwidths")
"""Options of the layer that learning has as well."""


def _recipe_of(segmenter: Path) -> Recipe:
    from segfield.segmenter import read_facts

    return Recipe.from_stored(read_facts(segmenter)["facts"]["recipe"])
