"""Cityscapes: both numberings are told apart, and submission ids come out of either."""

from __future__ import annotations

import numpy as np
import pytest

from segfield.classes import ClassTable
from segfield.data.formats import open_dataset
from segfield.data.formats.cityscapes import cityscapes_classes, open_cityscapes
from segfield.errors import DataError
from tests.data.tiny_layouts import make_cityscapes, patches


def test_the_table_equals_the_official_scripts():
    official = pytest.importorskip("cityscapesscripts.helpers.labels").labels
    table = cityscapes_classes()
    for label in official:
        expected = label.trainId if 0 <= label.trainId < 19 else 255
        assert table.value_to_id()[label.id] == expected
        if expected != 255:
            assert table.names[expected] == label.name
            assert table.colours[expected] == label.color
            assert table.to_source(np.array([expected])).tolist() == [label.id]


def test_splits_and_names(tmp_path):
    dataset = open_dataset(make_cityscapes(tmp_path))
    assert {name: len(dataset.split(name)) for name in dataset.splits} == {"train": 2, "val": 1, "test": 1}
    assert "aachen/aachen_000000_000019" in dataset.names
    assert dataset.split("test")[0].labels is None


def test_label_ids(tmp_path):
    dataset = open_cityscapes(make_cityscapes(tmp_path))
    assert "official label ids" in dataset.describe()
    i = dataset.names.index("aachen/aachen_000000_000019")
    values = patches(0, [7, 11, 23, 26, 1, 0])
    np.testing.assert_array_equal(
        dataset[i].labels, np.select([values == v for v in (7, 11, 23, 26)], [0, 2, 10, 13], 255)
    )


@pytest.mark.parametrize("tail", ["labelTrainIds", "labelIds"])
def test_train_ids_whatever_the_files_are_called(tmp_path, tail):
    values = (0, 2, 10, 13, 255)
    dataset = open_cityscapes(make_cityscapes(tmp_path, tail, values))
    assert "train ids" in dataset.describe() and "official label ids" in dataset.describe()
    i = dataset.names.index("aachen/aachen_000000_000019")
    labels = dataset[i].labels
    np.testing.assert_array_equal(labels, patches(0, list(values)))
    submitted = dataset.classes.to_source(labels)
    assert set(np.unique(submitted)) == {7, 11, 23, 26, 0}
    np.testing.assert_array_equal(submitted == 26, labels == 13)


@pytest.mark.parametrize(("tail", "kind"), [("labelTrainIds", "train ids"), ("labelIds", "official label ids")])
def test_where_values_tell_nothing_the_name_does(tmp_path, tail, kind):
    dataset = open_cityscapes(make_cityscapes(tmp_path, tail, (7, 11)))
    assert f"taken for {kind} by their file names" in dataset.describe()


def test_numberings_that_mix_are_noticed_when_read(tmp_path):
    make_cityscapes(tmp_path, "labelTrainIds", (0, 13, 255))
    make_cityscapes(tmp_path / "other")
    source = tmp_path / "other/gtFine/val/lindau/lindau_000000_000019_gtFine_labelIds.png"
    source.rename(tmp_path / "gtFine/val/lindau/lindau_000000_000019_gtFine_labelTrainIds.png")
    with pytest.raises(DataError, match=r"lindau.*does not map"):
        open_cityscapes(tmp_path).split("val")[0]


def test_classes_of_ones_own(tmp_path):
    table = ClassTable(("road", "other"), source_values={7: 0, 11: 1, 23: 1, 26: 1, 1: 255, 0: 255})
    dataset = open_dataset(make_cityscapes(tmp_path), table)
    assert set(np.unique(dataset.split("train")[0].labels)) == {0, 1, 255}


def test_without_masks(tmp_path):
    make_cityscapes(tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "leftImg8bit").rename(tmp_path / "b" / "leftImg8bit")
    dataset = open_cityscapes(tmp_path / "b")
    assert "without labels" in dataset.describe()
    assert dataset[0].labels is None


def test_no_images(tmp_path):
    (tmp_path / "leftImg8bit").mkdir()
    with pytest.raises(DataError, match="no images SPLIT/CITY"):
        open_cityscapes(tmp_path)
