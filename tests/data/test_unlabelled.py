"""Images to learn from without masks: where they are found, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from segfield.classes import ClassTable
from segfield.data.dataset import Dataset, Sample
from segfield.data.formats import open_dataset
from segfield.data.unlabelled import check_values, open_unlabelled, other_than
from segfield.data.value_range import ValueRange
from segfield.errors import DataError
from tests.bad_input.folders import picture, truth, write_folder, write_mask


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Four images with a mask, and one without."""
    folder = write_folder(tmp_path / "data")
    picture(9).save(folder / "images" / "train" / "9.png")
    return folder


def test_a_split(data: Path) -> None:
    dataset = open_dataset(data)
    assert "unlabelled" in dataset.splits
    found = open_unlabelled("unlabelled", dataset)
    assert len(found) == 1 and found[0].labels is None
    with_masks = open_unlabelled("train", dataset)
    assert len(with_masks) == 2 and all(sample.labels is None for sample in with_masks)
    assert "2 images" in with_masks.describe() and with_masks.split("train") is with_masks


def test_a_folder_of_images_and_a_data_set(data: Path, tmp_path: Path) -> None:
    dataset = open_dataset(data)
    loose = tmp_path / "loose"
    loose.mkdir()
    for number in range(3):
        picture(number).save(loose / f"{number}.png")
    assert len(open_unlabelled(str(loose), dataset)) == 3
    assert len(open_unlabelled(str(data), dataset)) == 5
    assert len(open_unlabelled("scenes:count=4,size=32x32", dataset)) == 4


def test_bad_masks_are_not_read(data: Path) -> None:
    write_mask(data / "masks" / "train" / "0.png", truth((5, 5)))
    assert open_unlabelled("train", open_dataset(data))[0].image.shape == (3, 32, 48)


def test_what_is_not_there(data: Path, tmp_path: Path) -> None:
    dataset = open_dataset(write_folder(tmp_path / "whole"))
    with pytest.raises(DataError, match="--unlabelled FOLDER"):
        open_unlabelled("unlabelled", dataset)
    with pytest.raises(DataError, match="train, val"):
        open_unlabelled(str(tmp_path / "nowhere"), dataset)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError):
        open_unlabelled(str(tmp_path / "empty"), dataset)


class Arrays(Dataset):
    """Images of these values, 4×4 pixels of one band."""

    classes = ClassTable(("a", "b"))
    splits = ("all",)

    def __init__(self, *highest: float, dtype: str = "uint16") -> None:
        self.images = [np.linspace(0, high, 16).reshape(1, 4, 4).astype(dtype) for high in highest]

    @property
    def names(self) -> list[str]:
        return [f"image{number}" for number in range(len(self.images))]

    def __getitem__(self, index: int) -> Sample:
        return Sample(self.names[index], self.images[index])

    def split(self, name: str) -> Dataset:
        return self

    def describe(self) -> str:
        return "arrays"


def test_values_must_mean_the_same() -> None:
    twelve = ValueRange("uint16", 4095.0)
    check_values(Arrays(100, 3000), twelve)
    with pytest.raises(DataError, match=r"65535.*4095.*--unlabelled"):
        check_values(Arrays(100, 60000), twelve)
    with pytest.raises(DataError, match="one range"):
        check_values(Arrays(100, 3000), ValueRange("uint16", 65535.0))
    with pytest.raises(DataError, match="image1"):
        check_values(Arrays(1.0, math.nan, dtype="float32"), ValueRange("float32", 1.0))


def test_images_to_judge_on_are_found_by_their_pixels() -> None:
    assert other_than(["aaaaaaaa00000000"], ["aaaaaaaa11111111", "bbbbbbbb00000000"]) == [1]
