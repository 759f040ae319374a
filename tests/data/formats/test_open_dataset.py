"""open_dataset: names, options, recognition, and errors that name the mend."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from segfield.classes import ClassTable
from segfield.data.formats import FORMATS, open_dataset, recognise
from segfield.errors import DataError, SettingError
from tests.data import tiny_layouts as tiny


def make_folder(root):
    tiny.save(root / "images" / "a b ü.png", tiny.draw(0))
    tiny.save(root / "masks" / "a b ü.png", tiny.patches(0, [0, 1]))
    return root


MAKERS = {
    "voc": tiny.make_voc,
    "cityscapes": tiny.make_cityscapes,
    "pascal_context": tiny.make_context,
    "stanford_background": tiny.make_stanford,
    "camvid": tiny.make_camvid,
    "davis": tiny.make_davis,
    "nuclei": tiny.make_nuclei,
    "folder": make_folder,
}


def test_every_format_is_tested_here():
    assert set(MAKERS) | {"scenes"} == set(FORMATS)


@pytest.mark.parametrize("name", MAKERS)
def test_a_bare_path_is_recognised(tmp_path, name):
    home = MAKERS[name](tmp_path / "my data")
    assert recognise(home) == name
    dataset = open_dataset(home)
    assert dataset.describe().startswith(f"{name} in ")
    sample = dataset[0]
    assert sample.image.ndim == 3 and sample.labels.shape == sample.image.shape[1:]
    assert list(open_dataset(f"{name}:{home}").names) == list(dataset.names)


@pytest.mark.parametrize("name", [name for name in MAKERS if name != "pascal_context"])
def test_the_folder_above_is_recognised_too(tmp_path, name):
    MAKERS[name](tmp_path)
    assert recognise(tmp_path) == name


@pytest.mark.parametrize("name", MAKERS)
def test_every_sample_of_every_format_can_be_read(tmp_path, name):
    dataset = open_dataset(MAKERS[name](tmp_path))
    assert len(set(dataset.names)) == len(dataset)
    for i, sample in enumerate(dataset):
        assert sample.name == dataset.names[i] == dataset.record(i).name
        if sample.labels is not None:
            assert sample.labels.dtype == dataset.classes.dtype
            present = set(sample.labels.ravel().tolist()) - {dataset.classes.ignored_id}
            assert present <= set(range(len(dataset.classes)))


def test_home_folder_and_relative_paths(tmp_path, monkeypatch):
    make_folder(tmp_path / "data")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert len(open_dataset("~/data")) == len(open_dataset("data")) == len(open_dataset("folder:./data")) == 1


def test_classes_may_be_a_table_or_a_file(tmp_path):
    home = tiny.make_camvid(tmp_path)
    merged = {"names": ["thing", "rest"], "source_values": {i: int(i > 5) for i in range(12)}}
    table = ClassTable.from_dict(merged)
    assert open_dataset(home, table).classes is table
    assert set(open_dataset(home, table)[0].labels.ravel().tolist()) == {0, 1}
    values = ", ".join(f"{i}: {int(i > 5)}" for i in range(12))
    file = tiny.write(tmp_path / "mine.yaml", f"names: [thing, rest]\nsource_values: {{{values}}}")
    for dataset in (
        open_dataset(home, file),
        open_dataset(home, str(file)),
        open_dataset(f"camvid:{home}?classes={file}"),
    ):
        assert dataset.classes == table


def test_a_path_with_a_colon_or_question_mark(tmp_path):
    home = make_folder(tmp_path / "what: now?a=b")
    assert len(open_dataset(home)) == 1
    assert len(open_dataset(f"folder:{home}?seed=3")) == 1


@pytest.mark.parametrize(
    ("where", "error", "part"),
    [
        ("vocc:{}", SettingError, "format 'vocc'.*mean voc"),
        ("city_scapes:{}", SettingError, "did you mean cityscapes"),
        ("voc", SettingError, "Write voc:PATH"),
        ("voc:", SettingError, "path.*write voc:PATH"),
        ("{}/nothing", DataError, "there is nothing at .*nothing; check the path"),
        ("folder:{}/dta", DataError, "nothing at .*dta.*check the path.*mean data"),
        ("folder:{}/data?sed=1", SettingError, "'sed'.*mean seed"),
        ("folder:{}/data?seed", SettingError, "value.*write seed=VALUE"),
        ("folder:{}/data?seed=x", SettingError, "seed=x.*whole number"),
        ("voc:{}/data", DataError, "expected VOCdevkit/VOC2012"),
        ("cityscapes:{}/data", DataError, "leftImg8bit and gtFine"),
        ("pascal_context:{}/data", DataError, "expected trainval/"),
        ("stanford_background:{}/data", DataError, "name the folder iccv09Data"),
        ("camvid:{}/data", DataError, "train.txt.*train and trainannot"),
        ("davis:{}/data", DataError, "expected JPEGImages/480p"),
        ("nuclei:{}/data", DataError, "expected ID/images/ID.png"),
        ("{}/data/images/a b ü.png", DataError, "a file of another kind"),
        ("{}/a.tar.gz", DataError, "unpack it first"),
    ],
)
def test_errors_are_one_sentence_with_the_mend(tmp_path, where, error, part):
    make_folder(tmp_path / "data")
    (tmp_path / "a.tar.gz").touch()
    with pytest.raises(error, match=part) as caught:
        open_dataset(where.format(tmp_path))
    assert "\n" not in str(caught.value)


def test_scenes_get_their_options_as_they_are(monkeypatch):
    module = ModuleType("segfield.data.scenes")
    module.open_scenes = lambda options: ("scenes", options)
    monkeypatch.setitem(sys.modules, "segfield.data.scenes", module)
    assert open_dataset("scenes:count=64,size=128x192") == ("scenes", "count=64,size=128x192")
    assert open_dataset("scenes") == open_dataset("scenes:") == ("scenes", "")
    with pytest.raises(SettingError, match="their own classes"):
        open_dataset("scenes:", ClassTable(("a",)))


def test_a_folder_named_like_a_format(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_folder(tmp_path / "voc")
    assert open_dataset("voc").describe().startswith("folder in voc")
