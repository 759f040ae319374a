"""An exported segmenter: the same labels as the original's by both engines; what other files and wrong settings are told."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from segfield import exported
from segfield.classes import ClassTable
from segfield.crf.dense_crf import DenseCRF
from segfield.data.value_matching import RangeWarning
from segfield.data.value_range import ValueRange
from segfield.errors import DataError, FileFormatError, SettingError
from segfield.exported import ExportedSegmenter, agreement, export_segmenter, open_segmenter
from segfield.models import build_classifier
from segfield.segmenter import ClassifierSpec, Scaling, Segmenter

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
ENGINES = ("openvino", "onnxruntime")
SIZES = ((33, 70), (64, 48))
VALUES = ValueRange("uint8", 255.0)


def segmenter() -> Segmenter:
    torch.manual_seed(0)
    spec = ClassifierSpec("unet_padded", 2, 3, {"width": 4, "levels": 3})
    network = build_classifier(spec.name, 2, 3, None, spec.options)
    classes = ClassTable(("ground", "leaf", "stem"))
    refiner = DenseCRF(bilateral_sxy=20, gaussian_weight=0.5)
    return Segmenter(
        network, spec, classes, Scaling((100.0, 90.0), (50.0, 60.0)), {"recipe": {"seed": 7}}, refiner, VALUES
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The segmenter file and its export."""
    folder = tmp_path_factory.mktemp("exported")
    own = segmenter()
    return own.save(folder / "segmenter.safetensors"), export_segmenter(own, folder / "segmenter.onnx")


@pytest.mark.parametrize("engine", ENGINES)
def test_it_predicts_as_the_original(files: tuple[Path, Path], engine: str) -> None:
    pytest.importorskip(engine)
    original, exported = Segmenter.load(files[0], "cpu"), ExportedSegmenter.load(files[1], engine)  # type: ignore[arg-type]
    assert exported.engine == engine
    images = np.random.default_rng(0)
    for height, width in SIZES:
        image = images.integers(0, 255, (2, height, width)).astype(np.uint8)
        ours, theirs = (each.window_logits(torch.from_numpy(image)[None].float()) for each in (original, exported))
        tolerance = 1e-3 if engine == "onnxruntime" else 0.05 * float(ours.abs().max())  # OpenVINO may take bfloat16
        torch.testing.assert_close(theirs, ours, rtol=0, atol=tolerance)
        found = exported(image, refine="off").labels
        assert (found == original(image, refine="off").labels).mean() > 0.97
        assert exported(image, tile=32, refine="off").labels.shape == (height, width)
    compared = agreement(original, exported, SIZES)
    assert compared.labels > 0.97 and compared.difference < 0.5 and compared.sizes == SIZES


def test_it_takes_images_of_other_depths_as_the_original(files: tuple[Path, Path]) -> None:
    pytest.importorskip("onnxruntime")
    exported = ExportedSegmenter.load(files[1], "onnxruntime")
    image = np.random.default_rng(1).integers(0, 256, (2, 33, 70)).astype(np.uint8)
    with pytest.warns(RangeWarning):
        found = exported(image / np.float32(255), refine="off").labels
    assert np.array_equal(found, exported(image, refine="off").labels)
    with pytest.raises(DataError, match="image_range"):
        exported(image.astype(np.float32) * 9, refine="off")


def test_an_export_that_differs_is_found(files: tuple[Path, Path]) -> None:
    pytest.importorskip("onnxruntime")
    other = segmenter()
    with torch.no_grad():
        for parameter in other.classifier.parameters():
            parameter.copy_(-parameter)
    assert agreement(other, ExportedSegmenter.load(files[1], "onnxruntime"), SIZES).labels < 0.9


def test_the_file_says_all_of_itself(files: tuple[Path, Path]) -> None:
    original, exported = Segmenter.load(files[0], "cpu"), open_segmenter(files[1])
    assert exported.classes == original.classes and exported.facts == original.facts
    assert exported.refiner == original.refiner and exported.values == VALUES
    for name in ("bands", "stride", "receptive_margin"):
        assert getattr(exported, name) == getattr(original, name)
    assert isinstance(open_segmenter(files[0], "cpu"), Segmenter)
    alone, engine = original.network_bytes(), exported.network_bytes()
    assert engine.per_pixel == pytest.approx(1.5 * alone.per_pixel) and engine.fixed == alone.fixed + 200 * 2**20


