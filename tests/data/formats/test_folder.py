"""Folders and lists of one's own: splits, classes, encodings."""

from __future__ import annotations

import numpy as np
import pytest

from segfield.classes import ClassTable
from segfield.data.formats import open_dataset
from segfield.data.formats.folder import open_folder
from segfield.errors import DataError
from tests.data.tiny_layouts import draw, patches, save, voc_palette, write
from tests.told import says

NAMES = [f"scene {i} ü" for i in range(10)]


def make(root, names=NAMES, values=(0, 1, 2), image="images/{}.png", mask="masks/{}.png"):
    for seed, name in enumerate(names):
        save(root / image.format(name), draw(seed))
        save(root / mask.format(name), patches(seed, list(values)))
    return root


def test_without_splits_a_fifth_is_drawn(tmp_path):
    dataset = open_dataset(make(tmp_path))
    assert (len(dataset.split("train")), len(dataset.split("val"))) == (8, 2)
    assert says("20 % … drawn … seed 0", dataset.describe())
    assert list(open_dataset(tmp_path).split("val").names) == list(dataset.split("val").names)
    others = {tuple(open_dataset(f"folder:{tmp_path}?seed={seed}").split("val").names) for seed in range(5)}
    assert len(others) > 1
    np.testing.assert_array_equal(dataset[3].labels, patches(3, [0, 1, 2]))


@pytest.mark.parametrize(
    ("image", "mask"), [("images/{s}/{n}.png", "masks/{s}/{n}.png"), ("{s}/images/{n}.png", "{s}/masks/{n}.png")]
)
def test_split_folders_in_either_order(tmp_path, image, mask):
    for split, names in {"train": NAMES[:3], "val": NAMES[3:5], "test": NAMES[5:]}.items():
        make(
            tmp_path,
            names,
            image=image.replace("{s}", split).replace("{n}", "{}"),
            mask=mask.replace("{s}", split).replace("{n}", "{}"),
        )
    dataset = open_dataset(tmp_path)
    assert {name: len(dataset.split(name)) for name in dataset.splits} == {"train": 3, "val": 2, "test": 5}
    assert "drawn" not in dataset.describe()


def test_equal_names_in_two_splits(tmp_path):
    make(tmp_path, ["0", "1"], image="train/images/{}.png", mask="train/masks/{}.png")
    make(tmp_path, ["0"], image="val/images/{}.png", mask="val/masks/{}.png")
    dataset = open_dataset(tmp_path)
    assert set(dataset.names) == {"train/0", "val/0", "1"}


def test_train_and_test_folders_leave_val_to_be_drawn_from_train(tmp_path):
    make(tmp_path, NAMES[:5], image="train/images/{}.png", mask="train/masks/{}.png")
    make(tmp_path, NAMES[5:], image="test/images/{}.png", mask="test/masks/{}.png")
    dataset = open_dataset(tmp_path)
    assert {name: len(dataset.split(name)) for name in dataset.splits} == {"train": 4, "val": 1, "test": 5}
    assert set(dataset.split("test").names) == set(NAMES[5:])


def test_one_image(tmp_path):
    dataset = open_dataset(make(tmp_path, NAMES[:1]))
    assert dataset.splits == ("train",)
    assert says("one labelled sample … val split", dataset.describe())


def test_images_without_masks(tmp_path):
    make(tmp_path, NAMES[:4])
    save(tmp_path / "images" / "bare.png", draw(9))
    dataset = open_dataset(tmp_path)
    assert list(dataset.split("unlabelled").names) == ["bare"]
    assert dataset.split("unlabelled")[0].labels is None


def test_no_masks_at_all(tmp_path):
    for name in NAMES[:3]:
        save(tmp_path / "images" / f"{name}.png", draw(0))
    with pytest.raises(DataError, match=r"3 images.*no masks.*put masks.*into .*masks"):
        open_dataset(tmp_path)
    assert open_dataset(tmp_path, ClassTable(("a", "b"))).splits == ("unlabelled",)


def test_no_images(tmp_path):
    with pytest.raises(DataError, match="no image files"):
        open_dataset(tmp_path)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("classes.txt", "grass\nwater\nrock\n"),
        ("classes.yaml", "names: [grass, water, rock]"),
        ("classes.yml", "[grass, water, rock]"),
        ("classes.json", '["grass", "water", "rock"]'),
    ],
)
def test_classes_of_the_folder(tmp_path, file, text):
    write(make(tmp_path) / file, text)
    dataset = open_dataset(tmp_path)
    assert dataset.classes.names == ("grass", "water", "rock")
    np.testing.assert_array_equal(dataset[0].labels, patches(0, [0, 1, 2]))


def test_given_classes_win_over_the_folders(tmp_path):
    write(make(tmp_path) / "classes.txt", "grass\nwater\nrock\n")
    table = ClassTable(("all",), source_values={0: 0, 1: 0, 2: 255})
    assert open_dataset(tmp_path, table).classes is table


def test_colour_masks_with_a_colour_table(tmp_path):
    ids = patches(0, [0, 1])
    save(tmp_path / "images" / "a.jpg", draw(0))
    save(tmp_path / "masks" / "a.png", np.array([(10, 20, 30), (200, 0, 0)], np.uint8)[ids])
    write(tmp_path / "classes.txt", "sea 10 20 30\nship 200 0 0\n")
    np.testing.assert_array_equal(open_dataset(tmp_path)[0].labels, ids)


