"""Pascal VOC: palette, lists, and trainaug from either form of SBD."""

from __future__ import annotations

import numpy as np
import pytest

from segfield.data.formats import open_dataset
from segfield.data.formats.voc import open_voc, voc_classes, voc_colour
from segfield.errors import DataError
from tests.data.tiny_layouts import draw, make_sbd, make_voc, patches, save, voc_palette, write

PUBLISHED = {
    0: (0, 0, 0),
    1: (128, 0, 0),
    2: (0, 128, 0),
    8: (64, 0, 0),
    15: (192, 128, 128),
    20: (0, 64, 128),
    255: (224, 224, 192),
}


@pytest.mark.parametrize(("index", "colour"), PUBLISHED.items())
def test_palette_equals_the_published_one(index, colour):
    assert voc_colour(index) == colour


def test_classes():
    table = voc_classes()
    assert len(table) == 21 and table.names[15] == "person" and table.ignored_id == 255


def test_splits_and_masks(tmp_path):
    dataset = open_dataset(make_voc(tmp_path))
    assert {name: len(dataset.split(name)) for name in dataset.splits} == {"train": 2, "val": 1, "trainval": 3}
    assert list(dataset.names) == ["2007_000001", "2007_000002", "2007_000003"]
    np.testing.assert_array_equal(dataset[2].labels, patches(2, [0, 15, 255, 20]))


@pytest.mark.parametrize("depth", ["", "VOCdevkit", "VOCdevkit/VOC2012"])
def test_any_folder_of_the_devkit(tmp_path, depth):
    make_voc(tmp_path)
    assert len(open_voc(tmp_path / depth)) == 3


def test_a_test_list_has_no_masks(tmp_path):
    home = make_voc(tmp_path)
    save(home / "JPEGImages" / "2008_000006.jpg", draw(9))
    write(home / "ImageSets" / "Segmentation" / "test.txt", "2008_000006\n")
    assert open_voc(home).split("test")[0].labels is None


@pytest.mark.parametrize("place", ["", "VOCdevkit", "VOCdevkit/VOC2012"])
def test_trainaug_from_sbd(tmp_path, place):
    home = make_voc(tmp_path)
    make_sbd(tmp_path / place)
    trainaug = open_voc(home).split("trainaug")
    assert list(trainaug.names) == ["2007_000001", "2007_000002", "2008_000011"]
    masks = {trainaug.record(i).name: trainaug.record(i).mask for i in range(3)}
    assert masks["2007_000001"] == home / "SegmentationClass" / "2007_000001.png"
    assert masks["2008_000011"].suffix == ".mat"
    np.testing.assert_array_equal(trainaug[2].labels, patches(50, [0, 7]))


@pytest.mark.parametrize("line", ["{}", "/JPEGImages/{}.jpg /SegmentationClassAug/{}.png"])
def test_trainaug_from_converted_masks(tmp_path, line):
    home = make_voc(tmp_path)
    for seed, name in enumerate(("2007_000001", "2007_000002", "2007_000003", "2008_000011")):
        save(home / "SegmentationClassAug" / f"{name}.png", patches(seed, [0, 3]), voc_palette())
    save(home / "JPEGImages" / "2008_000011.jpg", draw(9))
    names = ("2007_000001", "2007_000002", "2008_000011")
    without_list = open_voc(home)
    assert sorted(without_list.split("trainaug").names) == sorted(names)
    write(home / "ImageSets" / "Segmentation" / "trainaug.txt", "\n".join(line.replace("{}", name) for name in names))
    dataset = open_voc(home)
    assert list(dataset.split("trainaug").names) == list(names)
    assert not set(dataset.split("trainaug").names) & set(dataset.split("val").names)
    assert dataset.record(dataset.names.index("2008_000011")).split == "trainaug"


def test_a_listed_image_that_is_not_there(tmp_path):
    home = make_voc(tmp_path)
    (home / "JPEGImages" / "2007_000002.jpg").unlink()
    with pytest.raises(DataError, match=r"2007_000002\.jpg.*train list"):
        open_voc(home)


@pytest.mark.shared
def test_real_voc(shared_data):
    dataset = open_dataset(shared_data / "voc2012_mini")
    assert dataset.splits == ("val",) and len(dataset) == 4
    assert all(set(np.unique(sample.labels)) <= {*range(21), 255} for sample in dataset)