def test_what_cannot_be_used_is_said_in_a_sentence(files: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="there is no file"):
        open_segmenter(tmp_path / "none.onnx")
    (tmp_path / "half.onnx").write_bytes(files[1].read_bytes()[:1000])
    with pytest.raises(FileFormatError, match="cut short"):
        open_segmenter(tmp_path / "half.onnx")
    with pytest.raises(FileFormatError, match=r"only predicts.*segmenter\.safetensors"):
        Segmenter.load(files[1])
    with pytest.raises(SettingError, match="runs on the CPU"):
        open_segmenter(files[1], "cuda")
    with pytest.raises(SettingError, match="segfield export"):
        open_segmenter(files[0], "cpu", "onnxruntime")
    model = onnx.load(files[1])
    kept = json.loads(model.metadata_props[0].value)
    model.metadata_props[0].value = json.dumps({**kept, "format": 99})
    onnx.save(model, tmp_path / "newer.onnx")
    with pytest.raises(FileFormatError, match="format 99"):
        open_segmenter(tmp_path / "newer.onnx")
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(FileFormatError, match="not an exported segmenter"):
        open_segmenter(tmp_path / "other.onnx")


def test_a_network_that_cannot_be_exported_is_said_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object, **__: object) -> Path:
        raise ValueError("\x1b[96mno counterpart of mod\x1b[0m\nmany lines more")

    monkeypatch.setattr(exported, "export_onnx", failing)
    with pytest.raises(SettingError, match=r"'unet_padded' .*no counterpart of mod.*predict with"):
        export_segmenter(segmenter(), tmp_path / "none.onnx")


def test_another_program_needs_nothing_of_segfield(files: tuple[Path, Path], tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    image = np.random.default_rng(1).integers(0, 255, (2, 40, 56)).astype(np.uint8)
    np.save(tmp_path / "image.npy", image)
    program = (
        "import sys, json, numpy as np, onnxruntime as ort\n"
        "session = ort.InferenceSession(sys.argv[1])\n"
        "logits, = session.run(['logits'], {'image': np.load(sys.argv[2])[None].astype(np.float32)})\n"
        "np.save(sys.argv[3], logits[0].argmax(0))\n"
        "print(json.loads(session.get_modelmeta().custom_metadata_map['segfield'])['classes']['names'][1])\n"
        "assert not {'torch', 'segfield'} & set(sys.modules)\n"
    )
    words = [sys.executable, "-c", program, str(files[1]), str(tmp_path / "image.npy"), str(tmp_path / "labels.npy")]
    told = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert told.strip() == "leaf"
    assert (
        np.load(tmp_path / "labels.npy") == Segmenter.load(files[0], "cpu")(image, refine="off").labels
    ).mean() > 0.99


def test_nan_in_an_exported_file_is_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    model = onnx.load(str(files[1]))
    weight = next(each for each in model.graph.initializer if len(each.dims) == 4)
    values = onnx.numpy_helper.to_array(weight).copy()
    values[0, 0, 0, 0] = np.nan
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    onnx.save(model, str(tmp_path / "spoilt.onnx"))
    with pytest.raises(FileFormatError, match=rf"spoilt.onnx holds 1 weights .*{weight.name}"):
        ExportedSegmenter.load(tmp_path / "spoilt.onnx")


@pytest.mark.parametrize("by", ["segmenter", "exported file"])
def test_nan_does_not_agree_with_nan(files: tuple[Path, Path], by: str) -> None:
    """Both are class 0 to argmax, which was 100 % of labels as before."""
    pytest.importorskip("onnxruntime")
    ours, theirs = segmenter(), ExportedSegmenter.load(files[1], "onnxruntime")
    if by == "segmenter":
        with torch.no_grad():
            ours.classifier.classify.bias.fill_(torch.nan)
    theirs._run = lambda image: np.full((len(image), 3, *image.shape[2:]), np.nan, np.float32)
    with pytest.raises((DataError, SettingError), match=r"scores are NaN|exported network gives NaN"):
        agreement(ours, theirs, SIZES)
