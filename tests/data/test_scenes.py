"""The data set of drawn scenes: options, names, splits, and the folder that write_scenes makes."""

import subprocess
import sys
from itertools import chain

import numpy as np
import pytest
import yaml
from PIL import Image

from segfield.classes import ClassTable
from segfield.data.dataset import folds
from segfield.data.formats import open_dataset
from segfield.data.scenes import SceneOptions, draw_scene, open_scenes, write_scenes
from segfield.errors import DataError, SettingError


def test_options_are_read():
    assert SceneOptions.parse("") == SceneOptions(96, (160, 240), 0, 1, 17.0, 0)
    given = SceneOptions.parse(" count=6, size=64x96 ,seed=3,frames=4,fps=12.5,jpeg=70")
    assert given == SceneOptions(6, (64, 96), 3, 4, 12.5, 70)
    assert SceneOptions.parse("size=128").size == (128, 128)
    assert SceneOptions.parse("frames=30").count == 12


@pytest.mark.parametrize(
    "options, says",
    [
        ("cuont=3", "did you mean count"),
        ("count", "write count=96"),
        ("count=many", "write count=96"),
        ("count=1.5", "write count=96"),
        ("size=axb", "write size=160x240"),
        ("size=160x", "write size=160x240"),
        ("size=8x64", "size=8 .*32 to 8192"),
        ("size=64x100000", "size=100000 .*range"),
        ("count=-1", "count=-1 .*range"),
        ("seed=-4", "seed=-4 .*range"),
        ("frames=0", "frames=0 .*range"),
        ("fps=nan", "write fps=17"),
        ("fps=0", "fps=0.0 .*range"),
        ("jpeg=101", "jpeg=101 .*range"),
        ("count=3,count=4", "given twice"),
        ("/home/me/pictures", "no option"),
    ],
)
def test_wrong_options_are_named_with_the_mend(options, says):
    with pytest.raises(SettingError, match=says):
        open_scenes(options)


def test_samples_are_the_scenes_of_their_seeds():
    dataset = open_scenes("count=5,size=32x48,seed=2")
    assert len(dataset) == len(dataset.names) == 5
    sample = dataset[3]
    image, labels = draw_scene((32, 48), 2_000_003)
    assert sample.name == dataset.names[3] == "scene00003"
    assert np.array_equal(sample.image, image)
    assert np.array_equal(sample.labels, labels)
    assert dataset[-2].name == "scene00003"
    for index in (5, -6):
        with pytest.raises(IndexError):
            dataset[index]


def test_films_are_named_by_sequence_and_frame():
    dataset = open_scenes("count=3,size=32,frames=4,fps=10")
    assert len(dataset) == 12
    assert dataset.names[:5] == ["seq0000/00000", "seq0000/00001", "seq0000/00002", "seq0000/00003", "seq0001/00000"]
    assert [sample.name for sample in dataset] == list(dataset.names)
    assert np.array_equal(dataset[6].image, draw_scene((32, 32), 1, 0.2)[0])


@pytest.mark.parametrize("count, sizes", [(96, (58, 19, 19)), (10, (6, 2, 2)), (3, (1, 1, 1)), (120, (72, 24, 24))])
@pytest.mark.parametrize("frames", [1, 3])
def test_splits_share_no_scene(count, sizes, frames):
    dataset = open_scenes(f"count={count},size=32,frames={frames}")
    assert list(dataset.splits) == ["train", "val", "test"]
    names = [dataset.split(split).names for split in dataset.splits]
    assert [len(part) for part in names] == [size * frames for size in sizes]
    assert sorted(chain.from_iterable(names)) == sorted(dataset.names)
    scenes = [{name.split("/")[0] for name in part} for part in names]
    assert not scenes[0] & scenes[1] and not scenes[0] & scenes[2] and not scenes[1] & scenes[2]


def test_too_few_scenes_are_all_for_training():
    dataset = open_scenes("count=2,size=32")
    assert list(dataset.splits) == ["train"]
    with pytest.raises(DataError, match="Known: train"):
        dataset.split("val")


def test_a_split_is_a_data_set():
    split = open_scenes("count=5,size=32").split("val")
    assert split.split_name == "val"
    assert [sample.name for sample in split] == ["scene00003"]
    assert "val" in split.describe()


def test_description_says_what_matters():
    text = open_scenes("count=10,size=32x48,frames=5,seed=9").describe()
    for part in (
        "10 drawn films",
        "5 frames at 17 a second",
        "32x48",
        "seed 9",
        "30 train, 10 val, 10 test",
        "60/20/20",
    ):
        assert part in text
    assert "person, fence" in text


def test_other_seeds_give_other_scenes():
    scenes = {open_scenes(f"count=4,size=32,seed={seed}")[i].image.tobytes() for seed in range(3) for i in range(4)}
    assert len(scenes) == 12


def test_write_scenes_makes_a_folder_that_can_be_read_back(tmp_path):
    folder = write_scenes(tmp_path / "drawn", "count=5,size=32x48,seed=1")
    dataset = open_scenes("count=5,size=32x48,seed=1")
    classes = ClassTable.from_dict(yaml.safe_load((folder / "classes.yaml").read_text()))
    assert classes == dataset.classes
    for split in dataset.splits:
        for sample in dataset.split(split):
            image = Image.open(folder / "images" / split / f"{sample.name}.png")
            mask = Image.open(folder / "masks" / split / f"{sample.name}.png")
            assert mask.mode == "P"
            assert np.array_equal(np.asarray(image).transpose(2, 0, 1), sample.image)
            assert np.array_equal(np.asarray(mask), sample.labels)
            assert tuple(mask.getpalette()[3 * 7 : 3 * 8]) == classes.colours[7]
    assert len(list(folder.rglob("*.png"))) == 10


def test_write_scenes_puts_films_in_flat_files_and_overwrites_nothing(tmp_path):
    write_scenes(tmp_path, "count=1,size=32,frames=2")
    assert sorted(p.name for p in (tmp_path / "images" / "train").iterdir()) == [
        "seq0000_00000.png",
        "seq0000_00001.png",
    ]
    with pytest.raises(DataError, match="empty folder"):
        write_scenes(tmp_path, "count=1,size=32")


def test_scenes_open_as_any_other_data_set():
    opened = open_dataset("scenes:count=4,size=32x48,seed=5")
    assert list(opened.names) == list(open_scenes("count=4,size=32x48,seed=5").names)
    assert np.array_equal(opened[1].labels, draw_scene((32, 48), 5_000_001)[1])
    folded = folds(opened, 2)
    assert sorted(name for _, val in folded for name in val.names) == sorted(opened.names)


def test_drawing_loads_no_torch():
    code = "import sys, segfield.data.scenes as s; s.draw_scene((32, 32), 0); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
