"""The verb `predict`, as a user meets it: many images, bad images, stops and second starts."""

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segfield.commands import predict as verb
from segfield.commands.predict import predict
from segfield.data.images import write_png
from segfield.data.value_range import ValueRange
from segfield.errors import DataError, SegfieldError, SettingError
from tests.inference.networks import Confident, FakeSegmenter, pixelwise
from tests.told import says


@pytest.fixture
def segmenter_file(tmp_path, monkeypatch):
    """A stand-in for the segmenter's file; what is loaded predicts by brightness."""
    monkeypatch.setattr(verb, "load_segmenter", lambda file, device, engine: FakeSegmenter(pixelwise))
    file = tmp_path / "segmenter.safetensors"
    file.write_bytes(b"weights")
    return str(file)


@pytest.fixture
def photos(tmp_path):
    """Four images in two folders, one grey; each has one dark and one bright half."""
    folder = tmp_path / "my photos"
    for name, mode in [("a.png", "RGB"), ("straße 1.png", "L"), ("sub/a.png", "RGB"), ("sub/big.png", "RGB")]:
        write_photo(folder / name, mode, 150 if "big" in name else 20)
    return folder


def write_photo(file, mode="RGB", size=20):
    file.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.new(mode, (size, size), 0)
    picture.paste(255 if mode == "L" else (255, 255, 255), (size // 2, 0, size, size))
    picture.save(file)


def test_everything_lands_in_mirrored_folders(segmenter_file, photos, tmp_path, capsys):
    out = tmp_path / "out"
    files = predict(segmenter_file, [str(photos)], str(out), tile=64, device="cpu")
    assert sorted(f.relative_to(out).as_posix() for f in files if f.parts[-3:-1] != ()) == sorted(
        f"{kind}/{name}{end}"
        for kind, end in [("ids", ".png"), ("palette", ".png"), ("overlay", ".jpg")]
        for name in ["a", "straße 1", "sub/a", "sub/big"]
    )
    ids = np.asarray(Image.open(out / "ids" / "sub" / "big.png"))
    assert (ids[:, :75] == 0).all() and (ids[:, 75:] == 2).all()
    assert all(file.is_file() for file in files) and (out / "legend.png").is_file()
    told = capsys.readouterr()
    assert told.out.strip().splitlines()[-1].startswith("4 segmentations (ids, palette, overlay) are in")
    assert "memory beside the image itself: about" in told.err


def test_a_second_start_only_does_what_is_missing(segmenter_file, photos, tmp_path, monkeypatch):
    out = tmp_path / "out"
    first = predict(segmenter_file, [str(photos)], str(out), device="cpu", quiet=True)
    stamps = {file: file.stat().st_mtime_ns for file in first}
    missing = out / "palette" / "sub" / "a.png"
    missing.unlink()
    newer = photos / "a.png"
    later = time.time() + 5
    os.utime(newer, (later, later))
    assert predict(segmenter_file, [str(photos)], str(out), device="cpu", quiet=True) == first
    redone = {f.relative_to(out).as_posix() for f in first if f.stat().st_mtime_ns != stamps[f]}
    assert redone == {
        f"{k}/{n}"
        for k, e in [("ids", "png"), ("palette", "png"), ("overlay", "jpg")]
        for n in [f"a.{e}", f"sub/a.{e}"]
    }


def test_other_settings_or_another_segmenter_are_refused(segmenter_file, photos, tmp_path):
    out = str(tmp_path / "out")
    predict(segmenter_file, [str(photos)], out, device="cpu", quiet=True)
    with pytest.raises(SettingError, match=r"flips: none there, all now.*--out.*--overw"):
        predict(segmenter_file, [str(photos)], out, device="cpu", flips="all", quiet=True)
    with pytest.raises(SettingError, match=r"\.\./my photos there.*\.\./my photos/sub now"):
        predict(segmenter_file, [str(photos / "sub")], out, device="cpu", quiet=True)
    Path(segmenter_file).write_bytes(b"other weights")
    with pytest.raises(SettingError, match=r"segmenter: \w+ there, \w+ now"):
        predict(segmenter_file, [str(photos)], out, device="cpu", quiet=True)
    assert len(predict(segmenter_file, [str(photos)], out, device="cpu", overwrite=True, quiet=True)) == 12


def test_files_of_other_origin_are_not_taken_for_results(segmenter_file, photos, tmp_path):
    foreign = tmp_path / "out" / "ids" / "a.png"
    write_photo(foreign)
    before = foreign.read_bytes()
    for overwrite in (False, True):
        with pytest.raises(SettingError, match=r"ids/a\.png.*not written.*--out"):
            predict(segmenter_file, [str(photos)], str(tmp_path / "out"), device="cpu", overwrite=overwrite, quiet=True)
    assert foreign.read_bytes() == before and [*(tmp_path / "out").rglob("*")] == [foreign.parent, foreign]


def test_overwriting_takes_the_old_results_away_first(segmenter_file, photos, tmp_path, monkeypatch):
    """Stopped half-way after a change of settings, nothing made with the old ones passes for new."""
    out = tmp_path / "out"
    predict(segmenter_file, [str(photos)], str(out), device="cpu", quiet=True)

    def stop(tiles):
        raise KeyboardInterrupt

    monkeypatch.setattr(verb, "load_segmenter", lambda file, device, engine: FakeSegmenter(stop))
    with pytest.raises(SegfieldError, match=r"Ctrl-C.*0 of 4 images.*goes on"):
        predict(segmenter_file, [str(photos)], str(out), device="cpu", flips="all", overwrite=True, quiet=True)
    assert not list((out / "ids").rglob("*.png"))


def test_bad_images_are_named_and_the_rest_done(segmenter_file, photos, tmp_path, capsys):
    (photos / "empty.png").write_bytes(b"")
    (photos / "cut.png").write_bytes((photos / "sub" / "big.png").read_bytes()[:150])
    Image.new("LA", (4, 4)).save(photos / "fine.png")
    np.save(photos / "not.npy", np.zeros(3))
    with pytest.raises(DataError, match=r"2 of 7 images.*named above.*other 5"):
        predict(segmenter_file, [str(photos)], str(tmp_path / "out"), device="cpu", quiet=True)
    told = capsys.readouterr().err
    assert "empty.png" in told and "cut.png" in told and "Traceback" not in told
    assert len(list((tmp_path / "out" / "overlay").rglob("*.jpg"))) == 5


def test_an_image_of_other_bands_is_named(segmenter_file, tmp_path, capsys):
    import tifffile

    tifffile.imwrite(tmp_path / "field.tif", np.zeros((5, 9, 9), np.uint8), photometric="minisblack")
    with pytest.raises(DataError, match=r"1 of 1 images .* none could be"):
        predict(segmenter_file, [str(tmp_path / "field.tif")], str(tmp_path / "out"), device="cpu", quiet=True)
    told = " ".join(capsys.readouterr().err.split())
    assert says("field.tif' … 5 bands … wants 3", told)


@pytest.mark.parametrize("parts", [2, 3])
def test_parts_together_are_the_whole(segmenter_file, photos, tmp_path, parts):
    alone = predict(segmenter_file, [str(photos)], str(tmp_path / "alone"), device="cpu", quiet=True)
    out = tmp_path / "together"
    files = []
    for i in range(1, parts + 1):
        files += predict(segmenter_file, [str(photos)], str(out), device="cpu", part=f"{i}/{parts}", quiet=True)
    assert sorted(f.relative_to(out) for f in files) == sorted(f.relative_to(tmp_path / "alone") for f in alone)


def test_all_kinds_scales_and_source_values(segmenter_file, photos, tmp_path):
    kinds = ["ids, entropy", "probabilities", "polygons"]
    files = predict(segmenter_file, [str(photos)], str(tmp_path / "o"), save=kinds, scales=(0.5, 1.0), flips="all",
                    source_values=True, device="cpu", quiet=True)  # fmt: skip
    assert len(files) == 16
    with np.load(tmp_path / "o" / "probabilities" / "sub" / "big.npz") as archive:
        assert archive["probabilities"].shape == (3, 150, 150)
    settings = json.loads((tmp_path / "o" / "predict.json").read_text(encoding="utf-8"))
    assert settings["scales"] == [0.5, 1.0] and settings["flips"] == "all" and settings["source_values"] is True


def test_a_refiner_is_a_setting_like_others(segmenter_file, photos, tmp_path, monkeypatch):
    out = tmp_path / "out"
    refiner = Confident(favoured=1)
    monkeypatch.setattr(verb, "load_segmenter", lambda file, device, engine: FakeSegmenter(pixelwise, refiner=refiner))
    predict(segmenter_file, [str(photos)], str(out), device="cpu", quiet=True)
    ids = np.asarray(Image.open(out / "ids" / "sub" / "big.png"))
    assert (ids[:, 75:] == 1).all() and len(refiner.calls) == 4
    settings = json.loads((out / "predict.json").read_text(encoding="utf-8"))
    assert settings["refiner"] == "confident favoured=1 above=200"
    with pytest.raises(SettingError, match=r"favoured=1 above=200 there.*none now"):
        predict(segmenter_file, [str(photos)], str(out), refine="off", device="cpu", quiet=True)
    refiner.above = 100
    with pytest.raises(SettingError, match=r"favoured=1 above=200 there.*above=100 now"):
        predict(segmenter_file, [str(photos)], str(out), device="cpu", quiet=True)


def test_results_older_than_refiners_are_gone_on_with(segmenter_file, photos, tmp_path):
    out = tmp_path / "out"
    first = predict(segmenter_file, [str(photos)], str(out), device="cpu", quiet=True)
    stamps = [file.stat().st_mtime_ns for file in first]
    settings = json.loads((out / "predict.json").read_text(encoding="utf-8"))
    assert settings.pop("refiner", "missing") is None
    (out / "predict.json").write_text(json.dumps(settings))
    predict(segmenter_file, [str(photos)], str(out), device="cpu", quiet=True)
    assert [file.stat().st_mtime_ns for file in first] == stamps


def test_results_of_another_tiling_are_refused(segmenter_file, photos, tmp_path):
    """Made before images of that size went whole through the network: labels near the tiles' borders may differ."""
    out = tmp_path / "out"
    predict(segmenter_file, [str(photos)], str(out), device="cpu", quiet=True)
    settings = json.loads((out / "predict.json").read_text(encoding="utf-8"))
    assert settings.pop("whole") is True
    (out / "predict.json").write_text(json.dumps(settings))
    with pytest.raises(SettingError, match=r"whole: none there, yes now\).*--out"):
        predict(segmenter_file, [str(photos)], str(out), device="cpu", quiet=True)


def test_memory_that_a_refiner_takes_is_told(segmenter_file, photos, tmp_path, monkeypatch, capsys):
    told = []
    for refiner in (None, Confident()):
        fake = FakeSegmenter(pixelwise, refiner=refiner)
        monkeypatch.setattr(verb, "load_segmenter", lambda file, device, engine, fake=fake: fake)
        predict(segmenter_file, [str(photos / "sub" / "big.png")], str(tmp_path / f"{refiner is None}"), device="cpu")
        told.append(capsys.readouterr().err)
    assert "and its refinement" in told[1] and "refinement" not in told[0]


@pytest.mark.parametrize(
    "settings, told",
    [
        ({"refine": "deeplap"}, "refiner 'deeplap'.*mean deeplab"),
        ({"refine": "nothing.json"}, "no such settings file"),
        ({"save": "ids,overlays"}, "'overlays'.*mean overlay"),
        ({"device": "cuda:99"}, "asks for"),
        ({"part": "3/2"}, "give i/n"),
        ({"tile": 8}, "tile is 8 pixels.*64"),
        ({"scales": (0.0,)}, "scales are sizes"),
        ({"overlap": 9999}, "overlap is 9999 pixels"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_written(segmenter_file, photos, tmp_path, settings, told):
    with pytest.raises(SegfieldError, match=told):
        predict(segmenter_file, [str(photos)], str(tmp_path / "out"), **{"device": "cpu", **settings})
    assert not (tmp_path / "out").exists()


def test_a_file_where_the_folder_should_be(segmenter_file, photos, tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(SegfieldError, match=r"is a file.*name a folder"):
        predict(segmenter_file, [str(photos)], str(tmp_path / "out"), device="cpu", quiet=True)


def test_a_full_disk_stops_in_a_sentence_and_loses_nothing(segmenter_file, photos, tmp_path, monkeypatch):
    import errno

    from segfield.data import files

    real, written = os.fsync, []

    def full_after_ten(descriptor):
        written.append(descriptor)
        if len(written) > 10:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(files.os, "fsync", full_after_ten)
    with pytest.raises(SegfieldError, match=r"No space left.*free some space.*3 of 4 images"):
        predict(segmenter_file, [str(photos)], str(tmp_path / "out"), device="cpu", quiet=True)
    monkeypatch.setattr(files.os, "fsync", real)
    assert not list((tmp_path / "out").rglob("*.tmp"))
    assert len(predict(segmenter_file, [str(photos)], str(tmp_path / "out"), device="cpu", quiet=True)) == 12


def test_images_of_another_depth_are_mapped_with_one_note_or_refused_with_the_option(tmp_path, monkeypatch, capsys):
    def load(file, device, engine):
        return FakeSegmenter(pixelwise, values=ValueRange("uint8", 255.0))

    monkeypatch.setattr(verb, "load_segmenter", load)
    (tmp_path / "s").write_bytes(b"weights")
    bright, folder = np.zeros((12, 20), np.uint16), tmp_path / "deep"
    bright[:, 10:] = 65000
    for name in ("a", "b"):
        write_png(folder / f"{name}.png", bright)
    predict(str(tmp_path / "s"), [str(folder)], str(tmp_path / "out"), save="ids", device="cpu")
    told = capsys.readouterr().err
    assert told.count("note: ") == 1 and says("note: 2 images: uint16 … 0..65535", told)
    ids = np.asarray(Image.open(tmp_path / "out" / "ids" / "b.png"))
    assert (ids[:, :10] == 0).all() and (ids[:, 10:] == 2).all()
    write_png(folder / "c.png", bright // 16)
    with pytest.raises(DataError, match="1 of 3"):
        predict(str(tmp_path / "s"), [str(folder)], str(tmp_path / "out"), save="ids", device="cpu")
    assert says("c.png … --image_range", capsys.readouterr().err)
    predict(
        str(tmp_path / "s"), [str(folder / "c.png")], str(tmp_path / "o"), save="ids", device="cpu", image_range=4095
    )
    assert (np.asarray(Image.open(tmp_path / "o" / "ids" / "c.png")) == ids).all()
