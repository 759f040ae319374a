"""`segfield tune`: the segmenter file gets what helps and stays as it is where nothing does; a second start goes on."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segfield.commands.arguments import call_with_words
from segfield.commands.tune import tune
from segfield.crf.dense_crf import DenseCRF
from segfield.crf.learn import learn
from segfield.crf.tuning import grid
from segfield.data.formats import open_dataset
from segfield.errors import SegfieldError, SettingError
from segfield.segmenter import Segmenter
from segfield.training.held_out import HeldOut
from tests.training.test_held_out import DATA, fold_runs, segmenter

SMALL = grid.Grid((6.0,), (8.0,), (20.0,), (1.0,))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return segmenter(open_dataset(DATA).classes, recipe={"train_split": "train"}).save(tmp_path / "s.safetensors")


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One setting, three iterations: what is tested is the verb."""
    monkeypatch.setattr(grid.Grid, "for_images", classmethod(lambda cls, *_: SMALL))
    settings = DenseCRF(gaussian_weight=1.0, iterations=3).as_dict()
    (tmp_path / "base.json").write_text(json.dumps(settings))


def _nearly_right(monkeypatch: pytest.MonkeyPatch, right: bool) -> None:
    """Probabilities that a good classifier would give: the truth, moved by two pixels unless `right`."""

    count = len(open_dataset(DATA).classes)

    def predict(self: HeldOut, load: object, tile: object, advance: Any) -> int:
        predicted = 0
        for i in range(len(self)):
            if not self.file(i).is_file():
                _, _, labels = self._labelled(i)
                moved = labels if right else np.roll(labels, 2, axis=1)
                moved = np.where(moved == 255, 0, moved)
                scores = np.where(np.arange(count)[:, None, None] == moved, 0.55, 0.0)
                self._keep(i, scores + (1 - scores.sum(axis=0)) / count)
                predicted += 1
            advance()
        return predicted

    monkeypatch.setattr(HeldOut, "predict", predict)


def _run(file: Path, *words: str) -> Any:
    out = file.parent / "tuning"
    given = [str(file), DATA, "--out", str(out), "--base", str(file.parent / "base.json"), "--device", "cpu", *words]
    return call_with_words("tune", tune, given)


