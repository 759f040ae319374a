"""The verb `export`, as a user meets it; and `predict` and `evaluate` with what it wrote."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from segfield.commands import export as verb
from segfield.commands.evaluate import evaluate
from segfield.commands.export import export
from segfield.commands.main import main
from segfield.commands.predict import predict
from segfield.data.scenes import write_scenes
from segfield.errors import SettingError
from tests.test_exported import segmenter

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return segmenter().save(tmp_path / "run" / "segmenter.safetensors")


def test_it_lies_beside_the_segmenter_and_is_checked(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(file)]) == 0
    told = capsys.readouterr().out
    assert "input image (batch, 2, height, width) float32, raw values" in told
    assert "% of labels as before on noise of 128×160 and 97×201, run by" in told
    assert told.strip().splitlines()[-1].endswith("photos/") and (file.parent / "segmenter.onnx").is_file()
    assert sorted(path.name for path in file.parent.iterdir()) == ["segmenter.onnx", "segmenter.safetensors"]
    with pytest.raises(SettingError, match="--overwrite true"):
        export(str(file))


def test_another_name_must_say_what_it_is(file: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"give a name such as model\.onnx"):
        export(str(file), str(tmp_path / "model.pt"))


def test_one_that_predicts_something_else_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = file.with_suffix(".onnx")
    before.write_bytes(b"an earlier one")
    monkeypatch.setattr(verb, "LEAST_AGREEMENT", 1.1)
    with pytest.raises(SettingError, match="does not predict as"):
        export(str(file), overwrite=True)
    assert before.read_bytes() == b"an earlier one" and len(list(file.parent.iterdir())) == 2


def test_predict_and_evaluate_take_it_in_place_of_the_segmenter(tmp_path: Path) -> None:
    from segfield.commands.train import train
    from segfield.training.recipe import Recipe

    data = "scenes:count=10,size=32x48"
    settings = {"model": "unet_padded", "weights": "none", "options": {"width": 4, "levels": 3}, "batch_size": 2}
    run = train(Recipe.from_dict({**settings, "data": data, "steps": 4, "device": "cpu", "out": str(tmp_path / "run")}))
    exported = export(str(run.segmenter), str(tmp_path / "cells.onnx"))
    scores = [
        evaluate(str(file), data, split="test", out=str(tmp_path / name), device="auto", engine=engine).scores  # type: ignore[arg-type]
        for name, file, engine in (("own", run.segmenter, "auto"), ("exported", exported, "onnxruntime"))
    ]
    assert scores[0].pixel_accuracy == pytest.approx(scores[1].pixel_accuracy, abs=1e-3)
    kept = json.loads((tmp_path / "exported" / "scores.json").read_text(encoding="utf-8"))
    assert kept["segmenter"] == str(exported)
    write_scenes(tmp_path / "drawn", data.partition(":")[2])
    images = sorted((tmp_path / "drawn").rglob("images/*"))[:1]
    files = predict(str(exported), [str(path) for path in images], str(tmp_path / "out"), quiet=True)
    assert files and all(path.is_file() for path in files)
