"""The verb `refine`: one image or two folders in, cleaner edges out, in the colours that were given."""

import json
import os
import time

import numpy as np
import pytest
import torch
from PIL import Image

from segfield import machine
from segfield.commands.main import main
from segfield.commands.refine import refine
from segfield.data.images import read_image, write_png
from segfield.data.scenes import open_scenes
from segfield.errors import DataError, SettingError
from segfield.inference import devices, refining
from tests.told import says

SCENES = open_scenes("count=2,size=40x56,seed=3")
PALETTE = np.random.default_rng(1).permutation(256 * 3).reshape(256, 3).astype(np.uint8)
CRF = {"bilateral_sxy": 5.0, "bilateral_srgb": 10.0, "gaussian_sxy": 1.0, "quiet": True}


def spoilt(labels, share=0.15, seed=0):
    """Labels with a share of the pixels replaced by those of others."""
    random = np.random.default_rng(seed)
    wrong = random.random(labels.shape) < share
    return np.where(wrong, random.permutation(labels.ravel()).reshape(labels.shape), labels).astype(np.uint8)


@pytest.fixture
def folders(tmp_path):
    """IMAGES, LABELS with palettes and values 2, 4, 6 …, and the true labels."""
    truth = {}
    for i, name in enumerate(("a", "sub/b ü")):
        sample = SCENES[i]
        write_png(tmp_path / "images" / f"{name}.png", sample.image)
        write_png(tmp_path / "labels" / f"{name}.png", spoilt(sample.labels) * 2, PALETTE)
        truth[name] = sample.labels * 2
    return tmp_path / "images", tmp_path / "labels", truth


def test_labels_get_better_and_keep_values_and_palette(folders, tmp_path, capsys):
    images, labels, truth = folders
    out = tmp_path / "out"
    files = refine(str(images / "a.png"), str(labels / "a.png"), str(out), **{**CRF, "quiet": False})
    assert [file.relative_to(out).as_posix() for file in files] == ["ids/a.png", "palette/a.png", "overlay/a.jpg"]
    before = np.asarray(Image.open(labels / "a.png"))
    after = np.asarray(Image.open(out / "ids" / "a.png"))
    assert set(np.unique(after)) <= set(np.unique(before))
    assert (after != truth["a"]).mean() < 0.5 * (before != truth["a"]).mean()
    with Image.open(out / "palette" / "a.png") as drawn:
        assert drawn.mode == "P" and (np.asarray(drawn) == after).all()
        assert (np.asarray(drawn.convert("RGB")) == PALETTE[after]).all()
    changed = int((before != after).sum())
    told = capsys.readouterr().out
    assert told.startswith(f"{changed:,} of {after.size:,} pixels (") and says(f"changed … {out}", told)
    assert told.count("\n") == 1 and told.endswith("(ids, palette, overlay of 1 image)\n")


def test_two_folders_by_name(folders, tmp_path):
    images, labels, truth = folders
    out = tmp_path / "out"
    files = refine(str(images), str(labels), str(out), save="ids,compare", **CRF)
    assert {file.relative_to(out).as_posix() for file in files} == {
        f"{kind}/{name}.png" for kind in ("ids", "compare") for name in truth
    }
    alone = tmp_path / "alone"
    refine(str(images / "a.png"), str(labels), str(alone), save="ids", **CRF)
    compare = np.asarray(Image.open(out / "compare" / "sub" / "b ü.png"))
    assert compare.shape == (40, 4 * 56 + 3 * 4, 3)
    assert (compare[:, :56] == SCENES[1].image.transpose(1, 2, 0)).all()
    after = np.asarray(Image.open(out / "ids" / "sub" / "b ü.png"))
    assert (compare[:, 120:176] == PALETTE[after]).all()


def test_colour_labels_keep_their_colours_and_unknown_ones_are_filled(folders, tmp_path, capsys):
    images, _, _ = folders
    colours = np.concatenate([PALETTE[:40] | 1, np.zeros((1, 3), np.uint8)])  # none black but the last
    ids = spoilt(SCENES[0].labels, 0.05)
    ids[::3] = 40
    write_png(tmp_path / "c.png", colours[ids])
    out = tmp_path / "out"
    refine(str(images / "a.png"), str(tmp_path / "c.png"), str(out), save="palette", unknown="black",
           **{**CRF, "quiet": False})  # fmt: skip
    drawn = np.asarray(Image.open(out / "palette" / "a.png").convert("RGB"))
    assert not (drawn == 0).all(axis=2).any()
    filled = (drawn[::3] == colours[SCENES[0].labels[::3]]).all(axis=2)
    assert filled.mean() > 0.8
    assert f"{ids[::3].size:,} unknown ones were given one" in capsys.readouterr().out


