"""Pascal Context: three class lists from one set of ids."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from segfield.data.formats import open_dataset
from segfield.data.formats.pascal_context import context_classes, open_context, read_label_names
from segfield.errors import DataError, SettingError
from tests.data.tiny_layouts import CONTEXT_LABELS, make_context, patches, write

FULL = {f"name {i}": i for i in range(1, 460)}


def test_splits_are_those_of_voc_2010(tmp_path):
    dataset = open_dataset(make_context(tmp_path))
    assert {name: list(dataset.split(name).names) for name in dataset.splits} == {
        "train": ["2008_000002", "2008_000003"],
        "val": ["2008_000007"],
    }
    assert dataset[0].image.shape == (3, 12, 16)


@pytest.mark.parametrize(("variant", "count", "rest", "shift"), [("59", 59, 255, 0), ("59+1", 60, 0, 1)])
def test_59_names_with_the_three_other_spellings(tmp_path, variant, count, rest, shift):
    home = make_context(tmp_path)
    for dataset in (
        open_dataset(f"pascal_context:{home}?classes={variant}"),
        open_dataset(f"pascal_context:{home}", variant),
    ):
        assert len(dataset.classes) == count
        ids = [dataset.classes.names.index(name) for name in ("aeroplane", "diningtable", "bedcloth", "clothes")]
        assert ids == [shift, 10 + shift, 51 + shift, 27 + shift]
        # The files hold 2 aeroplane, 397 table, 19 bedclothes, 80 cloth, 459 wool, 431 unknown.
        expected = np.array([*ids, rest, rest])[patches(0, [0, 1, 2, 3, 4, 5])]
        np.testing.assert_array_equal(dataset[0].labels, expected)


def test_59_plus_1_is_the_default(tmp_path):
    table = open_dataset(make_context(tmp_path)).classes
    assert table.names[0] == "background" and len(table) == 60


def test_459(tmp_path):
    dataset = open_context(make_context(tmp_path), "459")
    assert dataset.classes.ignored_id == 255  # the tiny file of labels has fewer than 255 names
    values = np.array([2, 397, 19, 80, 459, 431])[patches(0, [0, 1, 2, 3, 4, 5])]
    np.testing.assert_array_equal(dataset.classes.to_source(dataset[0].labels), values)


def test_the_full_459():
    table = context_classes(FULL, "459")
    assert len(table) == 459 and table.ignored_id == 65535 and table.dtype == np.int32
    assert table.value_to_id()[1] == 0 and table.value_to_id()[459] == 458 and table.value_to_id()[0] == 65535


def test_every_id_of_labels_txt_is_mapped(tmp_path):
    labels = read_label_names(write(tmp_path / "labels.txt", CONTEXT_LABELS))
    assert labels["bedclothes"] == 19 and len(labels) == 62
    for variant in ("59", "59+1", "459"):
        assert {0, *labels.values()} == set(context_classes(labels, variant).value_to_id())


def test_unknown_variant(tmp_path):
    with pytest.raises(SettingError, match=r"no variant classes=60; .*Known: 459, 59, 59\+1"):
        open_dataset(f"pascal_context:{make_context(tmp_path)}?classes=60")


def test_labels_that_lack_a_name():
    with pytest.raises(DataError, match=r"labels\.txt lacks aeroplane"):
        context_classes(FULL, "59")


def test_labels_of_another_form(tmp_path):
    with pytest.raises(DataError, match=r"line 2.*'aeroplane'.*'ID: name'"):
        read_label_names(write(tmp_path / "labels.txt", "1: accordion\naeroplane\n"))


def test_voc_elsewhere(tmp_path):
    home = make_context(tmp_path)
    (tmp_path / "far").mkdir()
    shutil.move(tmp_path / "VOCdevkit", tmp_path / "far" / "VOCdevkit")
    with pytest.raises(DataError, match=r"VOC2010 .*were not found; .*voc=FOLDER"):
        open_dataset(home)
    for folder in ("far", "far/VOCdevkit", "far/VOCdevkit/VOC2010"):
        assert len(open_dataset(f"pascal_context:{home}?voc={tmp_path / folder}&classes=59")) == 3


def test_no_sample_in_the_lists(tmp_path):
    home = make_context(tmp_path)
    for file in (tmp_path / "VOCdevkit/VOC2010/ImageSets/Main").iterdir():
        file.write_text("2008_999999\n")
    with pytest.raises(DataError, match="name no sample"):
        open_dataset(home)