def test_all_files_are_there_and_the_command_line_reaches_all(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = _run(
        file,
        "--folds",
        "2",
        "--limit",
        "2",
        "--keep",
        "--threads",
        "1",
        "--rounds",
        "0",
        "--allow_seen",
        "--split",
        "train",
    )
    out = file.parent / "tuning"
    document = json.loads((out / "tuning.json").read_text())
    assert document["images"] == len(found.names) == 2
    assert len(list((out / "probabilities").glob("*.npy"))) == 2
    assert document["facts"]["split"] == "train"
    html = (out / "tuning.html").read_text()
    assert found.verdict in html
    assert html.count("<img src") == 2 * 6
    carried = Segmenter.load(file, device="cpu").refiner
    assert carried == found.refiner == DenseCRF.from_dict(json.loads((out / "refiner.json").read_text()))
    last = capsys.readouterr().out.splitlines()[-1]
    assert found.verdict in last
    assert "tuning.html" in last


def test_what_does_not_help_leaves_the_file_alone(file: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    _nearly_right(monkeypatch, right=True)
    before = file.read_bytes()
    found = _run(file, "--folds", "2", "--rounds", "0", "--split", "train", "--allow_seen", "--limit", "3")
    assert found.refiner is None
    assert file.read_bytes() == before
    assert "as it was" in capsys.readouterr().out


def test_a_crf_that_no_longer_helps_is_taken_out(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _nearly_right(monkeypatch, right=True)
    loaded = Segmenter.load(file, device="cpu")
    loaded.refiner = DenseCRF()
    loaded.save(file)
    words = ("--folds", "2", "--rounds", "0", "--split", "train", "--allow_seen", "--limit", "3")
    _run(file, *words, "--write", "false")
    assert Segmenter.load(file, device="cpu").refiner == DenseCRF(), "--write false leaves the file alone"
    _run(file, *words, "--overwrite")
    assert Segmenter.load(file, device="cpu").refiner is None


def test_a_second_start_goes_on_with_what_is_there(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("--folds", "2", "--rounds", "0", "--split", "train", "--allow_seen", "--limit", "3", "--write", "false")
    predicted: list[int] = []
    original = HeldOut.predict
    monkeypatch.setattr(HeldOut, "predict", lambda self, *rest: predicted.append(original(self, *rest)))
    first = _run(file, *words)
    with pytest.raises(SettingError, match=r"holds a tuning already.*--overwrite"):
        _run(file, *words)
    (file.parent / "tuning" / "tuning.json").unlink()  # as if it had been stopped just before its end
    second = _run(file, *words)
    assert predicted == [3, 0]
    assert (first.runs, second.runs) == (3, 0)
    assert second.tried == first.tried
    third = _run(file, *words, "--overwrite")
    assert predicted == [3, 0, 0]
    assert third.runs == 3, "after an overwrite the trials are made anew: masks may have been mended"


def test_a_seen_split_is_refused_before_anything_is_written(file: Path) -> None:
    with pytest.raises(SettingError, match="trained on"):
        _run(file, "--split", "train")
    assert not (file.parent / "tuning").exists()


def test_folds_each_predict_their_own(file: Path, tmp_path: Path) -> None:
    classes = open_dataset(DATA).classes
    fold_runs(tmp_path / "cv", classes, [0, 1], count=2)
    found = _run(file, "--out_of_fold", str(tmp_path / "cv"), "--folds", "2", "--rounds", "0", "--keep", "--limit", "0")
    train = open_dataset(DATA).split("train")
    assert sorted(found.names) == sorted(train.names)
    origin = json.loads((file.parent / "tuning" / "probabilities" / "origin.json").read_text())
    assert len({*origin["segmenters"]}) == 2
    assert Segmenter.load(file, device="cpu").refiner == found.refiner
    untouched = Segmenter.load(tmp_path / "cv" / "fold0" / "segmenter.safetensors", device="cpu")
    assert untouched.refiner is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--split", "vall"], "did you mean val"),
        (["--base", "guided_filter"], "no dense CRF"),
        (["--limit", "-3"], "limit"),
        (["--folds", "1", "--limit", "2", "--split", "train", "--allow_seen"], "folds"),
        (["--out_of_fold", "nowhere"], "no runs of a cross-validation"),
    ],
)
def test_what_cannot_be_is_said(file: Path, words: list[str], said: str) -> None:
    with pytest.raises(SegfieldError, match=said):
        _run(file, *words)


def test_weights_are_learned_where_asked(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _nearly_right(monkeypatch, right=False)
    monkeypatch.setattr("segfield.crf.learn.learn", functools.partial(learn, steps=2, decay=1e-2))
    learned = _run(file, "--learn", "soft_iou", "--weights", "full", "--folds", "2", "--keep", "true")
    told = " ".join(capsys.readouterr().out.split())
    assert learned.verdict in told
    kept = Segmenter.load(file, device="cpu").refiner
    assert isinstance(kept, DenseCRF) and kept == learned.best and np.ndim(kept.bilateral_weight) == 2
    out = file.parent / "tuning"
    document = json.loads((out / "tuning.json").read_text())
    assert document["losses"][-1] <= document["losses"][0] and "mIoU" in document["measures"]
    assert json.loads((out / "refiner.json").read_text())["bilateral_weight"] == [
        list(row) for row in kept.bilateral_weight
    ]  # type: ignore[union-attr]
    page = (out / "tuning.html").read_text(encoding="utf-8")
    assert "What the CRF changed" in page and "learned for" in page


def test_overwriting_leaves_what_no_tuning_wrote(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _nearly_right(monkeypatch, right=True)
    words = ["--folds", "2", "--limit", "2", "--rounds", "0", "--threads", "1", "--gallery", "0"]
    out = file.parent / "tuning"
    mine = [out / "trials" / "mine.json", out / "probabilities" / "mine.npy", out / "notes.txt"]
    for each in mine:
        each.parent.mkdir(parents=True, exist_ok=True)
        each.write_text("mine")
    _run(file, *words)
    segmenter(open_dataset(DATA).classes, seed=1, recipe={"train_split": "train"}).save(file)
    _run(file, *words, "--overwrite")
    assert [each.read_text() for each in mine] == ["mine"] * 3
    with pytest.raises(SettingError, match=r"refiner\.json.*input.*--out"):
        _run(file, *words, "--overwrite", "--base", str(out / "refiner.json"))
    (out / "refiner.json").write_text("mine by now")
    with pytest.raises(SettingError, match=r"refiner\.json.*changed.*--out"):
        _run(file, *words, "--overwrite")
    assert (out / "refiner.json").read_text() == "mine by now" and (out / "tuning.json").is_file()


@pytest.mark.parametrize("name", ["tuning.html", "refiner.json", "tuning.json", "probabilities/origin.json"])
def test_a_file_that_no_tuning_wrote_stays(file: Path, name: str) -> None:
    mine = file.parent / "tuning" / name
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    for words in ([], ["--overwrite"]):
        with pytest.raises(SettingError, match=r"not written.*--out|holds a tuning.*--out"):
            _run(file, *words)
    assert mine.read_text() == "mine" and len(list(mine.parent.iterdir())) == 1
