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
from tests.told import says


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
    "a checkpoint": (lambda file, _: torch.save({"a": torch.ones(2)}, file), "can run code … give the"),
    "truncated": (lambda file, good: file.write_bytes(good.read_bytes()[:-100]), "not a whole segmenter"),
    "empty": (lambda file, _: file.write_bytes(b""), "cut short … copy it again"),
    "text": (lambda file, _: file.write_text("weights"), "not a whole segmenter"),
    "an encoder": (lambda file, _: save_file({"a": torch.ones(2)}, file), "encoder weights … segfield train"),
    "a folder": (lambda file, _: file.mkdir(), "no segmenter file"),
    "missing": (lambda file, _: None, "segfield train … RUN/segmenter.safetensors"),
    "of a newer format": (lambda file, good: _described(file, good, format=9), "install the newer segfield"),
    "of another network": (_other_class_count, "weights … not … network it names"),
    "of fewer classes": (
        lambda file, good: _described(file, good, classes={"names": ["a"]}),
        "2 classes … class table has 1",
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
    assert says(sentence, said) and str(file) in said
    said = segfield.refuses("evaluate", file, data, "--out", tmp_path / "scores", *QUICK)
    assert says(sentence, said)
    assert not out.exists() and not (tmp_path / "scores").exists()


def test_earlier_predictions_stay(segfield: CommandLine, data: Path, segmenter: Path, tmp_path: Path) -> None:
    out, cut = tmp_path / "out", tmp_path / "cut.safetensors"
    segfield.works("predict", segmenter, data / "images", "--out", out, "--device", "cpu")
    before = contents(out)
    cut.write_bytes(segmenter.read_bytes()[:-100])
    for words in (("predict", cut), ("predict", cut, "--overwrite")):
        segfield.refuses(words[0], words[1], data / "images", "--out", out, "--device", "cpu", *words[2:])
    said = segfield.refuses("predict", segmenter, data / "images", "--out", out, "--device", "cpu", "--flips", "all")
    assert "results of other settings" in said and "--overwrite" in said
    assert contents(out) == before


def test_a_segmenter_of_another_class_count(segfield: CommandLine, data: Path, segmenter: Path, tmp_path: Path) -> None:
    for file in (data / "masks").rglob("*.png"):
        write_mask(file, np.arange(SIZE[0] * SIZE[1]).reshape(SIZE) % 3)
    evaluate = ("evaluate", segmenter, data, "--out", tmp_path / "scores", *QUICK)
    said = segfield.refuses(*evaluate)
    assert says("2 classes (background, foreground) … data set has 3", said)
    assert "--classes" in said
    (tmp_path / "two.yaml").write_text("names: [background, foreground]\nsource_values: {0: 0, 1: 1, 2: 255}\n")
    segfield.works(*evaluate, "--classes", tmp_path / "two.yaml")


def test_a_segmenter_of_other_names(segfield: CommandLine, data: Path, segmenter: Path, tmp_path: Path) -> None:
    (data / "classes.txt").write_text("road\nsky\n")
    said = segfield.refuses("evaluate", segmenter, data, "--out", tmp_path / "scores", *QUICK)
    assert "0: background / road, 1: foreground / sky" in said


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
    mend = {
        "a pickle": "pickled weights … convert them",
        "truncated": "not a whole safetensors",
        "of another encoder": "weights of another encoder",
        "missing": "no weights file",
    }[kind]
    assert says(mend, said)


def test_a_damaged_resume_state_is_named(segfield: CommandLine, data: Path, tmp_path: Path) -> None:
    train = ("train", data, "--out", tmp_path / "run", *NETWORK)
    segfield.works(*train)
    state = tmp_path / "run" / "resume.safetensors"
    state.write_bytes(state.read_bytes()[:-100])
    before = contents(tmp_path / "run")
    assert says("resume.safetensors … not a whole", segfield.refuses(*train))
    assert contents(tmp_path / "run") == before
    (tmp_path / "run" / "recipe.yaml").write_text("data: [\n")
    assert "recipe.yaml is damaged" in segfield.refuses(*train)
