"""The main road on drawn scenes: train → run folder → evaluate, by Python, command line and YAML alike."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

import segfield as sf
from segfield.commands.main import main

DATA = "scenes:count=15,size=32x48"
SETTINGS = {
    "data": DATA,
    "model": "unet_padded",
    "weights": "none",
    "options": {"width": 2, "levels": 2},
    "epochs": 2,
    "batch_size": 3,
    "precision": "32-true",
    "device": "cpu",
    "threads": 1,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("train") / "run"
    trained = sf.train(sf.Recipe(**SETTINGS, out=str(out)))
    assert trained.evaluation is not None
    assert trained.folder == out
    return out


def test_a_run_leaves_everything(run: Path) -> None:
    names = {path.name for path in run.iterdir()}
    assert {
        "recipe.yaml", "curves.csv", "resume.safetensors", "segmenter.safetensors", "scores.json", "report.html", "tensorboard"
    } <= names  # fmt: skip
    scores = json.loads((run / "scores.json").read_text())
    assert 0 <= scores["scores"]["mean_iou"] <= 1
    assert scores["facts"]["data"] == DATA
    assert len(scores["facts"]["data hash (SHA-256 of the training pixels)"]) == 64
    page = (run / "report.html").read_text()
    assert "unet_padded" in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_the_command_line_gives_the_same_weights(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [f"--{key}={json.dumps(value) if isinstance(value, dict) else value}" for key, value in SETTINGS.items()]
    assert main(["train", *words, "--out", str(tmp_path / "run")]) == 0, capsys.readouterr().err
    _same(run, tmp_path / "run")
    assert "report" in capsys.readouterr().out.splitlines()[-1]


def test_a_yaml_gives_the_same_weights_and_later_words_win(run: Path, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(yaml.safe_dump({**SETTINGS, "epochs": 7, "out": str(tmp_path / "run")}))
    assert main(["train", "--recipe", str(tmp_path / "r.yaml"), "--epochs", "2"]) == 0
    _same(run, tmp_path / "run")
    kept = yaml.safe_load((tmp_path / "run" / "recipe.yaml").read_text())
    assert kept["epochs"] == 2


def test_a_finished_run_says_so_and_stays(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    sf.train(sf.Recipe(**SETTINGS, out=str(run)))
    assert "is finished already" in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()} == before


def test_evaluate_scores_another_split(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["evaluate", str(run / "segmenter.safetensors"), DATA, "--split", "test", "--out", str(tmp_path / "out")]
    assert main(words) == 0
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert scores["images"] == 3
    assert (tmp_path / "out" / "report.html").stat().st_size > 10_000
    assert main(words) == 2  # never overwritten in silence
    assert "holds an evaluation already" in capsys.readouterr().err


def test_evaluating_the_validation_split_repeats_the_runs_scores(run: Path, tmp_path: Path) -> None:
    evaluation = sf.evaluate(str(run / "segmenter.safetensors"), DATA, out=str(tmp_path / "out"), device="cpu")
    kept = json.loads((run / "scores.json").read_text())
    assert evaluation.scores.mean_iou == pytest.approx(kept["scores"]["mean_iou"], abs=1e-9)
    facts = sf.Segmenter.load(run / "segmenter.safetensors").facts
    assert facts["val_miou"] == pytest.approx(evaluation.scores.mean_iou, abs=1e-3)


def test_evaluate_refuses_other_classes(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "classes.txt").write_text("".join(f"class{i}\n" for i in range(10)))
    words = [str(run / "segmenter.safetensors"), DATA, "--classes", str(tmp_path / "classes.txt")]
    assert main(["evaluate", *words, "--out", str(tmp_path / "out")]) == 2
    assert "classes" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def _same(first: Path, second: Path) -> None:
    a, b = load_file(first / "segmenter.safetensors"), load_file(second / "segmenter.safetensors")
    assert all(torch.equal(a[key], b[key]) for key in a)
