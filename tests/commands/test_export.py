"""The verb `export`, as a user meets it; and `predict` and `evaluate` with what it wrote."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from segfield import exported
from segfield.commands import export as verb
from segfield.commands.evaluate import evaluate
from segfield.commands.export import export
from segfield.commands.main import main
from segfield.commands.predict import predict
from segfield.data.dataset import Sample
from segfield.data.files import write_atomically
from segfield.data.output_plan import OutputFolder
from segfield.data.scenes import write_scenes
from segfield.data.value_matching import RangeWarning
from segfield.data.value_range import ValueRange
from segfield.errors import DataError, SettingError
from tests.inference.networks import FakeSegmenter, pixelwise
from tests.test_exported import segmenter
from tests.told import says

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return segmenter().save(tmp_path / "run" / "segmenter.safetensors")


@pytest.fixture(scope="module")
def whole(trained: str) -> Path:
    """What `trained` is as ONNX; torch's exporter takes seconds for every network."""
    return export(trained, str(Path(trained).parent.parent / "whole" / "segmenter.onnx"))


@pytest.fixture
def exported_once(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`trained` is exported by copying `whole`."""
    monkeypatch.setattr(exported, "export_segmenter", lambda segmenter, out, *_: Path(shutil.copyfile(whole, out)))


def test_it_lies_beside_the_segmenter_and_is_checked(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(file)]) == 0
    told = capsys.readouterr().out
    assert "(batch, 2, height, width) float32, raw values" in told
    assert says("labels as before … 128×160 and 97×201", told)
    assert told.strip().splitlines()[-1].endswith("photos/") and (file.parent / "segmenter.onnx").is_file()
    there = sorted(path.name for path in file.parent.iterdir())
    assert there == [".segfield", "segmenter.onnx", "segmenter.safetensors"]
    with pytest.raises(SettingError, match="--overwrite true"):
        export(str(file))


def test_another_name_must_say_what_it_is(file: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"model\.onnx"):
        export(str(file), str(tmp_path / "model.pt"))


def test_one_that_predicts_something_else_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = file.with_suffix(".onnx")
    with OutputFolder(file.parent, "export").writing():
        write_atomically(before, b"an earlier one")
    monkeypatch.setattr(verb, "LEAST_AGREEMENT", 1.1)
    with pytest.raises(SettingError, match="does not predict as"):
        export(str(file), overwrite=True)
    assert before.read_bytes() == b"an earlier one" and len(list(file.parent.iterdir())) == 3


def test_a_file_that_no_export_wrote_stays(file: Path, tmp_path: Path) -> None:
    mine = file.with_suffix(".onnx")
    mine.write_bytes(b"a network of the user's")
    with pytest.raises(SettingError, match=r"segmenter\.onnx.*not written.*--out"):
        export(str(file), overwrite=True)
    assert mine.read_bytes() == b"a network of the user's" and len(list(file.parent.iterdir())) == 2
    for link in (Path.hardlink_to, Path.symlink_to):
        mine.unlink()
        link(mine, file)
        with pytest.raises(SettingError, match=r"segmenter\.safetensors.*input|input.*segmenter\.safetensors"):
            export(str(file), overwrite=True)
    assert file.is_file() and mine.is_symlink()


def test_predict_and_evaluate_take_it_in_place_of_the_segmenter(trained: str, whole: Path, tmp_path: Path) -> None:
    scores = [
        evaluate(str(file), SCENES, split="test", out=str(tmp_path / name), device="auto", engine=engine).scores  # type: ignore[arg-type]
        for name, file, engine in (("own", trained, "auto"), ("exported", whole, "onnxruntime"))
    ]
    assert scores[0].pixel_accuracy == pytest.approx(scores[1].pixel_accuracy, abs=1e-3)
    kept = json.loads((tmp_path / "exported" / "scores.json").read_text(encoding="utf-8"))
    assert kept["segmenter"] == str(whole)
    write_scenes(tmp_path / "drawn", "count=10,size=32x48")
    images = sorted((tmp_path / "drawn").rglob("images/*"))[:1]
    files = predict(str(whole), [str(path) for path in images], str(tmp_path / "out"), quiet=True)
    assert files and all(path.is_file() for path in files)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> str:
    from segfield.commands.train import train
    from segfield.training.recipe import Recipe

    settings = {"model": "unet_padded", "weights": "none", "options": {"width": 8, "levels": 3}, "batch_size": 4}
    out = str(tmp_path_factory.mktemp("int8") / "run")
    return str(
        train(Recipe.from_dict({**settings, "data": SCENES, "steps": 40, "device": "cpu", "out": out})).segmenter
    )


SCENES = "scenes:count=20,size=48x64"


@pytest.mark.usefixtures("exported_once")
def test_in_8_bit_integers_it_is_smaller_and_says_what_that_costs(
    trained: str, whole: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    capsys.readouterr()
    assert main(["export", trained, "--int8", SCENES, "--images", "4"]) == 0
    told = capsys.readouterr().out
    before, after = map(float, re.findall(r"mIoU (\S+) → (\S+) in 8-bit integers, on 4 images of val", told)[0])
    assert abs(before - after) < 5 and before > 5
    file = Path(trained).with_suffix(".int8.onnx")
    assert file.stat().st_size < 0.65 * whole.stat().st_size, "weights; the graph's own text weighs the same"
    assert sorted(path.suffix for path in file.parent.glob("*segmenter*")) == [".onnx", ".safetensors"], (
        "no drafts are left"
    )
    scores = [
        evaluate(str(each), SCENES, split="test", out=str(tmp_path / each.stem), boundaries=False).scores
        for each in (whole, file)
    ]
    assert abs(scores[0].pixel_accuracy - scores[1].pixel_accuracy) < 0.05


@pytest.mark.usefixtures("exported_once")
def test_integers_that_cost_too_much_are_refused(trained: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verb, "MOST_LOST", -1.0)
    with pytest.raises(SettingError, match=r"mIoU .* → .*too much.*nothing was written"):
        export(trained, str(tmp_path / "a.onnx"), int8=SCENES, images=2)
    assert not list(tmp_path.iterdir())
    export(trained, str(tmp_path / "a.onnx"), int8=SCENES, images=2, check=False)


def test_images_for_the_ranges_must_be_there_and_fit(trained: str, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="images is 0"):
        export(trained, str(tmp_path / "a.onnx"), int8=SCENES, images=0)
    other = segmenter().save(tmp_path / "segmenter.safetensors")
    with pytest.raises(DataError, match="the segmenter knows 3 classes"):
        export(str(other), int8=SCENES)


def test_of_large_images_the_middle_is_looked_at() -> None:
    image = np.zeros((1, 1030, 20), np.uint8)
    image[0, 3] = 7
    coloured = FakeSegmenter(pixelwise, values=ValueRange("uint8", 255.0))
    window = verb._window(Sample("a", image), coloured)
    assert window.shape == (3, 1024, 20) and window.dtype == np.float32 and (window[:, 0] == 7).all(), (
        "grey serves as RGB"
    )
    with pytest.raises(DataError, match="the segmenter wants 3"):
        verb._window(Sample("a", np.zeros((2, 5, 5), np.uint8)), coloured)


def test_the_ranges_are_found_on_the_numbers_trained_on() -> None:
    """What calibration is given is what prediction gives the network: floats of 0..1 as the bytes they were."""
    image = np.arange(48, dtype=np.uint8).reshape(3, 4, 4) * 5
    with pytest.warns(RangeWarning):
        window = verb._window(
            Sample("a", image / np.float32(255)), FakeSegmenter(pixelwise, values=ValueRange("uint8", 255.0))
        )
    np.testing.assert_array_equal(window, image.astype(np.float32))
