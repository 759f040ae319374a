"""The results folder: what counts as complete, and what it refuses to mix."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from segfield.data.files import write_atomically
from segfield.errors import DataError, SettingError
from segfield.inference.inputs import Input
from segfield.inference.results import ResultsFolder
from tests.inference.networks import THREE


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    images = [Input(folder / f"{i}.png", f"{i}") for i in range(3)]
    for image in images:
        image.file.write_bytes(b"image")
    return images


def fill(results, image):
    with results.writing():
        for file in results.outputs(image):
            write_atomically(file, b"output")


def test_complete_is_every_output_and_none_older_than_the_image(tmp_path, photos):
    results = ResultsFolder(tmp_path / "out", ("ids", "overlay"))
    image = photos[0]
    assert not results.is_complete(image)
    fill(results, image)
    assert results.is_complete(image) and not results.is_complete(photos[1])
    later = image.file.stat().st_mtime + 10
    os.utime(image.file, (later, later))
    assert not results.is_complete(image)
    fill(results, image)
    os.utime(results.outputs(image)[0], (later + 1, later + 1))
    assert not results.is_complete(image)
    os.utime(results.outputs(image)[1], (later + 1, later + 1))
    assert results.is_complete(image)
    assert not ResultsFolder(tmp_path / "out", ("ids", "overlay", "entropy")).is_complete(image)


def test_the_way_to_the_images_stays_true_when_both_move(tmp_path, photos):
    base = photos[0].file.parent
    ResultsFolder(tmp_path / "out", ("ids",)).open({"tile": 512}, base, photos, photos, overwrite=False)
    written = json.loads((tmp_path / "out" / "predict.json").read_text(encoding="utf-8"))
    assert written == {"tile": 512, "images_of": "../photos"}
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    (tmp_path / "out").rename(moved / "out")
    base.rename(moved / "photos")
    ResultsFolder(moved / "out", ("ids",)).open({"tile": 512}, moved / "photos", photos, photos, overwrite=False)
    with pytest.raises(SettingError, match=r"tile: 512 there, 256 now"):
        ResultsFolder(moved / "out", ("ids",)).open({"tile": 256}, moved / "photos", photos, photos, overwrite=False)


@pytest.mark.parametrize("settings, left", [({"tile": 512}, ["1", "2"]), ({"tile": 256}, [])])
def test_overwriting_removes_its_part_or_all_where_settings_differ(tmp_path, photos, settings, left):
    results = ResultsFolder(tmp_path / "out", ("ids",))
    base = photos[0].file.parent
    results.open({"tile": 512}, base, photos, photos, overwrite=False)
    for image in photos:
        fill(results, image)
    results.open(settings, base, photos, photos[:1], overwrite=True)
    assert sorted(file.stem for file in (tmp_path / "out").glob("ids/*")) == left


def test_a_damaged_settings_file_is_named(tmp_path, photos):
    results = ResultsFolder(tmp_path / "out", ("ids",))
    results.folder.mkdir()
    (results.folder / "predict.json").write_text("{half", encoding="utf-8")
    with pytest.raises(DataError, match=r"predict\.json.*(truncated|damaged)"):
        results.open({}, photos[0].file.parent, photos, photos, overwrite=False)


def test_the_legend_has_every_colour(tmp_path):
    picture = np.asarray(Image.open(ResultsFolder(tmp_path, ("ids",)).write_legend(THREE)))
    assert all((picture == colour).all(axis=-1).any() for colour in THREE.colours)


def test_a_video_s_ids_are_a_folder_and_complete_as_such(tmp_path):
    clip = Input(tmp_path / "a.mp4", "sub/a")
    clip.file.write_bytes(b"video")
    results = ResultsFolder(tmp_path / "out", ("ids", "polygons"), clip_kinds=("ids", "overlay"))
    ids, overlay = results.outputs(clip)
    assert (ids, overlay) == (tmp_path / "out" / "ids" / "sub" / "a", tmp_path / "out" / "overlay" / "sub" / "a.mp4")
    assert not results.is_complete(clip)
    ids.mkdir(parents=True)
    overlay.parent.mkdir(parents=True)
    overlay.write_bytes(b"film")
    assert results.is_complete(clip)


def test_a_folder_of_images_is_never_taken_for_a_video_s(tmp_path):
    clip = Input(tmp_path / "a.mp4", "a")
    clip.file.write_bytes(b"video")
    results = ResultsFolder(tmp_path / "out", ("ids",), clip_kinds=("ids",))
    ids = results.outputs(clip)[0]
    ids.mkdir(parents=True)
    (ids / "0001.png").write_bytes(b"an image's")
    for overwrite in (True, True):
        with pytest.raises(SettingError, match="not made of a video"):
            results.open({"flips": "none"}, tmp_path, [clip], [clip], overwrite)
    assert (ids / "0001.png").is_file()
    results.clip_report(clip).parent.mkdir()
    results.clip_report(clip).write_text("{}")
    with pytest.raises(SettingError, match="not written by"):
        results.open({"flips": "none"}, tmp_path, [clip], [clip], True)
    assert (ids / "0001.png").is_file()