def test_probabilities_of_predict_come_out_as_predict_would_refine_them(folders, tmp_path):
    from segfield.crf.dense_crf import DenseCRF

    images, _, _ = folders
    p = np.random.default_rng(0).dirichlet(np.ones(4), (40, 56)).transpose(2, 0, 1).astype(np.float16)
    np.savez(tmp_path / "p.npz", probabilities=p)
    out = tmp_path / "out"
    refine(str(images / "a.png"), str(tmp_path / "p.npz"), str(out), save="probabilities,ids", **CRF)
    crf = DenseCRF(bilateral_sxy=5.0, bilateral_srgb=10.0, gaussian_sxy=1.0)
    expected = crf(SCENES[0].image, probabilities=p.astype(np.float32))
    with np.load(out / "probabilities" / "a.npz") as archive:
        np.testing.assert_allclose(archive["probabilities"], expected, atol=2e-3)
    assert (np.asarray(Image.open(out / "ids" / "a.png")) == expected.argmax(axis=0)).all()


def test_a_class_table_names_and_colours_probabilities(folders, tmp_path):
    images, _, _ = folders
    (tmp_path / "t.txt").write_text("sky 1 2 3\nroad 200 100 0\n")
    np.save(tmp_path / "p.npy", np.full((40, 56, 2), (0.6, 0.4)))
    refine(str(images / "a.png"), str(tmp_path / "p.npy"), str(tmp_path / "out"), save="palette",
           classes=str(tmp_path / "t.txt"), **CRF)  # fmt: skip
    assert (np.asarray(Image.open(tmp_path / "out" / "palette" / "a.png").convert("RGB")) == [1, 2, 3]).all()


def test_options_go_over_the_preset(folders, tmp_path):
    images, labels, _ = folders
    refine(str(images), str(labels), str(tmp_path / "out"), preset="deeplab_largefov", iterations=1, quiet=True)
    settings = json.loads((tmp_path / "out" / "refine.json").read_text(encoding="utf-8"))
    assert "bilateral_sxy=121.0" in settings["refiner"] and "iterations=1" in settings["refiner"]
    assert 'normalization="after"' in settings["refiner"]
    with pytest.raises(SettingError, match=r"guided_filter.*'iterations'"):
        refine(str(images), str(labels), str(tmp_path / "o"), preset="guided_filter", iterations=1)


def test_a_second_start_only_does_what_is_missing_and_refuses_other_settings(folders, tmp_path, capsys):
    images, labels, _ = folders
    out = tmp_path / "out"
    first = refine(str(images), str(labels), str(out), **CRF)
    stamps = {file: file.stat().st_mtime_ns for file in first}
    later = time.time() + 5
    os.utime(labels / "a.png", (later, later))
    assert refine(str(images), str(labels), str(out), **CRF) == first
    redone = {file.stem for file in first if file.stat().st_mtime_ns != stamps[file]}
    assert redone == {"a"}
    with pytest.raises(SettingError, match=r"confidence: 0\.7 there, 0\.9 now"):
        refine(str(images), str(labels), str(out), confidence=0.9, **CRF)
    assert refine(str(images), str(labels), str(out), confidence=0.9, overwrite=True, **CRF) == first


def test_bad_files_are_named_and_the_rest_done(folders, tmp_path, capsys):
    images, labels, _ = folders
    write_png(images / "c.png", np.zeros((3, 8, 8), np.uint8))
    write_png(labels / "c.png", np.zeros((9, 9), np.uint8))
    with pytest.raises(DataError, match=r"1 of 3 images.*other 2"):
        refine(str(images), str(labels), str(tmp_path / "out"), save="ids", **CRF)
    assert says("c.png … 9×9 … 8×8", " ".join(capsys.readouterr().err.split()))
    assert len(list((tmp_path / "out" / "ids").rglob("*.png"))) == 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--save", "ids,palete"], "'palete' … palette?"),
        (["--save", ","], "nothing … saved"),
        (["--confidence", "1.5"], "confidence is 1.5 … give"),
        (["--preset", "deeplap"], "refiner 'deeplap' … mean deeplab"),
        (["--unknown", "77"], "unknown value 77"),
        (["--bilateral-sxy", "0"], "bilateral_sxy is 0.0 … above 0"),
        (["--accuracy", "fst"], "accuracy is fst … fast?"),
        (["--iterations", "-1"], "iterations is -1"),
        (["--classes", "none.txt"], "no such class table"),
    ],
)
def test_wrong_settings_are_a_sentence_and_status_2(folders, tmp_path, capsys, words, told):
    images, labels, _ = folders
    out = tmp_path / "out"
    assert main(["refine", str(images), str(labels), "--out", str(out), *words]) == 2
    printed = capsys.readouterr().err
    assert says(told, printed) and printed.count("\n") == 1
    assert not out.exists()


