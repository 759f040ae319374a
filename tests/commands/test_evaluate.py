"""The verb `evaluate` with a refiner: refined scores, the unrefined ones beside them, and what the report names."""

import json

import numpy as np
import pytest
from PIL import Image

from segfield.commands.evaluate import evaluate
from segfield.data.images import write_png
from segfield.data.value_range import ValueRange
from segfield.errors import SettingError
from segfield.segmenter import Segmenter
from tests.inference.networks import Confident, FakeSegmenter, pixelwise
from tests.told import says


@pytest.fixture
def data(tmp_path):
    """Two images, bright where the truth is class 1; what is loaded takes bright pixels for class 2."""
    for i in range(2):
        values = np.zeros((24, 30), np.uint8)
        values[:, 10 + i :] = 250
        for kind, picture in (("images", np.stack([values] * 3, axis=2)), ("masks", np.uint8(values > 0))):
            (tmp_path / "data" / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(tmp_path / "data" / kind / f"{i}.png")
    (tmp_path / "data" / "classes.txt").write_text("sky\nroad\ncar\n")
    return str(tmp_path / "data")


@pytest.fixture
def with_refiner(monkeypatch):
    def load(refiner):
        fake = FakeSegmenter(pixelwise, refiner=refiner)
        fake.facts = {}
        monkeypatch.setattr(Segmenter, "load", lambda path, device: fake)

    return load


def test_refined_and_unrefined_are_told_side_by_side(data, tmp_path, with_refiner, capsys):
    with_refiner(Confident())
    evaluation = evaluate("s", data, split="all", out=str(tmp_path / "on"), worst=1)
    assert evaluation.scores.mean_iou == 1
    told = " ".join(capsys.readouterr().out.split())
    assert says("without the refiner … 100.00 with it … favoured=1 above=200", told)
    written = json.loads((tmp_path / "on" / "scores.json").read_text(encoding="utf-8"))
    assert written["unrefined"]["mean_iou"] == pytest.approx(0.5)
    assert written["scores"]["mean_iou"] == 1
    assert written["facts"]["refiner"] == "confident favoured=1 above=200"
    assert written["structure"]["components"]["predicted"] == written["structure"]["components"]["truth"]
    assert written["structure"]["images"] == written["images"]
    report = (tmp_path / "on" / "report.html").read_text(encoding="utf-8")
    assert "mIoU without the refiner" in report and "confident favoured=1" in report


def test_switched_off_it_is_as_it_ever_was(data, tmp_path, with_refiner, capsys):
    with_refiner(Confident())
    evaluation = evaluate("s", data, split="all", out=str(tmp_path / "off"), refine="off", worst=0)
    assert evaluation.scores.mean_iou == pytest.approx(0.5)
    assert "refiner" not in capsys.readouterr().out
    assert "unrefined" not in json.loads((tmp_path / "off" / "scores.json").read_text(encoding="utf-8"))


def test_an_unknown_refiner_stops_before_the_work(data, tmp_path, with_refiner):
    with_refiner(None)
    with pytest.raises(SettingError, match=r"refiner 'deeplap'.*mean deeplab"):
        evaluate("s", data, split="all", out=str(tmp_path / "o"), refine="deeplap")
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["report.html", "scores.json"])
def test_a_file_that_no_evaluation_wrote_stays(data, tmp_path, with_refiner, name, overwrite):
    with_refiner(None)
    (tmp_path / "o").mkdir()
    (tmp_path / "o" / name).write_text("mine")
    with pytest.raises(SettingError, match=rf"{name}.*not written.*--out|holds an evaluation.*--out"):
        evaluate("s", data, split="all", out=str(tmp_path / "o"), overwrite=overwrite)
    assert [file.read_text() for file in (tmp_path / "o").iterdir()] == ["mine"]


def test_its_own_report_is_replaced_when_asked(data, tmp_path, with_refiner):
    with_refiner(None)
    settings = {"split": "all", "out": str(tmp_path / "o"), "worst": 0, "boundaries": False, "calibration": False}
    evaluate("s", data, **settings)
    (tmp_path / "o" / "notes.txt").write_text("mine")
    evaluate("s", data, overwrite=True, **settings)
    (tmp_path / "o" / "report.html").write_text("mine, from theirs")
    with pytest.raises(SettingError, match=r"report\.html.*changed.*--out"):
        evaluate("s", data, overwrite=True, **settings)
    assert (tmp_path / "o" / "report.html").read_text() == "mine, from theirs"


def test_a_data_set_of_another_depth_is_mapped_for_classifier_and_refiner_alike(data, tmp_path, monkeypatch, capsys):
    fake = FakeSegmenter(pixelwise, refiner=Confident(above=200), values=ValueRange("uint8", 255.0))
    fake.facts = {}
    monkeypatch.setattr(Segmenter, "load", lambda path, device: fake)
    for i in range(2):
        file = tmp_path / "data" / "images" / f"{i}.png"
        values = np.asarray(Image.open(file))[..., 0]
        file.unlink()
        write_png(file, values.astype(np.uint16) * 257)
    evaluation = evaluate("s", data, split="all", out=str(tmp_path / "deep"), worst=1)
    assert evaluation.scores.mean_iou == 1
    told = " ".join(capsys.readouterr().out.split())
    assert told.count("note: ") == 1 and says("note: 2 images: uint16 … uint8", told)


def test_scales_and_flips_reach_the_network(data, tmp_path, monkeypatch):
    met = set()

    def network(tiles):
        met.add((tuple(tiles.shape[2:]), bool(tiles[0, 0, 0, 0] > tiles[0, 0, 0, -1])))  # size; bright side first
        return pixelwise(tiles)

    fake = FakeSegmenter(network)
    fake.facts = {}
    monkeypatch.setattr(Segmenter, "load", lambda path, device: fake)
    evaluate("s", data, split="all", out=str(tmp_path / "o"), scales=[1.0, 0.5], flips="horizontal", worst=0)
    assert met == {((24, 30), False), ((24, 30), True), ((12, 15), False), ((12, 15), True)}
