"""Segmenter files that are none, or not for this data: refused in a sentence, and earlier outputs stay."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from segfield.segmenter import read_facts
from tests.bad_input.conftest import CommandLine
from tests.bad_input.folders import NETWORK, QUICK, SIZE, contents, write_mask


def _described(file: Path, segmenter: Path, **changes: object) -> None:
    document = {**read_facts(segmenter), **changes}
    save_file(load_file(segmenter), file, metadata={"segfield": json.dumps(document)})


def _other_class_count(file: Path, segmenter: Path) -> None:
    described = dict(read_facts(segmenter))
    _described(
        file,
        segmenter,
        classes={"names": ["a", "b", "c"]},
        classifier={**described["classifier"], "classes": 3},
    )


WRONG: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "a pickle": (lambda file, _: file.write_bytes(pickle.dumps({"a": 1})), "is a pickle (a torch.save file)"),
    "a checkpoint": (lambda file, _: torch.save({"a": torch.ones(2)}, file), "because it can run code; give the"),
    "truncated": (lambda file, good: file.write_bytes(good.read_bytes()[:-100]), "is not a whole segmenter file"),
    "empty": (lambda file, _: file.write_bytes(b""), "it was cut short or changed, copy it again"),
    "text": (lambda file, _: file.write_text("weights"), "is not a whole segmenter file"),
    "an encoder": (lambda file, _: save_file({"a": torch.ones(2)}, file), "encoder weights go to `segfield train"),
    "a folder": (lambda file, _: file.mkdir(), "there is no segmenter file"),
    "missing": (lambda file, _: None, "`segfield train` writes one as RUN/segmenter.safetensors"),
    "of a newer format": (lambda file, good: _described(file, good, format=9), "install the newer segfield"),
    "of another network": (_other_class_count, "its weights are not those of the network it names"),
    "of fewer classes": (
        lambda file, good: _described(file, good, classes={"names": ["a"]}),
        "the network has 2 classes but the class table has 1",
    ),
    "without classes": (lambda file, good: _described(file, good, classes=7), "take the original again"),
    "without a description": (
        lambda file, good: save_file(load_file(good), file, metadata={"segfield": "[1]"}),
        "describes no segmenter",
    ),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_no_segmenter_is_refused(
    segfield: CommandLine, data: Path, segmenter: Path, tmp_path: Path, kind: str
) -> None:
    make, sentence = WRONG[kind]
    file, out = tmp_path / "given.safetensors", tmp_path / "out"
    make(file, segmenter)
    said = segfield.refuses("predict", file, data / "images", "--out", out, "--device", "cpu")
    assert sentence in said and str(file) in said
    said = segfield.refuses("evaluate", file, data, "--out", tmp_path / "scores", *QUICK)
    assert sentence in said
    assert not out.exists() and not (tmp_path / "scores").exists()


def test_earlier_predictions_stay(segfield: CommandLine, data: Path, segmenter: Path, tmp_path: Path) -> None:
    out, cut = tmp_path / "out", tmp_path / "cut.safetensors"
    segfield.works("predict", segmenter, data / "images", "--out", out, "--device", "cpu")
    before = contents(out)
    cut.write_bytes(segmenter.read_bytes()[:-100])
    for words in (("predict", cut), ("predict", cut, "--overwrite")):
        segfield.refuses(words[0], words[1], data / "images", "--out", out, "--device", "cpu", *words[2:])
    said = segfield.refuses("predict", segmenter, data / "images", "--out", out, "--device", "cpu", "--flips", "all")
    assert "holds results of other settings" in said and "--overwrite to make them anew" in said
    assert contents(out) == before


def test_a_segmenter_of_another_class_count(segfield: CommandLine, data: Path, segmenter: Path, tmp_path: Path) -> None:
    for file in (data / "masks").rglob("*.png"):
        write_mask(file, np.arange(SIZE[0] * SIZE[1]).reshape(SIZE) % 3)
    evaluate = ("evaluate", segmenter, data, "--out", tmp_path / "scores", *QUICK)
    said = segfield.refuses(*evaluate)
    assert "the segmenter knows 2 classes (background, foreground) and the data set has 3" in said
    assert "give the data set's table with --classes" in said
    (tmp_path / "two.yaml").write_text("names: [background, foreground]\nsource_values: {0: 0, 1: 1, 2: 255}\n")
    segfield.works(*evaluate, "--classes", tmp_path / "two.yaml")


def test_a_segmenter_of_other_names(segfield: CommandLine, data: Path, segmenter: Path, tmp_path: Path) -> None:
    (data / "classes.txt").write_text("road\nsky\n")
    said = segfield.refuses("evaluate", segmenter, data, "--out", tmp_path / "scores", *QUICK)
    assert "name their classes differently (0: background / road, 1: foreground / sky)" in said


@pytest.mark.parametrize("kind", ["a pickle", "truncated", "of another encoder", "missing"])
def test_encoder_files_that_are_none(
    segfield: CommandLine, data: Path, segmenter: Path, tmp_path: Path, kind: str
) -> None:
    file = tmp_path / ("encoder.pth" if kind == "a pickle" else "encoder.safetensors")
    if kind == "a pickle":
        file.write_bytes(pickle.dumps({}))
    elif kind != "missing":
        file.write_bytes(segmenter.read_bytes()[: -100 if kind == "truncated" else None])
    said = segfield.refuses(
        "train", data, "--out", tmp_path / "run", *NETWORK,
        "--model", "unet:resnet10t", "--options", "{}", "--weights", file,
    )  # fmt: skip
    assert str(file) in said
    assert {
        "a pickle": "pickled weights are not opened because they can run code; convert them first",
        "truncated": "is not a whole safetensors file",
        "of another encoder": "holds weights of another encoder",
        "missing": "there is no weights file",
    }[kind] in said


def test_a_damaged_resume_state_is_named(segfield: CommandLine, data: Path, tmp_path: Path) -> None:
    train = ("train", data, "--out", tmp_path / "run", *NETWORK)
    segfield.works(*train)
    state = tmp_path / "run" / "resume.safetensors"
    state.write_bytes(state.read_bytes()[:-100])
    before = contents(tmp_path / "run")
    assert "resume.safetensors is not a whole resume state" in segfield.refuses(*train)
    assert contents(tmp_path / "run") == before
    (tmp_path / "run" / "recipe.yaml").write_text("data: [\n")
    assert "recipe.yaml is damaged" in segfield.refuses(*train)
