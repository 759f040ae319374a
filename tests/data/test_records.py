"""FileDataset: reading, splits, names, and the errors about pairs that do not fit."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from PIL import Image

from segfield.classes import ClassTable
from segfield.data.dataset import folds
from segfield.data.records import FileDataset, Record, by_split, size_mismatch, split_by_name, unique_names
from segfield.errors import DataError
from tests.data.tiny_layouts import draw, patches, save

TABLE = ClassTable(("a", "b", "c"))


def make(tmp_path, count=4, **options):
    records = []
    for i in range(count):
        image = save(tmp_path / "images" / f"{i}.png", draw(i))
        mask = save(tmp_path / "masks" / f"{i}.png", patches(i, [0, 1, 2])) if i else None
        records.append(Record(str(i), image, mask, "unlabelled" if mask is None else ("train", "val")[i % 2]))
    return FileDataset(records, TABLE, "folder", tmp_path, **options)


def test_samples_are_read_when_asked_for(tmp_path):
    dataset = make(tmp_path)
    sample = dataset[1]
    assert sample.name == "1"
    np.testing.assert_array_equal(sample.image, draw(1).transpose(2, 0, 1))
    np.testing.assert_array_equal(sample.labels, patches(1, [0, 1, 2]))
    assert dataset[0].labels is None
    assert len(list(dataset)) == len(dataset) == 4
    with pytest.raises(IndexError):
        dataset[4]


def test_splits_are_data_sets_with_records(tmp_path):
    dataset = make(tmp_path)
    assert dataset.splits == ("train", "val", "unlabelled")
    val = dataset.split("val")
    assert list(val.names) == ["1", "3"]
    assert val.split_name == "val" and val.split("val") is val
    assert val.record(1).mask == tmp_path / "masks" / "3.png"
    with pytest.raises(DataError, match=r"split 'vall'.*mean val"):
        dataset.split("vall")


def test_given_splits_may_overlap(tmp_path):
    dataset = make(tmp_path, splits={"train": [1, 2], "trainval": [1, 2, 3], "empty": []})
    assert dataset.splits == ("train", "trainval")
    assert list(dataset.split("trainval").names) == ["1", "2", "3"]


def test_folds_keep_the_records(tmp_path):
    for train, val in folds(make(tmp_path), 2):
        assert isinstance(train, FileDataset)
        assert {val.record(i).image for i in range(len(val))}.isdisjoint(
            train.record(i).image for i in range(len(train))
        )


def test_describe_counts_and_notes(tmp_path):
    text = make(tmp_path, notes=["drawn by lot"]).describe()
    assert "folder in" in text and "4 samples (train 1, val 2, unlabelled 1)" in text
    assert "3 classes: a, b, c" in text and text.endswith("drawn by lot")


def test_masks_may_be_read_by_a_table_of_their_own(tmp_path):
    reading = ClassTable(TABLE.names, source_values={0: 2, 1: 1, 2: 255})
    dataset = make(tmp_path, mask_classes=reading)
    expected = np.array([2, 1, 255])[patches(1, [0, 1, 2])]
    np.testing.assert_array_equal(dataset[1].labels, expected)
    np.testing.assert_array_equal(dataset.split("val")[0].labels, expected)
    assert dataset.classes is TABLE


def test_it_can_be_sent_to_another_process(tmp_path):
    again = pickle.loads(pickle.dumps(make(tmp_path)))
    np.testing.assert_array_equal(again[2].labels, patches(2, [0, 1, 2]))


def test_no_records(tmp_path):
    with pytest.raises(DataError, match="no images were found"):
        FileDataset([], TABLE, "folder", tmp_path)


def test_a_mask_of_another_size_names_both_files_and_sizes(tmp_path):
    image = save(tmp_path / "a.png", draw(0, 12, 16))
    mask = save(tmp_path / "m.png", patches(0, [0, 1], 12, 15))
    dataset = FileDataset([Record("a", image, mask, "train")], TABLE, "folder", tmp_path)
    with pytest.raises(DataError, match=r"a\.png is 16×12.*m\.png is 15×12.*give a mask"):
        dataset[0]


def test_a_mask_that_missed_the_exif_rotation_is_told_so(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    image = save(tmp_path / "a.jpg", draw(0, 12, 16), exif=exif)
    mask = save(tmp_path / "m.png", patches(0, [0, 1], 12, 16))
    dataset = FileDataset([Record("a", image, mask, "train")], TABLE, "folder", tmp_path)
    with pytest.raises(DataError, match="EXIF"):
        dataset[0]
    save(tmp_path / "m.png", patches(0, [0, 1], 16, 12))
    assert dataset[0].labels.shape == dataset[0].image.shape[1:] == (16, 12)


def test_size_mismatch_of_object_masks_names_the_first(tmp_path):
    record = Record("a", tmp_path / "a.png", (tmp_path / "1.png", tmp_path / "2.png"), "train")
    assert "1.png is 3×2" in str(size_mismatch(record, (4, 5), (2, 3)))


def record(name, split="train", image="x.png"):
    return Record(name, image, image, split)


def test_equal_names_are_told_apart_by_split_then_by_number():
    names = [r.name for r in unique_names([record("a"), record("a", "val"), record("b"), record("c"), record("c")])]
    assert names == ["train/a", "val/a", "b", "c", "c~2"]


def test_new_names_do_not_meet_old_ones():
    names = [r.name for r in unique_names([record("a"), record("a"), record("a~2"), record("a")])]
    assert len(set(names)) == 4
    assert names[2] == "a~2"


def test_by_split_puts_the_usual_ones_first():
    records = [record("a", "odd"), record("b", "val"), record("c", "train"), record("d", "odd")]
    assert by_split(records) == {"train": [2], "val": [1], "odd": [0, 3]}


@pytest.mark.parametrize(("count", "expected"), [(1, 0), (2, 1), (5, 1), (10, 2), (101, 20)])
def test_split_by_name_holds_a_fifth_back(count, expected):
    records = split_by_name([record(f"n{i}", "") for i in range(count)])
    assert sum(r.split == "val" for r in records) == expected
    assert sum(r.split == "train" for r in records) == count - expected


def test_split_by_name_does_not_depend_on_order_and_hardly_on_new_files():
    records = [record(f"n{i}", "") for i in range(100)]
    val = {r.name for r in split_by_name(records) if r.split == "val"}
    assert {r.name for r in split_by_name(records[::-1]) if r.split == "val"} == val
    more = {r.name for r in split_by_name([*records, record("new", "")]) if r.split == "val"}
    assert len(val ^ more) <= 2
    assert {r.name for r in split_by_name(records, seed=1) if r.split == "val"} != val


def test_split_by_name_leaves_the_unlabelled():
    records = split_by_name([Record("a", "a.png", None, "unlabelled"), record("b", ""), record("c", "")])
    assert records[0].split == "unlabelled"
    assert {records[1].split, records[2].split} == {"train", "val"}
