"""Stanford Background, CamVid, DAVIS and the nuclei: splits, classes, labels; tiny copies and the real ones."""

from __future__ import annotations

import tarfile

import numpy as np
import pytest

from segfield.data.formats import open_dataset
from segfield.errors import DataError, SettingError
from tests.data.tiny_layouts import (
    draw,
    make_camvid,
    make_davis,
    make_nuclei,
    make_stanford,
    patches,
    save,
)


def sizes(dataset):
    return {name: len(dataset.split(name)) for name in dataset.splits}


# Stanford Background


def test_stanford_labels(tmp_path):
    dataset = open_dataset(make_stanford(tmp_path))
    values = patches(3, list(range(9))).astype(int) - 1
    np.testing.assert_array_equal(dataset[3].labels, np.where(values < 0, 255, values))
    np.testing.assert_array_equal(dataset.classes.to_source(dataset[3].labels), values)
    assert dataset.classes.names[0] == "sky" and dataset.classes.names[7] == "foreground object"


def test_stanford_folds_are_consecutive_slices(tmp_path):
    dataset = open_dataset(make_stanford(tmp_path, 12))
    held_out = [list(dataset.split(f"fold{i}-val").names) for i in range(1, 6)]
    assert [name for names in held_out for name in names] == sorted(dataset.names)
    assert [len(names) for names in held_out] == [3, 3, 2, 2, 2]
    for i, names in enumerate(held_out, 1):
        assert set(dataset.split(f"fold{i}-train").names) == set(dataset.names) - set(names)
    assert list(dataset.split("val").names) == held_out[0]
    assert [dataset.record(i).split for i in range(4)] == ["val", "val", "val", "train"]


def test_the_full_stanford_has_572_and_143(tmp_path):
    home = tmp_path / "iccv09Data"
    (home / "images").mkdir(parents=True)
    (home / "labels").mkdir()
    for i in range(715):
        (home / "images" / f"{i:07d}.jpg").touch()
        (home / "labels" / f"{i:07d}.regions.txt").touch()
    counts = sizes(open_dataset(home))
    assert counts == {name: 143 if name.endswith("val") else 572 for name in counts}
    assert len(counts) == 12


def test_stanford_packed_or_incomplete(tmp_path):
    (tmp_path / "iccv09Data.tar.gz").touch()
    with pytest.raises(DataError, match="unpack iccv09Data"):
        open_dataset(f"stanford_background:{tmp_path}")
    home = make_stanford(tmp_path)
    (home / "labels" / "0000004.regions.txt").unlink()
    with pytest.raises(DataError, match=r"0000004\.regions\.txt.*0000004\.jpg"):
        open_dataset(home)


