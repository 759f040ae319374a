"""A CRF learned out of fold: each image's scores come from the network that did not see it; what is there is taken up."""

from __future__ import annotations

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segfield.crf.dense_crf import DenseCRF
from segfield.crf.learn import learn
from segfield.errors import SettingError
from segfield.segmenter import Segmenter
from segfield.training.out_of_fold import after_folds, crf_out_of_fold
from segfield.training.recipe import Recipe
from segfield.training.setup import open_splits
from segfield.training.stages import fit_in_stages, stage_recipes
from tests.training.test_refined import RECIPE, refiner_file


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    folder = tmp_path_factory.mktemp("folds")
    return dataclasses.replace(
        RECIPE, out=str(folder / "run"), crf_folds=2, epochs=None, steps=20, crf_start=refiner_file(folder),
        crf_options={"iterations": 2, "test_iterations": 3, "weights": "diagonal", "compatibility": "potts"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def fitted(recipe: Recipe) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("segfield.training.out_of_fold.learn", functools.partial(learn, steps=1, decay=1e-2))
        fit_in_stages(recipe)
    return Path(recipe.out)


def test_each_image_is_scored_by_the_network_that_did_not_see_it(recipe: Recipe, fitted: Path) -> None:
    folds = fitted / "stages" / "folds"
    scores = {file.name for file in (folds / "scores").glob("*.npy")}
    whole = open_splits(dataclasses.replace(recipe, crf="none", crf_folds=0))[0]
    assert len(scores) == len(whole)
    seen = []
    for fold in range(2):
        facts = Segmenter.load(folds / f"fold{fold}" / "segmenter.safetensors", device="cpu").facts
        own = Recipe.from_dict(facts["recipe"])
        assert (own.folds, own.fold, own.crf, own.steps) == (2, fold, "none", 4)
        seen.append({*open_splits(own)[0].names})
    assert not seen[0] & seen[1] and seen[0] | seen[1] == {*whole.names}


def test_the_joint_training_starts_from_what_was_learned(fitted: Path) -> None:
    learned = DenseCRF.from_dict(json.loads((fitted / "stages" / "folds" / "refiner.json").read_text(encoding="utf-8")))
    assert np.shape(learned.bilateral_weight) == (10,)
    final = Segmenter.load(fitted / "segmenter.safetensors", device="cpu")
    assert isinstance(final.refiner, DenseCRF) and final.facts["recipe"]["crf"] == "joint"
    assert final.refiner.bilateral_sxy == pytest.approx(learned.bilateral_sxy)
    moved = np.array(final.refiner.bilateral_weight) - np.array(learned.bilateral_weight)
    assert 0 < np.abs(moved).max() < 0.2


def test_a_second_start_takes_up_what_is_there(recipe: Recipe, fitted: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in fitted.rglob("*.npy")}
    trained: list[Any] = []
    crf_out_of_fold(recipe, lambda part, console: trained.append(part.out))
    found = after_folds(recipe)
    assert trained == [str(fitted / "stages" / "folds" / f"fold{fold}") for fold in range(2)]
    assert {file: file.stat().st_mtime_ns for file in fitted.rglob("*.npy")} == before
    assert found.steps == 12 and found.crf_start == str(fitted / "stages" / "folds" / "refiner.json")


def test_stages_after_the_folds() -> None:
    recipe = dataclasses.replace(RECIPE, crf_folds=3, epochs=10)
    assert [name for name, _ in stage_recipes(recipe)] == ["network", "both"]
    (_, network), (_, crf) = stage_recipes(dataclasses.replace(recipe, crf="learn"))
    assert network.crf == "none" and (crf.crf, crf.crf_rate) == ("learn", 0.0)


def test_what_does_not_go_together_is_said() -> None:
    with pytest.raises(SettingError, match="give crf, and neither folds"):
        dataclasses.replace(RECIPE, crf="none", crf_folds=2)
    with pytest.raises(SettingError, match="2 folds or more"):
        dataclasses.replace(RECIPE, crf_folds=1)
