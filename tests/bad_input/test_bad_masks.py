"""Masks that do not fit, and data sets with too little in them: what is refused, and what still works."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.bad_input.conftest import CommandLine
from tests.bad_input.folders import NETWORK, QUICK, SIZE, picture, truth, write_folder, write_mask
from tests.told import says


def _sevens() -> np.ndarray:
    values = truth()
    values[:4] = 7
    return values


@pytest.mark.parametrize(
    ("values", "checked", "sentence"),
    [
        (truth((30, 48)), "another size than the image", "48×32 pixels but its mask {mask} is 48×30; give a mask of"),
        (_sevens(), "value 7: 192 pixels", "{mask}: the mask has the value 7 (192 pixels)"),
    ],
    ids=["another size", "an unknown value"],
)
def test_a_mask_that_does_not_fit_is_named(
    segfield: CommandLine,
    data: Path,
    segmenter: Path,
    tmp_path: Path,
    values: np.ndarray,
    checked: str,
    sentence: str,
) -> None:
    (data / "classes.txt").write_text("background\nforeground\n")
    mask = data / "masks" / "train" / "2.png"
    write_mask(mask, values)
    told = segfield("check", data)
    assert told.status == 1 and checked in told.out and str(mask) in told.out
    train = ("train", data, "--out", tmp_path / "run", *NETWORK)
    evaluate = (
        "evaluate",
        segmenter,
        data,
        "--split",
        "train",
        "--allow_seen",
        "true",
        "--out",
        tmp_path / "scores",
        *QUICK,
    )
    for words in (train, evaluate):
        assert says(sentence.format(mask=mask), segfield.refuses(*words))
    write_mask(mask, truth())
    for words in (train, evaluate):
        segfield.works(*words)


@pytest.mark.parametrize("content", [b"", b"no mask", None], ids=["empty", "no image", "truncated"])
def test_a_broken_mask_is_named(segfield: CommandLine, data: Path, tmp_path: Path, content: bytes | None) -> None:
    mask = data / "masks" / "train" / "2.png"
    mask.write_bytes(mask.read_bytes()[:60] if content is None else content)
    told = segfield("check", data)
    assert told.status == 1 and str(mask) in told.out
    said = segfield.refuses("train", data, "--out", tmp_path / "run", *NETWORK)
    assert str(mask) in said and "mask" in said.replace(str(mask), "")


def test_one_ignored_mask_is_no_harm(segfield: CommandLine, data: Path, segmenter: Path, tmp_path: Path) -> None:
    for split in ("train/2.png", "val/3.png"):
        write_mask(data / "masks" / split, np.full(SIZE, 255))
    told = segfield.works("check", data)
    assert "ignored in 2 of 4" in told.out
    told = segfield.works("train", data, "--out", tmp_path / "run", *NETWORK)
    assert "nan" not in told.out
    segfield.works(
        "evaluate", segmenter, data, "--split", "all", "--allow_seen", "true", "--out", tmp_path / "scores", *QUICK
    )


def test_nothing_but_ignored_pixels(segfield: CommandLine, data: Path, segmenter: Path, tmp_path: Path) -> None:
    (data / "classes.txt").write_text("background\nforeground\nedge\n")
    for file in (data / "masks" / "val").iterdir():
        write_mask(file, np.full(SIZE, 255))
    train = ("train", data, "--out", tmp_path / "run", *NETWORK)
    told = segfield("check", data)
    assert told.status == 1 and "'val' is ignored" in told.out
    assert says("split 'val' … labelled", segfield.refuses(*train))
    for file in (data / "masks" / "train").iterdir():
        write_mask(file, np.full(SIZE, 255))
    assert segfield("check", data).status == 1
    assert says("every mask … ignored id 255", segfield.refuses(*train))
    (data / "classes.txt").write_text("background\nforeground\n")
    write_mask(data / "masks" / "train" / "0.png", truth())
    evaluate = ("evaluate", segmenter, data, "--split", "val", "--out", tmp_path / "scores", *QUICK)
    assert says("split 'val' … not ignored", segfield.refuses(*evaluate))
    assert not (tmp_path / "scores" / "scores.json").exists()


def test_one_class_alone_cannot_be_learned(segfield: CommandLine, data: Path, tmp_path: Path) -> None:
    for file in (data / "masks").rglob("*.png"):
        write_mask(file, np.zeros(SIZE))
    told = segfield("check", data)
    assert told.status == 1 and "only class" in told.out
    said = segfield.refuses("train", data, "--out", tmp_path / "run", *NETWORK)
    assert says("only class … label another class", said)


def test_no_images_and_no_masks(segfield: CommandLine, segmenter: Path, tmp_path: Path) -> None:
    empty, bare = tmp_path / "empty", write_folder(tmp_path / "bare", masks=False)
    empty.mkdir()
    for folder, sentence in (
        (empty, f"no image files … put images into {empty / 'images'}"),
        (bare, f"4 images … no masks … put masks … into {bare / 'masks'}"),
        (tmp_path / "bear", "there is nothing at"),
    ):
        told = segfield("check", folder)
        assert told.status in (1, 2) and says(sentence, told.out + told.err)
        assert says(sentence, segfield.refuses("train", folder, "--out", tmp_path / "run", *NETWORK))
        assert says(sentence, segfield.refuses("evaluate", segmenter, folder, "--out", tmp_path / "scores", *QUICK))
    segfield.works("predict", segmenter, bare / "images", "--out", tmp_path / "out", "--device", "cpu")


def test_one_image(segfield: CommandLine, segmenter: Path, tmp_path: Path) -> None:
    for kind in ("images", "masks"):
        (tmp_path / "data" / kind).mkdir(parents=True)
    data = tmp_path / "data"
    picture().save(data / "images" / "a.png")
    write_mask(data / "masks" / "a.png", truth())
    assert says("one sample … measure on", segfield.works("check", data).out)
    train = ("train", data, "--out", tmp_path / "run", *NETWORK)
    assert says("one labelled image … --val_split train", segfield.refuses(*train))
    segfield.works(*train, "--val_split", "train")
    evaluate = ("evaluate", segmenter, data, "--out", tmp_path / "scores", *QUICK)
    assert says("all, train … --split", segfield.refuses(*evaluate))
    segfield.works(*evaluate, "--split", "all")


def test_fewer_images_than_a_batch(segfield: CommandLine, tmp_path: Path) -> None:
    data = write_folder(tmp_path / "data", 2)
    told = segfield.works("train", data, "--out", tmp_path / "run", *NETWORK, "--batch_size", "16")
    assert "training on 1, validating on 1" in told.out


def test_colour_masks_of_too_many_colours(segfield: CommandLine, data: Path, tmp_path: Path) -> None:
    """A photo where a mask should be: what is wrong is said, not thousands of classes made."""
    for file in (data / "masks").rglob("*.png"):
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)).save(file)
    said = segfield.refuses("train", data, "--out", tmp_path / "run", *NETWORK)
    assert "colours" in said and "classes.txt" in said