@pytest.fixture(scope="module")
def real_stanford(shared_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stanford")
    with tarfile.open(shared_data / "stanford_background" / "iccv09Data.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.mark.shared
def test_real_stanford(real_stanford):
    dataset = open_dataset(real_stanford)
    assert len(dataset) == 572
    assert sorted(name for i in range(1, 6) for name in dataset.split(f"fold{i}-val").names) == sorted(dataset.names)
    counts = np.zeros(256, np.int64)
    for i in range(0, 572, 11):
        counts += np.bincount(dataset[i].labels.ravel(), minlength=256)
    shares = counts / counts.sum()
    # Shares over all 715 images: unknown .0051, sky .1448, tree .1402, road .2252, building .2261.
    assert shares[255] < 0.02 and abs(shares[0] - 0.145) < 0.05 and abs(shares[2] - 0.225) < 0.06


# CamVid


def test_camvid_labels_and_lists(tmp_path):
    dataset = open_dataset(make_camvid(tmp_path))
    assert sizes(dataset) == {"train": 2, "val": 2, "test": 2}
    values = patches(0, list(range(12)), width=24)[:, :16]
    np.testing.assert_array_equal(dataset[0].labels, np.where(values == 11, 255, values))
    assert dataset.classes.to_source(np.array([0, 10, 255])).tolist() == [0, 10, 11]
    assert dataset.classes.colours[3] == (128, 64, 128) and dataset.classes.names[3] == "Road"


def test_camvid_without_its_test_split(tmp_path):
    home = make_camvid(tmp_path, ("train", "val"))
    (home / "test.txt").write_text("/SegNet/CamVid/test/0001TP_008550.png /SegNet/CamVid/testannot/0001TP_008550.png\n")
    dataset = open_dataset(home)
    assert sizes(dataset) == {"train": 2, "val": 2}
    assert "not here: test" in dataset.describe()


def test_camvid_with_a_file_missing(tmp_path):
    home = make_camvid(tmp_path)
    (home / "valannot" / "0001TP_000001.png").unlink()
    with pytest.raises(DataError, match=r"val\.txt, line 2.*'/SegNet/CamVid/valannot/0001TP_000001\.png'"):
        open_dataset(home)


@pytest.mark.shared
def test_real_camvid(shared_data):
    dataset = open_dataset(shared_data / "camvid")
    assert sizes(dataset) == {"train": 367, "val": 101}
    sample = dataset.split("train")[0]
    assert sample.name == "0001TP_006690" and sample.image.shape == (3, 360, 480)
    counts = np.bincount(sample.labels.ravel(), minlength=256)
    assert counts[:7].tolist() == [23726, 64726, 1904, 16139, 11897, 2303, 2543] and counts[8] == 40851


# DAVIS


def test_davis_2016(tmp_path):
    dataset = open_dataset(make_davis(tmp_path))
    assert sizes(dataset) == {"train": 6, "val": 3, "bear": 3, "train-sequence": 3, "swing": 3}
    assert list(dataset.split("swing").names) == ["swing/00000", "swing/00001", "swing/00002"]
    assert [dataset.record(i).split for i in (0, 3, 6)] == ["train", "val", "train"]
    np.testing.assert_array_equal(dataset.split("bear")[0].labels, patches(0, [0, 255]) // 255)
    assert dataset.classes.to_source(np.array([0, 1])).tolist() == [0, 255]


def test_davis_2017_objects_together_or_apart(tmp_path):
    home = make_davis(tmp_path, 2017)
    together, apart = open_dataset(home), open_dataset(f"davis:{home}?objects=ids")
    assert sizes(together)["train"] == 6
    np.testing.assert_array_equal(together[0].labels, patches(0, [0, 1, 2, 3]) > 0)
    assert apart.classes.names == ("background", "object 1", "object 2", "object 3")
    np.testing.assert_array_equal(apart[0].labels, patches(0, [0, 1, 2, 3]))


def test_davis_frames_without_masks(tmp_path):
    home = make_davis(tmp_path)
    (home / "Annotations/480p/bear/00002.png").unlink()
    (home / "ImageSets/480p/train.txt").unlink()
    assert open_dataset(home).split("bear")[2].labels is None


def test_davis_refuses(tmp_path):
    home = make_davis(tmp_path, 2017)
    with pytest.raises(SettingError, match=r"objects=id.*mean ids"):
        open_dataset(f"davis:{home}?objects=id")
    (home / "ImageSets/2017/val.txt").write_text("swnig\n")
    with pytest.raises(DataError, match="names the sequence swnig"):
        open_dataset(home)
    with pytest.raises(SettingError, match=r"palette masks.*2017"):
        open_dataset(f"davis:{make_davis(tmp_path / 'old')}?objects=ids")


@pytest.mark.shared
def test_real_davis(shared_data):
    dataset = open_dataset(shared_data / "davis2016")
    assert {*dataset.splits} == {"val", "car-shadow", "drift-straight", "kite-surf", "libby"}
    libby = dataset.split("libby")
    assert len(libby) == 49 and libby.names[0] == "libby/00000"
    assert np.bincount(libby[0].labels.ravel()).tolist() == [395205, 14715]


# Nuclei


def test_nuclei(tmp_path):
    dataset = open_dataset(make_nuclei(tmp_path))
    assert sizes(dataset) == {"train": 8, "val": 2}
    sample = dataset[0]
    np.testing.assert_array_equal(sample.image, draw(0).transpose(2, 0, 1))
    expected = np.zeros((12, 16), int)
    expected[2:8, [1, 2, 3, 4, 5, 10, 11]] = 1
    np.testing.assert_array_equal(sample.labels, expected)
    assert len(dataset.record(0).mask) == 3


def test_nuclei_split_depends_on_names_and_seed(tmp_path):
    home = make_nuclei(tmp_path)
    vals = [tuple(open_dataset(f"nuclei:{home}?seed={seed}").split("val").names) for seed in (0, 0, 1, 2, 3)]
    assert vals[0] == vals[1]
    assert len(set(vals)) > 1


def test_nuclei_without_masks_and_a_test_set(tmp_path):
    home = make_nuclei(tmp_path)
    bare = home / "bare"
    save(bare / "images" / "bare.png", draw(0))
    test = tmp_path / "stage1_test" / "t"
    save(test / "images" / "t.png", draw(1))
    dataset = open_dataset(tmp_path)
    assert sizes(dataset) == {"train": 8, "val": 2, "test": 1, "unlabelled": 1}
    assert dataset.split("test")[0].labels is None


@pytest.mark.shared
def test_real_nuclei(shared_data):
    dataset = open_dataset(shared_data / "dsb2018")
    assert sizes(dataset) == {"train": 64, "val": 16}
    sample = dataset[0]
    assert sample.image.shape == (3, 256, 256)
    assert set(np.unique(sample.labels)) == {0, 1}
