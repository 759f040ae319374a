"""Whose file is whose: a user's files stay as they are whatever is asked, and ours are never taken for the user's."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segfield.commands import predict as verb
from segfield.commands.predict import predict
from segfield.commands.refine import refine
from segfield.data.check import check_dataset
from segfield.data.files import write_atomically
from segfield.data.formats import open_dataset
from segfield.data.output_plan import OutputFolder
from segfield.errors import SegfieldError, SettingError
from tests.inference.networks import FakeSegmenter, pixelwise


@pytest.fixture
def segmenter(tmp_path, monkeypatch):
    monkeypatch.setattr(verb, "load_segmenter", lambda file, device, engine: FakeSegmenter(pixelwise))
    file = tmp_path / "weights" / "segmenter.safetensors"
    file.parent.mkdir()
    file.write_bytes(b"weights")
    return str(file)


def photo(file: Path, seed: int = 0) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)).save(file)


def ten(folder: Path) -> Path:
    for i in range(10):
        photo(folder / f"{i}.png", i)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def run(segmenter, inputs, out, **settings):
    given = [str(i) for i in ([inputs] if isinstance(inputs, Path | str) else inputs)]
    return predict(segmenter, given, str(out), device="cpu", quiet=True, **settings)


@pytest.mark.parametrize("overwrite", [False, True])
def test_predict_never_takes_the_place_of_its_inputs(segmenter, tmp_path, monkeypatch, overwrite):
    ten(tmp_path / "io" / "ids")
    before = contents(tmp_path)
    monkeypatch.chdir(tmp_path / "io")
    for inputs, out in (("ids", "."), (tmp_path / "io" / "ids", tmp_path / "io"), ("ids/*.png", "../io")):
        with pytest.raises(SettingError, match=r"ids/\d\.png.* input .*give another --out"):
            run(segmenter, inputs, out, overwrite=overwrite)
        assert contents(tmp_path) == before


@pytest.mark.parametrize("overwrite", [False, True])
def test_refine_never_takes_the_place_of_its_inputs(tmp_path, monkeypatch, overwrite):
    photo(tmp_path / "images" / "a.png")
    photo(tmp_path / "palette" / "b.png")
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8) // 24).save(tmp_path / "ids.png")
    for folder, name in (("ids", "a"), ("labels", "b")):
        (tmp_path / folder).mkdir()
        os.link(tmp_path / "ids.png", tmp_path / folder / f"{name}.png")
    before = contents(tmp_path)
    monkeypatch.chdir(tmp_path)
    for words in (("images", "ids"), ("palette", "labels")):
        with pytest.raises(SettingError, match=r"input .*give another --out"):
            refine(*words, ".", overwrite=overwrite, quiet=True)
        assert contents(tmp_path) == before


@pytest.mark.parametrize("link", [os.symlink, os.link])
@pytest.mark.parametrize("overwrite", [False, True])
def test_an_input_is_known_by_whatever_name(segmenter, tmp_path, link, overwrite):
    photo(tmp_path / "photos" / "a.png")
    (tmp_path / "out" / "ids").mkdir(parents=True)
    link(tmp_path / "photos" / "a.png", tmp_path / "out" / "ids" / "a.png")
    before = contents(tmp_path)
    with pytest.raises(SettingError, match=r"input .*give another --out"):
        run(segmenter, tmp_path / "photos", tmp_path / "out", overwrite=overwrite)
    assert contents(tmp_path) == before


def test_predicted_into_their_own_folder_images_stay_ten(segmenter, tmp_path):
    photos = ten(tmp_path / "photos")
    for start in range(3):
        assert len(run(segmenter, photos, photos, overwrite=start == 2)) == 30
    assert len(run(segmenter, [str(photos / "**" / "*.png")], photos, overwrite=True)) == 30
    by_the_shell = [file for file in sorted(photos.iterdir()) if not file.name.startswith(".")]
    assert len(run(segmenter, by_the_shell, photos)) == 30
    assert len(run(segmenter, photos, tmp_path / "elsewhere")) == 30
    assert len(run(segmenter, [str(photos / "*.png"), str(photos / "**" / "*")], tmp_path / "elsewhere")) == 30


def test_results_of_an_earlier_start_are_no_images_of_a_later_one(segmenter, tmp_path):
    photos = ten(tmp_path / "photos")
    run(segmenter, photos, photos / "sub" / "earlier")
    run(segmenter, photos, photos / "later", save="overlay")
    assert len(run(segmenter, photos, tmp_path / "out")) == 30


@pytest.mark.parametrize("out", [".", "predicted", "images", "images/predicted", "masks"])
def test_check_counts_samples_and_not_what_was_predicted(segmenter, tmp_path, out):
    photos = ten(tmp_path / "photos" / "images").parent
    for i in range(10):
        (photos / "masks").mkdir(exist_ok=True)
        Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8) // 24).save(photos / "masks" / f"{i}.png")
    run(segmenter, photos / "images", photos / out)
    dataset = open_dataset(str(photos))
    assert len(dataset) == 10 and not any("left out" in note for note in dataset.notes)
    assert "masks without an image" not in [problem.kind for problem in check_dataset(dataset, str(photos), 1).problems]


def test_check_of_one_folder_counts_its_images(segmenter, tmp_path):
    photos = ten(tmp_path / "photos")
    for i in range(10):
        Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8) // 24).save(photos / f"{i}_mask.png")
    run(segmenter, [str(photos / "?.png")], photos)
    assert len(open_dataset(str(photos))) == 10


def test_a_folder_of_ours_that_is_named_is_taken(segmenter, tmp_path):
    photos = ten(tmp_path / "photos")
    run(segmenter, photos, tmp_path / "out", save="ids,probabilities")
    refined = refine(str(photos), str(tmp_path / "out" / "ids"), str(tmp_path / "refined"), save="ids", quiet=True)
    assert len(refined) == 10
    assert len(run(segmenter, tmp_path / "out" / "ids", tmp_path / "again", save="ids")) == 10
    assert len(run(segmenter, tmp_path / "out" / "ids" / "0.png", tmp_path / "one", save="ids")) == 1


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["legend.png", "ids/3.png", "overlay/3.jpg", "predict.json", "palette"])
def test_a_user_s_file_at_a_planned_name_is_named_and_stays(segmenter, tmp_path, name, overwrite):
    photos = ten(tmp_path / "photos")
    file = photos / name
    file.parent.mkdir(exist_ok=True)
    file.write_text('{"mine": 1}')
    before = contents(tmp_path)
    with pytest.raises(SegfieldError, match=rf"{name}.*(move it away|another --out)"):
        run(segmenter, photos, photos, overwrite=overwrite)
    assert contents(tmp_path) == before


def test_of_foreign_files_in_folders_of_our_names_none_is_removed(segmenter, tmp_path):
    photos, out = ten(tmp_path / "photos"), tmp_path / "out"
    mine = {"ids/notes.txt", "polygons/0.geojson", "entropy/0.png", "trials.txt", "ids/0/0.png", "video/0.json"}
    for name in mine:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(b"mine")
    for settings in ({}, {"flips": "all"}, {"flips": "all", "save": "overlay"}, {}):
        run(segmenter, photos, out, overwrite=True, **settings)
        assert all((out / name).read_bytes() == b"mine" for name in mine)


def test_what_was_changed_after_it_was_written_is_kept_or_refused(segmenter, tmp_path):
    photos, out = ten(tmp_path / "photos"), tmp_path / "out"
    run(segmenter, photos, out)
    for name in ("ids/3.png", "legend.png"):
        edited = bytearray((out / name).read_bytes())
        edited[-1] ^= 1
        (out / name).write_bytes(bytes(edited))  # of the same size
    before = contents(out)
    run(segmenter, photos, out)
    assert contents(out) == before
    (out / "overlay" / "4.jpg").unlink()
    run(segmenter, photos, out)
    assert contents(out) == before
    for settings in ({"overwrite": True}, {"overwrite": True, "flips": "all"}):
        with pytest.raises(SettingError, match=r"ids/3\.png' was changed .*--out, or move"):
            run(segmenter, photos, out, **settings)
        assert contents(out) == before
    (out / "overlay" / "3.jpg").unlink()
    with pytest.raises(SettingError, match=r"ids/3\.png' was changed"):
        run(segmenter, photos, out)


def test_overwriting_with_other_settings_leaves_nothing_of_the_old_ones(segmenter, tmp_path):
    photos, out = ten(tmp_path / "photos"), tmp_path / "out"
    run(segmenter, photos, out, save="ids,entropy,polygons")
    for i in range(5):
        (photos / f"{i}.png").unlink()
    run(segmenter, photos, out, save="overlay", flips="all", overwrite=True)
    left = {name for name in contents(out) if not name.startswith(".segfield/")}
    assert left == {"predict.json", "legend.png", *(f"overlay/{i}.jpg" for i in range(5, 10))}


def test_a_folder_of_an_older_version_is_gone_on_with_and_not_overwritten(segmenter, tmp_path):
    photos, out = ten(tmp_path / "photos"), tmp_path / "out"
    run(segmenter, photos, out)
    for file in (out / ".segfield").iterdir():
        file.unlink()
    (out / "ids" / "3.png").unlink()
    (out / "palette" / "3.png").unlink()
    (out / "overlay" / "3.jpg").unlink()
    before = contents(out)
    with pytest.raises(SettingError, match=r"not written by .* kept no record.*another --out"):
        run(segmenter, photos, out, overwrite=True)
    assert contents(out) == before
    assert len(run(segmenter, photos, out)) == 30
    assert before.items() <= contents(out).items()
    assert len(run(segmenter, photos, out)) == 30


def test_results_of_an_older_version_are_no_images(segmenter, tmp_path):
    photos = ten(tmp_path / "photos")
    run(segmenter, photos, photos)
    for file in (photos / ".segfield").iterdir():
        file.unlink()
    assert len(run(segmenter, photos, photos)) == 30
    assert len(run(segmenter, photos, tmp_path / "out")) == 30


def test_no_two_images_share_an_output(segmenter, tmp_path):
    photos = tmp_path / "photos"
    names = ["a.png", "a.jpg", "a.png.png", "A.png", "b.png", "b/c.png", "b.png.d/x.png", "é.png", "e\u0301.png"]
    for i, name in enumerate([*names, "d.jpg", "d.png/e.png", "ids/a.png"]):
        photo(photos / name, i)
    files = run(segmenter, photos, tmp_path / "out")
    assert len({str(file) for file in files}) == 12 * 3 and all(file.is_file() for file in files)
    assert len({file.stat().st_ino for file in files}) == 12 * 3
    assert len(run(segmenter, photos, tmp_path / "out")) == 12 * 3


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_link_in_the_output_folder_leads_nowhere(segmenter, tmp_path, overwrite):
    ten(tmp_path / "photos")
    ten(tmp_path / "elsewhere")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "ids").symlink_to(tmp_path / "elsewhere")
    before = contents(tmp_path)
    with pytest.raises(SettingError, match=r"out/ids' is a link to .*elsewhere"):
        run(segmenter, tmp_path / "photos", tmp_path / "out", overwrite=overwrite)
    assert contents(tmp_path) == before
    (tmp_path / "link").symlink_to(tmp_path / "out")
    (tmp_path / "out" / "ids").unlink()
    assert len(run(segmenter, tmp_path / "photos", tmp_path / "link")) == 30


def test_a_pattern_through_a_link_stays_inside(segmenter, tmp_path, monkeypatch):
    ten(tmp_path / "real" / "deep" / "photos")
    (tmp_path / "photos").symlink_to(tmp_path / "real" / "deep" / "photos")
    monkeypatch.chdir(tmp_path)
    files = run(segmenter, ["photos/*.png"], "out")
    assert {file.relative_to("out").parts[0] for file in files} == {"ids", "palette", "overlay"}
    files = run(segmenter, ["real/*/../deep/photos/*.png"], "other", save="ids")
    assert len(files) == 10 and all(".." not in file.parts for file in files)


def test_a_name_that_the_file_system_cannot_take_is_said_before_the_work(segmenter, tmp_path):
    ten(tmp_path / "photos")
    photo(tmp_path / "photos" / f"{'x' * 250}.png")
    with pytest.raises(SettingError, match=r"258 bytes.*takes 255; shorten the name"):
        run(segmenter, tmp_path / "photos", tmp_path / "out", save="ids,polygons")
    assert not (tmp_path / "out").exists()


def test_a_name_that_is_no_text_is_predicted(segmenter, tmp_path):
    photos = tmp_path / os.fsdecode(b"photos \xff")
    photo(photos / os.fsdecode(b"\xfe.png"))
    for overwrite in (False, True):
        assert len(run(segmenter, photos, tmp_path / "out", overwrite=overwrite)) == 3


def test_predict_and_refine_do_not_overwrite_each_other(segmenter, tmp_path):
    photos, out = ten(tmp_path / "photos"), tmp_path / "out"
    run(segmenter, photos, out, save="ids,probabilities")
    before = contents(out)
    with pytest.raises(SettingError, match=r"input .*give another --out"):
        refine(str(photos), str(out / "ids"), str(out), save="ids", quiet=True, overwrite=True)
    with pytest.raises(SettingError, match=r"ids/0\.png.* not written by segfield refine"):
        refine(str(photos), str(out / "probabilities"), str(out), save="ids", quiet=True, overwrite=True)
    assert contents(out) == before


def test_a_legend_among_the_images_hides_no_sample(tmp_path):
    for sample in ("one", "two"):
        photo(tmp_path / "stage1_train" / sample / "images" / f"{sample}.png")
        photo(tmp_path / "stage1_train" / sample / "masks" / "1.png")
        folder = tmp_path / "stage1_train" / sample / "images"
        with OutputFolder(folder, "predict").writing():
            write_atomically(folder / "legend.png", b"ours")
    assert len(open_dataset(f"nuclei:{tmp_path}")) == 2