def test_an_unlisted_colour_is_an_error_when_read(tmp_path):
    save(tmp_path / "images" / "a.jpg", draw(0))
    save(tmp_path / "masks" / "a.png", np.full((12, 16, 3), 77, np.uint8))
    write(tmp_path / "classes.txt", "sea 10 20 30\nship 200 0 0\n")
    with pytest.raises(DataError, match=r"a\.png.*\[77, 77, 77\] \(192 pixels\)"):
        open_dataset(tmp_path)[0]


def test_two_names_and_masks_of_0_and_255(tmp_path):
    write(make(tmp_path, values=(0, 255)) / "classes.txt", "other\ncell\n")
    dataset = open_dataset(tmp_path)
    np.testing.assert_array_equal(dataset[0].labels, patches(0, [0, 255]) // 255)
    assert "255 is cell" in dataset.describe()


@pytest.mark.parametrize("suffix", ["gif", "tif", "bmp", "png"])
def test_palette_masks_in_every_container(tmp_path, suffix):
    for i in range(3):
        save(tmp_path / "images" / f"{i}.jpg", draw(i))
        save(tmp_path / "labels" / f"{i}.{suffix}", patches(i, [0, 1, 2]), voc_palette())
    dataset = open_dataset(tmp_path)
    assert len(dataset.classes) == 3
    for i in range(3):
        np.testing.assert_array_equal(dataset[i].labels, patches(i, [0, 1, 2]))


def test_16_bit_images_and_masks(tmp_path):
    save(tmp_path / "images" / "a.tif", np.full((12, 16), 40000, np.uint16))
    save(tmp_path / "masks" / "a.tif", patches(0, [0, 1]).astype(np.uint16) * 300)
    sample = open_dataset(tmp_path)[0]
    assert sample.image.dtype == np.uint16
    np.testing.assert_array_equal(sample.labels, patches(0, [0, 1]))


def test_list_of_pairs(tmp_path):
    make(tmp_path, image="x/{}.png", mask="y/{}_m.png")
    file = write(tmp_path / "pairs.txt", "\n".join(f"x/{name}.png y/{name}_m.png" for name in NAMES))
    for where in (file, f"folder:{file}"):
        dataset = open_dataset(where)
        assert sorted(dataset.names) == sorted(NAMES)
        assert (len(dataset.split("train")), len(dataset.split("val"))) == (8, 2)


def test_csv_with_splits(tmp_path):
    make(tmp_path, NAMES[:3], image="x/{}.png", mask="y/{}.png")
    rows = [f"x/{name}.png,y/{name}.png,{split}" for name, split in zip(NAMES, ("train", "valid", "Test"))]
    dataset = open_dataset(write(tmp_path / "pairs.csv", "image,mask,split\n" + "\n".join(rows)))
    assert dataset.splits == ("train", "val", "test")
    assert list(dataset.split("val").names) == [NAMES[1]]


def test_a_list_over_several_folders_keeps_names_apart(tmp_path):
    for part in ("north", "south"):
        make(tmp_path, ["1"], image=part + "/rgb/{}.png", mask=part + "/ids/{}.png")
    file = write(tmp_path / "pairs.txt", "north/rgb/1.png north/ids/1.png\nsouth/rgb/1.png south/ids/1.png\n")
    assert set(open_dataset(file).names) == {"north/rgb/1", "south/rgb/1"}


@pytest.mark.parametrize("line", ["{}", "{}.png", "images/{}.png masks/{}.png"])
def test_split_lists_in_the_folder(tmp_path, line):
    make(tmp_path, ["a", "b", "c"])
    write(tmp_path / "train.txt", "\n".join(line.replace("{}", name) for name in "ac"))
    write(tmp_path / "val.txt", line.replace("{}", "b"))
    dataset = open_dataset(tmp_path)
    assert list(dataset.split("train").names) == ["a", "c"]
    assert list(dataset.split("val").names) == ["b"]
    assert "train.txt, val.txt" in dataset.describe()


def test_a_list_without_masks(tmp_path):
    save(tmp_path / "a.png", draw(0))
    with pytest.raises(DataError, match="1 images but no masks"):
        open_folder(write(tmp_path / "list.txt", "a.png\n"))


@pytest.mark.shared
def test_isbi2012(shared_data):
    dataset = open_dataset(shared_data / "isbi2012")
    assert {name: len(dataset.split(name)) for name in dataset.splits} == {"train": 19, "val": 5}
    sample = dataset[0]
    assert sample.image.shape == (1, 512, 512)
    assert np.bincount(sample.labels.ravel()).tolist() == [57492, 204652]


@pytest.mark.shared
def test_densecrf_examples(shared_data):
    colours = {
        (0, 0, 0): 255,
        (64, 128, 0): 0,
        (0, 64, 0): 1,
        (0, 192, 0): 2,
        (0, 128, 0): 3,
        (192, 128, 0): 4,
        (64, 64, 0): 5,
    }
    table = ClassTable(tuple(f"thing {i}" for i in range(6)), source_colours=colours)
    dataset = open_dataset(shared_data / "densecrf_examples", table)
    assert sorted(dataset.names) == ["im1", "im2", "im3"]
    labels = {sample.name: sample.labels for sample in dataset}
    assert (labels["im1"] == 255).sum() == 8512
    assert np.unique(labels["im3"]).tolist() == [3, 4, 5, 255]
    assert len(open_dataset(shared_data / "densecrf_examples").classes) == 7
