"""Segmenter: the one file, what it predicts after a round trip, and what it refuses."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from segfield.classes import ClassTable
from segfield.crf.dense_crf import DenseCRF
from segfield.crf.edge_aware import GuidedFilter
from segfield.data.value_matching import RangeWarning
from segfield.data.value_range import ValueRange
from segfield.errors import DataError, FileFormatError, SettingError
from segfield.models import build_classifier
from segfield.segmenter import ClassifierSpec, Scaling, Segmenter, read_facts

IMAGE = np.random.default_rng(0).integers(0, 256, (3, 45, 70), dtype=np.uint8)


def _segmenter(classes: ClassTable, name: str = "unet_padded", options: dict[str, object] | None = None) -> Segmenter:
    torch.manual_seed(0)
    given = {"width": 2, "levels": 3} if options is None else options
    spec = ClassifierSpec(name, 3, len(classes), given)
    classifier = build_classifier(name, 3, len(classes), options=given)
    return Segmenter(classifier, spec, classes, Scaling((120.0, 110.0, 100.0), (60.0, 55.0, 50.0)), {"val_miou": 0.5})


@pytest.mark.parametrize(
    ("name", "options"),
    [("unet_padded", None), ("unet", {"width": 2}), ("deeplabv3plus:mobilenetv2_050", {"pad_type": "same"})],
)
def test_a_loaded_file_predicts_the_same(
    tmp_path: Path, three_classes: ClassTable, name: str, options: dict[str, object] | None
) -> None:
    segmenter = _segmenter(three_classes, name, options)
    path = segmenter.save(tmp_path / "a segmenter ü.safetensors")
    loaded = Segmenter.load(path, device="cpu")
    before, after = segmenter(IMAGE, probabilities=True), loaded(IMAGE, probabilities=True)
    assert before.labels.shape == (45, 70)
    assert np.array_equal(before.labels, after.labels)
    np.testing.assert_allclose(before.probabilities, after.probabilities, atol=2e-3)
    assert loaded.classes == three_classes
    assert loaded.facts == {"val_miou": 0.5}
    assert read_facts(path)["classifier"]["name"] == name


def test_a_second_process_needs_nothing_but_the_file(tmp_path: Path, three_classes: ClassTable) -> None:
    import subprocess
    import sys

    segmenter = _segmenter(three_classes)
    path = segmenter.save(tmp_path / "s.safetensors")
    np.save(tmp_path / "image.npy", IMAGE)
    program = (
        "import sys, numpy as np, segfield\n"
        "s = segfield.Segmenter.load(sys.argv[1], device='cpu')\n"
        "np.save(sys.argv[3], s(np.load(sys.argv[2])).labels)"
    )
    paths = [str(path), str(tmp_path / "image.npy"), str(tmp_path / "labels.npy")]
    subprocess.run([sys.executable, "-c", program, *paths], check=True, cwd=tmp_path)
    assert np.array_equal(np.load(tmp_path / "labels.npy"), segmenter(IMAGE).labels)


def test_what_its_images_numbers_mean_is_part_of_the_file(tmp_path: Path, three_classes: ClassTable) -> None:
    segmenter = _segmenter(three_classes)
    segmenter.values = ValueRange("uint16", 4095.0)
    loaded = Segmenter.load(segmenter.save(tmp_path / "s.safetensors"), device="cpu")
    assert loaded.values == ValueRange("uint16", 4095.0)
    document = json.loads(json.dumps(segmenter.document()))
    document["values"]["white"] = "bright"
    save_file(load_file(tmp_path / "s.safetensors"), tmp_path / "t.safetensors", {"segfield": json.dumps(document)})
    with pytest.raises(FileFormatError, match=r"t.safetensors.*images' numbers"):
        Segmenter.load(tmp_path / "t.safetensors", device="cpu")


def test_files_older_than_ranges_take_every_image_as_it_is(tmp_path: Path, three_classes: ClassTable) -> None:
    segmenter = _segmenter(three_classes)
    document = segmenter.document()
    del document["values"]
    tensors = {key: value.contiguous() for key, value in segmenter.classifier.state_dict().items()}
    save_file(tensors, tmp_path / "s.safetensors", {"segfield": json.dumps(document)})
    loaded = Segmenter.load(tmp_path / "s.safetensors", device="cpu")
    assert loaded.values is None
    assert np.array_equal(loaded(IMAGE.astype(np.float32)).labels, segmenter(IMAGE).labels)
    assert loaded(IMAGE / np.float32(255)).labels.shape == (45, 70)
    with pytest.raises(SettingError, match="image_range"):
        loaded(IMAGE, image_range=255)
    with pytest.raises(DataError, match=r"'cell' .*1 of 9,450"):
        loaded(np.where(np.arange(IMAGE.size).reshape(IMAGE.shape) == 7, np.nan, IMAGE), name="cell")


@pytest.mark.parametrize("refine", ["off", "on"])
def test_the_same_picture_of_another_depth_is_predicted_alike(three_classes: ClassTable, refine: str) -> None:
    segmenter = _segmenter(three_classes)
    segmenter.values = ValueRange("uint8", 255.0)
    expected = segmenter(IMAGE, refine=refine).labels
    with pytest.warns(RangeWarning):
        assert np.array_equal(segmenter(IMAGE / np.float32(255), refine=refine).labels, expected)
    with pytest.warns(RangeWarning):
        assert np.array_equal(segmenter(IMAGE.astype(np.uint16) * 257, refine=refine).labels, expected)
    twelve = np.rint(IMAGE * (4095 / 255)).astype(np.uint16) - (IMAGE == 255)
    with pytest.raises(DataError, match="image_range"):
        segmenter(twelve, refine=refine)
    assert np.array_equal(segmenter(twelve, refine=refine, image_range=4095).labels, expected)
    with pytest.raises(DataError, match="undo the normalisation"):
        segmenter((IMAGE / np.float32(255) - 0.45) / 0.225, refine=refine)


def test_scaling_is_part_of_it(three_classes: ClassTable) -> None:
    segmenter = _segmenter(three_classes)
    raw = torch.from_numpy(IMAGE)[None].float()
    mean, std = torch.tensor([120.0, 110, 100]).view(3, 1, 1), torch.tensor([60.0, 55, 50]).view(3, 1, 1)
    with torch.inference_mode():
        expected = segmenter.classifier((raw - mean) / std)
    torch.testing.assert_close(segmenter.window_logits(raw), expected, atol=1e-5, rtol=1e-5)


def test_a_wrong_number_of_bands_is_said(three_classes: ClassTable) -> None:
    with pytest.raises(DataError, match="3"):
        _segmenter(three_classes)(np.zeros((5, 8, 8), np.uint8))


def test_classes_and_network_must_agree(three_classes: ClassTable) -> None:
    segmenter = _segmenter(three_classes)
    with pytest.raises(DataError, match=r"3 classes.*class table has 2"):
        Segmenter(segmenter.classifier, segmenter.spec, ClassTable(("a", "b")), segmenter.scaling)


def test_a_pickle_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(pickle.dumps({"weights": 1}))
    with pytest.raises(FileFormatError, match="can run code"):
        Segmenter.load(path)
    torch.save({"weights": torch.ones(2)}, tmp_path / "model.pth")
    with pytest.raises(FileFormatError, match="can run code"):
        Segmenter.load(tmp_path / "model.pth")


@pytest.mark.parametrize("keep", [0, 3, 100, 4000])
def test_a_truncated_file_is_refused(tmp_path: Path, three_classes: ClassTable, keep: int) -> None:
    path = _segmenter(three_classes).save(tmp_path / "s.safetensors")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(FileFormatError, match=r"s\.safetensors"):
        Segmenter.load(path)


def test_other_safetensors_and_newer_formats_are_refused(tmp_path: Path, three_classes: ClassTable) -> None:
    save_file({"a": torch.ones(1)}, tmp_path / "encoder.safetensors")
    with pytest.raises(FileFormatError, match="not a segmenter"):
        Segmenter.load(tmp_path / "encoder.safetensors")
    path = _segmenter(three_classes).save(tmp_path / "s.safetensors")
    document = {**read_facts(path), "format": 99, "segfield": "9.1"}
    save_file(load_file(path), path, metadata={"segfield": json.dumps(document)})
    with pytest.raises(FileFormatError, match=r"format 99 .*9\.1"):
        Segmenter.load(path)


def test_mixed_weights_are_refused(tmp_path: Path, three_classes: ClassTable) -> None:
    path = _segmenter(three_classes).save(tmp_path / "s.safetensors")
    other = _segmenter(three_classes, options={"width": 3, "levels": 3}).save(tmp_path / "o.safetensors")
    save_file(load_file(other), path, metadata={"segfield": json.dumps(read_facts(path))})
    with pytest.raises(FileFormatError, match="does not fit together"):
        Segmenter.load(path)


def test_a_missing_file_says_who_writes_one(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="segfield train"):
        Segmenter.load(tmp_path / "nothing.safetensors")


def test_a_file_whose_length_looks_like_a_pickle_is_read(tmp_path: Path, three_classes: ClassTable) -> None:
    seen = set()
    for extra in range(0, 300, 8):  # the header's length, a multiple of 8, passes 0x80 and the letters PK begin with
        segmenter = _segmenter(three_classes)
        segmenter.facts = {"note": "x" * extra}
        path = segmenter.save(tmp_path / "s.safetensors")
        seen.add(path.read_bytes()[0])
        assert Segmenter.load(path, device="cpu").facts == segmenter.facts
    assert {0x80, ord("P")} <= seen


def test_the_refiner_is_saved_with_it(tmp_path: Path, three_classes: ClassTable) -> None:
    segmenter = _segmenter(three_classes)
    assert segmenter.refiner is None
    assert Segmenter.load(segmenter.save(tmp_path / "plain.safetensors"), device="cpu").refiner is None
    for refiner in (DenseCRF(bilateral_sxy=31.5, bilateral_weight=(1.0, 2.0, 3.0)), GuidedFilter(radius=3)):
        segmenter.refiner = refiner
        path = segmenter.save(tmp_path / "refining.safetensors")
        assert Segmenter.load(path, device="cpu").refiner == refiner
        assert read_facts(path)["refiner"] == json.loads(json.dumps(refiner.as_dict()))


def test_a_file_older_than_refiners_still_loads(tmp_path: Path, three_classes: ClassTable) -> None:
    path = _segmenter(three_classes).save(tmp_path / "s.safetensors")
    document = read_facts(path)
    del document["refiner"]
    save_file(load_file(path), path, metadata={"segfield": json.dumps(document)})
    assert Segmenter.load(path, device="cpu").refiner is None


@pytest.mark.parametrize("described", [{"name": "quantum_crf"}, {"name": "dense_crf", "sxy": 3}, "dense_crf", [1]])
def test_a_refiner_that_cannot_be_made_is_told(tmp_path: Path, three_classes: ClassTable, described: object) -> None:
    path = _segmenter(three_classes).save(tmp_path / "s.safetensors")
    save_file(load_file(path), path, metadata={"segfield": json.dumps({**read_facts(path), "refiner": described})})
    with pytest.raises(FileFormatError, match=r"s\.safetensors.*refiner.*newer segfield"):
        Segmenter.load(path, device="cpu")


def test_calling_it_refines_unless_told_otherwise(three_classes: ClassTable) -> None:
    class First:
        def __call__(self, image: np.ndarray, *, probabilities: np.ndarray) -> np.ndarray:
            refined = np.zeros_like(probabilities)
            refined[0] = 1
            return refined

        def as_dict(self) -> dict[str, str]:
            return {"name": "first"}

    plain, segmenter = _segmenter(three_classes), _segmenter(three_classes)
    segmenter.refiner = First()
    assert plain(IMAGE).labels.any() and not segmenter(IMAGE).labels.any()
    assert np.array_equal(segmenter(IMAGE, refine="off").labels, plain(IMAGE).labels)
    assert not plain(IMAGE, refine=First()).labels.any()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, three_classes: ClassTable, value: float) -> None:
    segmenter = _segmenter(three_classes)
    with torch.no_grad():
        segmenter.classifier.classify.weight[0] = value
    path = segmenter.save(tmp_path / "diverged.safetensors")
    with pytest.raises(
        FileFormatError, match=r"diverged.safetensors holds 2 weights .*classify.weight.*--learning_rate"
    ):
        Segmenter.load(path, device="cpu")
    with pytest.raises(DataError, match="scores are NaN or infinite"):
        segmenter(IMAGE)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("std", [60.0, 0.0, 50.0]),
        ("std", [60.0, -1.0, 50.0]),
        ("std", [60.0, 1e-320, 50.0]),
        ("mean", [1.0, float("nan"), 1.0]),
    ],
)
def test_a_scaling_that_divides_by_nothing_is_refused(
    tmp_path: Path, three_classes: ClassTable, name: str, values: list[float]
) -> None:
    path = _segmenter(three_classes).save(tmp_path / "s.safetensors")
    document = read_facts(path)
    document["scaling"][name] = values
    save_file(load_file(path), path, metadata={"segfield": json.dumps(document)})
    with pytest.raises(FileFormatError, match=rf"s.safetensors scales images by a {name} of .* in band 1"):
        Segmenter.load(path, device="cpu")
