"""Images a segmenter was trained on are known again, refused, and what the folds of a run left out is found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segfield.classes import Array, ClassTable
from segfield.data.dataset import Dataset, Sample, folds, unknown_split
from segfield.errors import SettingError
from segfield.training.data_changes import checksum
from segfield.training.recipe import Recipe
from segfield.training.seen import chosen_split, refuse_seen, seen, trained_on


class Split(Dataset):
    """Samples n0, n1 … of noise that follows from `seed`; the first `train` of them are the split 'train', the rest 'val'."""

    def __init__(self, count: int = 10, train: int = 6, seed: int = 0, part: str = "all", bands: int = 3) -> None:
        self.classes = ClassTable(("a", "b"))
        self.given = (count, train, seed)
        self.bands, self.split_name = bands, part
        self.positions = {"all": range(count), "train": range(train), "val": range(train, count)}[part]

    @property
    def names(self) -> list[str]:
        return [f"n{i}" for i in self.positions]

    @property
    def splits(self) -> tuple[str, ...]:
        return ("train", "val")

    def split(self, name: str) -> Dataset:
        if name not in self.splits:
            raise unknown_split(name, self.splits)
        return Split(*self.given, name, self.bands)

    def __getitem__(self, index: int) -> Sample:
        position = self.positions[index]
        image: Array = np.random.default_rng([self.given[2], position]).integers(0, 256, (1, 4, 5), dtype=np.uint8)
        image = np.repeat(image, self.bands, axis=0)
        return Sample(f"n{position}", image, np.zeros((4, 5), np.uint8))

    def describe(self) -> str:
        return "noise"


def facts(train: Dataset, recipe: Recipe, tell: bool = True) -> dict[str, object]:
    told = {"trained_on": trained_on(recipe, {sample.name: checksum(sample) for sample in train})} if tell else {}
    return {"recipe": recipe.as_dict(), **told}


@pytest.mark.parametrize("tell", [True, False])
def test_the_training_split_is_known_again_and_the_others_are_not(tell: bool) -> None:
    whole = Split()
    known = facts(whole.split("train"), Recipe(data="x"), tell)
    assert seen(known, whole.split("train"), whole, 3) == [f"n{i}" for i in range(6)]
    assert seen(known, whole.split("val"), whole, 3) == []
    assert seen(known, whole, whole, 3) == [f"n{i}" for i in range(6)]


def test_other_images_of_the_same_names_are_not_the_same() -> None:
    known = facts(Split().split("train"), Recipe(data="x"))
    other = Split(seed=1)
    assert seen(known, other.split("train"), other, 3) == []


def test_grey_copies_of_what_was_trained_on_as_rgb_are_the_same() -> None:
    known = facts(Split().split("train"), Recipe(data="x"))
    grey = Split(bands=1)
    assert len(seen(known, grey.split("train"), grey, 3)) == 6


@pytest.mark.parametrize("tell", [True, False])
@pytest.mark.parametrize("draw", ["stretches", "random"])
def test_a_fold_knows_what_it_left_out(tell: bool, draw: str) -> None:
    whole = Split()
    recipe = Recipe(data="x", folds=3, fold=1, seed=5, fold_draw=draw)  # type: ignore[arg-type]
    train, left_out = folds(whole.split("train"), 3, recipe.fold_seed)[1]
    known = facts(train, recipe, tell)
    assert seen(known, whole.split("train"), whole, 3) == list(train.names)
    assert list(chosen_split(known, whole, "held_out", "score").names) == list(left_out.names)
    assert seen(known, chosen_split(known, whole, "held_out", "score"), whole, 3) == []


def test_folds_of_before_there_were_stretches_were_drawn_at_random() -> None:
    whole = Split()
    recipe = Recipe(data="x", folds=3, fold=1, seed=5, fold_draw="random")
    old = {key: value for key, value in recipe.as_dict().items() if key != "fold_draw"}
    left_out = folds(whole.split("train"), 3, 5)[1][1]
    assert list(chosen_split({"recipe": old}, whole, "held_out", "score").names) == list(left_out.names)


def test_what_a_segmenter_started_from_counts_too(tmp_path: Path) -> None:
    from tests.training.test_held_out import segmenter

    file = tmp_path / "segmenter.safetensors"
    segmenter(ClassTable(("a", "b")), trained_on={"before": "00000000"}).save(file)
    for start in (file, tmp_path):
        found = trained_on(Recipe(data="x", start=str(start)), {"now": "0123456789abcdef"})
        assert found == {"before": "00000000", "now": "01234567"}


def test_seen_images_are_refused_unless_allowed() -> None:
    whole = Split()
    with pytest.raises(SettingError, match=r"2 of 6 .*'train'.*--allow_seen"):
        refuse_seen(["n0", "n1"], whole.split("train"), False, "too good")
    assert "2 of 6" in refuse_seen(["n0", "n1"], whole.split("train"), True, "too good")
    assert refuse_seen([], whole.split("val"), False, "too good") == ""


def test_splits_are_chosen_by_name() -> None:
    whole = Split()
    assert len(chosen_split({}, whole, "all", "score")) == 10
    with pytest.raises(SettingError, match=r"vall.*did you mean val"):
        chosen_split({}, whole, "vall", "score")
    with pytest.raises(SettingError, match=r"--folds.*train, val"):
        chosen_split({}, whole, "held_out", "score")
