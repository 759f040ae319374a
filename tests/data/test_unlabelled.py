"""Images to learn from without masks: where they are found, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from segfield.data.formats import open_dataset
from segfield.data.unlabelled import open_unlabelled, other_than
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


def test_images_to_judge_on_are_found_by_their_pixels() -> None:
    assert other_than(["aaaaaaaa00000000"], ["aaaaaaaa11111111", "bbbbbbbb00000000"]) == [1]