def test_missing_partners_are_named(folders, tmp_path, capsys):
    images, labels, _ = folders
    (labels / "a.png").rename(labels / "x.png")
    assert main(["refine", str(images), str(labels), "--out", str(tmp_path / "out")]) == 2
    assert says("1 of 2 images … no labels", capsys.readouterr().err)
    assert main(["refine", str(images / "a.png"), str(labels / "none.png"), "--out", str(tmp_path / "out")]) == 2
    assert "no file or folder" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--unknown", "#c80000"], ["--unknown=#c80000"]])
def test_a_colour_on_the_command_line_is_no_comment(folders, tmp_path, capsys, words):
    """YAML would take it for one, and find nothing."""
    images, _, _ = folders
    colours = np.array([[200, 0, 0], [0, 9, 0], [0, 0, 9]], np.uint8)
    write_png(tmp_path / "c.png", colours[np.arange(40 * 56).reshape(40, 56) % 3])
    assert main(["refine", str(images / "a.png"), str(tmp_path / "c.png"), "--out", str(tmp_path / "o"), *words]) == 0
    assert "747 unknown" in capsys.readouterr().out


def test_from_the_command_line(folders, tmp_path, capsys):
    images, labels, _ = folders
    words = [
        str(images / "a.png"),
        str(labels / "a.png"),
        "--out",
        str(tmp_path / "o"),
        "--iterations",
        "2",
        "--unknown",
        "0",
    ]
    assert main(["refine", *words]) == 0
    assert "changed their label" in capsys.readouterr().out
    assert json.loads((tmp_path / "o" / "refine.json").read_text(encoding="utf-8"))["unknown"] == "0"


def test_the_device_is_asked_for_only_where_there_can_be_one(folders, tmp_path, monkeypatch):
    asked = []

    def note(before, image, refiner, **options):
        asked.append(options["device"])
        return real(before, image, refiner, **{**options, "device": None})

    real = refining.refine_segmentation
    monkeypatch.setattr(refining, "refine_segmentation", note)
    images, labels = folders[:2]
    for seen in (False, True):
        monkeypatch.setattr(machine, "gpu_in_sight", lambda seen=seen: seen)
        monkeypatch.setattr(devices, "pick_device", lambda name: f"picked {name}")
        refine(str(images), str(labels), out=str(tmp_path / str(seen)), quiet=True)
        assert set(asked) == {"picked auto" if seen else None}
        asked.clear()
    refine(str(images), str(labels), out=str(tmp_path / "cpu"), device="cpu", quiet=True)
    assert set(asked) == {None}


def test_a_gpu_that_is_not_there_is_said(folders, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    images, labels = folders[:2]
    assert main(["refine", str(images), str(labels), "--out", str(tmp_path / "out"), "--device", "cuda"]) == 2
    assert "--device cpu" in capsys.readouterr().err


def test_white_is_found_over_all_images_of_16_bits(folders, tmp_path, capsys):
    """12 bits in 16-bit files are refined as their 8-bit twins, the dim ones too."""
    images, labels, _ = folders
    deep = tmp_path / "deep"
    for file in images.rglob("*.png"):
        grey = read_image(file).mean(axis=0)
        dim = grey / 6 if file.stem == "a" else np.where(grey == grey.max(), 255, grey)
        write_png(images / file.relative_to(images), np.rint(dim).astype(np.uint8))
        write_png(deep / file.relative_to(images), np.rint(dim).astype(np.uint16) * 16)
    refine(str(images), str(labels), str(tmp_path / "o8"), save="ids", **CRF)
    refine(str(deep), str(labels), str(tmp_path / "o12"), save="ids", **{**CRF, "quiet": False})
    assert says("note: 2 images of uint16 … 4095 … --image_range", capsys.readouterr().out)
    for name in ("a", "sub/b ü"):
        eight, twelve = (np.asarray(Image.open(tmp_path / out / "ids" / f"{name}.png")) for out in ("o8", "o12"))
        assert (eight == twelve).mean() > 0.99
