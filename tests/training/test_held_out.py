"""What is tuned on: splits that were seen are refused, folds find their own images, probabilities are predicted once."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from segfield.classes import ClassTable
from segfield.crf.dense_crf import DenseCRF
from segfield.data.dataset import Dataset, folds
from segfield.data.formats import open_dataset
from segfield.errors import DataError, SettingError
from segfield.models import build_classifier
from segfield.segmenter import ClassifierSpec, Scaling, Segmenter
from segfield.training.held_out import HeldOut, Part, fold_parts, limited, weights_hash
from segfield.training.recipe import Recipe

DATA = "scenes:count=12,size=32x48"


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return open_dataset(DATA)


def segmenter(classes: ClassTable, seed: int = 0, **facts: object) -> Segmenter:
    torch.manual_seed(seed)
    options = {"width": 2, "levels": 2}
    spec = ClassifierSpec("unet_padded", 3, len(classes), options)
    scaling = Scaling((120.0,) * 3, (60.0,) * 3)
    return Segmenter(build_classifier("unet_padded", 3, len(classes), options=options), spec, classes, scaling, facts)


def fold_runs(
    folder: Path,
    classes: ClassTable,
    chosen: list[int],
    count: int = 3,
    seed_of_last: int = 7,
    draw: str | None = "random",
) -> None:
    """Segmenters of a cross-validation; where `draw` is None, of before there was that setting."""
    for fold in chosen:
        seed = seed_of_last if fold == chosen[-1] else 7
        recipe = Recipe(data="elsewhere", folds=count, fold=fold, seed=seed)
        settings = recipe.as_dict() | {"fold_draw": draw}
        if draw is None:
            del settings["fold_draw"]
        (folder / f"fold{fold}").mkdir(parents=True)
        segmenter(classes, seed=fold, recipe=settings).save(folder / f"fold{fold}" / "segmenter.safetensors")


def _recipe(file: Path) -> Recipe:
    return Recipe.from_stored(Segmenter.load(file, device="cpu").facts["recipe"])


@pytest.mark.parametrize(("draw", "stored"), [("stretches", "stretches"), ("random", "random"), ("random", None)])
def test_each_fold_predicts_the_images_its_training_left_out(
    tmp_path: Path, dataset: Dataset, draw: str, stored: str | None
) -> None:
    fold_runs(tmp_path, dataset.classes, [0, 1, 2], draw=stored)
    parts = fold_parts(tmp_path, DATA, None, _recipe)
    pairs = folds(dataset.split("train"), 3, seed=7 if draw == "random" else None)
    assert [part.segmenter.parent.name for part in parts] == ["fold0", "fold1", "fold2"]
    for part, (train, left_out) in zip(parts, pairs):
        assert list(part.dataset.names) == list(left_out.names)
        assert not {*part.dataset.names} & {*train.names}
    assert sorted(name for part in parts for name in part.dataset.names) == sorted(dataset.split("train").names)


@pytest.mark.parametrize(
    ("chosen", "seed_of_last", "said"),
    [
        ([], 7, "--folds 5 --fold 0"),
        ([0, 2], 7, "folds 0, 2 of 3"),
        ([0, 1, 2], 8, "2 settings of folds"),
    ],
)
def test_folds_that_do_not_make_a_cross_validation_are_said(
    tmp_path: Path, dataset: Dataset, chosen: list[int], seed_of_last: int, said: str
) -> None:
    fold_runs(tmp_path, dataset.classes, chosen, seed_of_last=seed_of_last)
    with pytest.raises(SettingError, match=said):
        fold_parts(tmp_path, DATA, None, _recipe)


def test_a_limit_draws_by_seed_over_all_parts(dataset: Dataset) -> None:
    parts = [Part(Path("a"), dataset.subset(range(5))), Part(Path("b"), dataset.subset(range(5, 12)))]
    few = limited(parts, 6, seed=0)
    names = [name for part in few for name in part.dataset.names]
    assert len(names) == len(set(names)) == 6
    assert names == sorted(names, key=list(dataset.names).index)
    for part in few:
        whole = next(other for other in parts if other.segmenter == part.segmenter)
        assert {*part.dataset.names} <= {*whole.dataset.names}
    draws = {tuple(name for part in limited(parts, 6, seed) for name in part.dataset.names) for seed in range(5)}
    assert len(draws) > 1
    assert limited(parts, 0, 0) == limited(parts, 12, 0) == parts
    with pytest.raises(SettingError, match="limit"):
        limited(parts, -1, 0)


@pytest.fixture
def saved(tmp_path: Path, dataset: Dataset) -> Path:
    return segmenter(dataset.classes).save(tmp_path / "segmenter.safetensors")


def test_probabilities_are_predicted_once_and_without_a_refiner(tmp_path: Path, dataset: Dataset, saved: Path) -> None:
    chosen = dataset.subset(range(3))
    samples = HeldOut([Part(saved, chosen)], tmp_path / "p", 3)
    loads: list[Path] = []

    def load(file: Path) -> Segmenter:
        loads.append(file)
        loaded = Segmenter.load(file, device="cpu")
        loaded.refiner = DenseCRF(bilateral_weight=50.0)  # must not be used
        return loaded

    steps: list[int] = []
    assert samples.predict(load, None, lambda: steps.append(1)) == 3
    samples.file(1).unlink()  # as if it had been stopped
    assert samples.predict(load, None, lambda: steps.append(1)) == 1
    assert samples.predict(load, None, lambda: steps.append(1)) == 0
    assert len(loads) == 2, "nothing left to predict, nothing loaded"
    assert len(steps) == 9
    plain = Segmenter.load(saved, device="cpu")
    for i in range(3):
        image, probabilities, labels = samples[i]
        assert probabilities.dtype == np.float16
        np.testing.assert_array_equal(probabilities, plain(chosen[i].image, probabilities=True).probabilities)
        np.testing.assert_array_equal(image, chosen[i].image)
        np.testing.assert_array_equal(labels, chosen[i].labels)
    assert len(samples[0:2]) == 2


def test_the_folder_is_taken_up_by_the_same_weights_alone(tmp_path: Path, dataset: Dataset, saved: Path) -> None:
    samples = HeldOut([Part(saved, dataset.subset(range(2)))], tmp_path / "p", 3)
    samples.claim(samples.origin({"data": DATA}), overwrite=False)
    samples.predict(lambda file: Segmenter.load(file, device="cpu"), None, lambda: None)
    carrying = Segmenter.load(saved, device="cpu")
    carrying.refiner = DenseCRF()
    carrying.save(saved)
    samples.claim(samples.origin({"data": DATA}), overwrite=False)
    assert samples.file(0).is_file(), "a refiner in the file does not change its probabilities"
    segmenter(dataset.classes, seed=1).save(saved)
    with pytest.raises(SettingError, match=r"another segmenter.*--overwrite"):
        samples.claim(samples.origin({"data": DATA}), overwrite=False)
    samples.claim(samples.origin({"data": DATA}), overwrite=True)
    assert not samples.file(0).exists()


def test_the_hash_is_of_the_weights(tmp_path: Path, dataset: Dataset, saved: Path) -> None:
    same = segmenter(dataset.classes, more="facts").save(tmp_path / "same")
    other = segmenter(dataset.classes, seed=3).save(tmp_path / "other")
    assert weights_hash(saved) == weights_hash(same) != weights_hash(other)


def test_an_image_without_labels_is_said(tmp_path: Path, dataset: Dataset, saved: Path) -> None:
    class Unlabelled(type(dataset)):  # type: ignore[misc]
        def __getitem__(self, index: int) -> object:
            return dataclasses.replace(dataset[index], labels=None)

    bare = Unlabelled.__new__(Unlabelled)
    bare.__dict__ = dataset.__dict__
    with pytest.raises(DataError, match="no labels"):
        HeldOut([Part(saved, bare)], tmp_path / "p", 3)[0]
