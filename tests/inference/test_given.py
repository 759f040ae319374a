"""Labels and probabilities as people have them in files."""

from __future__ import annotations

import io
import pickle
import zipfile

import numpy as np
import pytest
from PIL import Image

from segfield.classes import ClassTable
from segfield.data.images import write_png
from segfield.errors import DataError, SettingError
from segfield.inference.given import read_given, table_of_labels

RANDOM = np.random.default_rng(0)
VALUES = np.array([[3, 3, 7], [0, 7, 7]], np.uint8)
COLOURS = np.array([[10, 20, 30], [0, 0, 0], [200, 0, 0]], np.uint8)
PALETTE = np.zeros((256, 3), np.uint8)
PALETTE[[0, 3, 7]] = [(1, 1, 1), (0, 0, 0), (9, 99, 199)]


def probabilities(classes=3, height=4, width=5, dtype=np.float32):
    return RANDOM.dirichlet(np.ones(classes), (height, width)).transpose(2, 0, 1).astype(dtype)


def test_every_value_is_a_class_whatever_it_is(tmp_path):
    file = tmp_path / "l.png"
    write_png(file, np.where(VALUES == 7, 255, VALUES).astype(np.uint8))
    given = read_given(file, (2, 3), None, confidence=0.6)
    assert given.classes.names == ("class 0", "class 3", "class 255")
    assert given.labels.tolist() == [[1, 1, 2], [0, 2, 2]]
    assert (given.classes.to_source(given.labels) == np.where(VALUES == 7, 255, VALUES)).all()
    np.testing.assert_allclose(given.probabilities[:, 0, 0], [0.2, 0.6, 0.2], atol=1e-6)


@pytest.mark.parametrize(("unknown", "left"), [("3", [0, 7]), ("black", [0, 7]), ("#0963c7", [0, 3]), ("0", [3, 7])])
def test_unknown_palette_values_are_equally_likely_of_all(tmp_path, unknown, left):
    file = tmp_path / "l.png"
    write_png(file, VALUES, PALETTE)
    table = table_of_labels([file], unknown)
    assert table.names == tuple(f"class {value}" for value in left)
    assert table.colours == tuple(tuple(PALETTE[value].tolist()) for value in left)
    given = read_given(file, (2, 3), table)
    marked = ~np.isin(VALUES, left)
    assert ((given.labels == table.ignored_id) == marked).all()
    np.testing.assert_allclose(given.probabilities[:, marked], 0.5, atol=1e-6)
    np.testing.assert_allclose(given.probabilities[:, ~marked].max(axis=0), 0.7, atol=1e-6)


def test_black_of_a_grey_file_is_0(tmp_path):
    file = tmp_path / "l.png"
    write_png(file, VALUES)
    assert table_of_labels([file], "black").names == ("class 3", "class 7")


def test_colours(tmp_path):
    file = tmp_path / "l.png"
    ids = np.array([[0, 1], [2, 2], [0, 1]])
    write_png(file, COLOURS[ids])
    table = table_of_labels([file])
    assert table.names == ("#000000", "#0a141e", "#c80000")
    assert (table.colour_array()[read_given(file, (3, 2), table).labels] == COLOURS[ids]).all()
    for unknown in ("black", "0", "#000000"):
        table = table_of_labels([file], unknown)
        assert table.names == ("#0a141e", "#c80000")
        labels = read_given(file, (3, 2), table).labels
        assert ((labels == 255) == (ids == 1)).all()
        assert (table.colour_array()[labels] == COLOURS[ids]).all()


def test_one_table_for_many_files(tmp_path):
    for i in range(3):
        write_png(tmp_path / f"{i}.png", np.array([[i, 9]], np.uint8))
    files = [tmp_path / f"{i}.png" for i in range(3)]
    table = table_of_labels(files)
    assert table.names == ("class 0", "class 1", "class 2", "class 9")
    assert [read_given(file, (1, 2), table).labels.tolist() for file in files] == [[[0, 3]], [[1, 3]], [[2, 3]]]


@pytest.mark.parametrize("order", ["first", "last"])
@pytest.mark.parametrize("end", [".npy", ".npz"])
def test_probabilities_whichever_way_they_lie(tmp_path, order, end):
    p = probabilities()
    file = tmp_path / f"p{end}"
    array = p if order == "first" else p.transpose(1, 2, 0)
    np.save(file, array) if end == ".npy" else np.savez(file, probabilities=array, other=np.zeros(2))
    given = read_given(file, (4, 5), None)
    assert (given.probabilities == p).all() and (given.labels == p.argmax(axis=0)).all()
    assert given.classes.names == ("class 0", "class 1", "class 2")
    named = ClassTable(("a", "b", "c"))
    assert read_given(file, (4, 5), named).classes is named
    with pytest.raises(DataError, match=r"3 classes.*class table has 2"):
        read_given(file, (4, 5), ClassTable(("a", "b")))


def test_half_precision_and_one_array_of_any_name(tmp_path):
    p = probabilities(21, dtype=np.float16)
    np.savez_compressed(tmp_path / "p.npz", arr_0=p)
    assert (read_given(tmp_path / "p.npz", (4, 5), None).probabilities == p.astype(np.float32)).all()


def written(tmp_path, name, content):
    file = tmp_path / name
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif name.endswith(".npy"):
        np.save(file, content, allow_pickle=True)
    else:
        write_png(file, content)
    return file


def archive(**arrays):
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("p.npy", np.full((2, 4, 5), np.nan, np.float32), "20 of 20 pixels"),
        ("p.npy", np.full((2, 4, 5), 0.7, np.float32), r"p\.npy.*sum to one"),
        ("p.npy", np.full((2, 4, 5), -0.5, np.float32), "go down to -0.5"),
        ("p.npy", np.ones((1, 4, 5), np.float32), "holds one class alone"),
        ("p.npy", np.zeros((4, 5), np.uint8), r"\(4, 5\) uint8.*PNG"),
        ("p.npy", np.zeros((2, 4, 6), np.float32), r"\(2, 4, 6\).*4×5"),
        ("p.npy", np.array([{"a": 1}], object), "pickle.*not opened"),
        ("p.npy", b"", "empty"),
        ("p.npy", pickle.dumps({"a": 1}), "pickle"),
        ("p.npz", archive(a=np.zeros(2), b=np.zeros(2)), "arrays a, b.*name the one"),
        ("p.npz", archive(a=np.zeros((2, 4, 5)))[:80], r"p\.npz.*truncated|pickle"),
        ("l.png", np.zeros((4, 5), np.uint8), r"one class alone \(value 0\)"),
        ("l.png", np.arange(30, dtype=np.uint8).reshape(5, 6), r"5×6 \(H×W\).*4×5"),
        ("l.png", np.arange(900, dtype=np.uint16).reshape(30, 30), "900 different values.*256"),
        ("l.png", RANDOM.integers(0, 256, (30, 30, 3), dtype=np.uint8), "more than 256 colours"),
        ("l.png", np.zeros((4, 5, 3), np.uint8), r"one class alone \(colour \[0, 0, 0\]\)"),
    ],
)
def test_files_that_cannot_be_refined(tmp_path, name, content, told):
    file = written(tmp_path, name, content)
    with pytest.raises(DataError, match=told):
        read_given(file, (4, 5), None)


def test_a_pickle_is_never_opened(tmp_path):
    class Opened:
        def __reduce__(self):
            return (open, (str(tmp_path / "opened"), "w"))

    file = tmp_path / "p.npz"
    with zipfile.ZipFile(file, "w") as container:
        container.writestr("probabilities.npy", pickle.dumps(Opened()))
    for content in (file, written(tmp_path, "p.npy", np.array([Opened()], object))):
        with pytest.raises(DataError):
            read_given(content, (4, 5), None)
    assert not (tmp_path / "opened").exists()


@pytest.mark.parametrize(
    ("unknown", "told"),
    [
        ("5", "unknown value 5.*0, 3, 7"),
        ("blak", "'blak'.*value of the labels.*colour"),
        ("#123456", "unknown value #123456"),
    ],
)
def test_unknowns_that_are_not_there(tmp_path, unknown, told):
    write_png(tmp_path / "l.png", VALUES)
    with pytest.raises(SettingError, match=told):
        table_of_labels([tmp_path / "l.png"], unknown)
    write_png(tmp_path / "c.png", COLOURS[[[1, 2]]])
    with pytest.raises(SettingError, match=r"unknown colour \[9, 9, 9\]; the labels hold \[0, 0, 0\], \[200, 0, 0\]"):
        table_of_labels([tmp_path / "c.png"], "#090909")


def test_colours_and_ids_do_not_mix(tmp_path):
    write_png(tmp_path / "l.png", VALUES)
    Image.fromarray(COLOURS[[[0, 1, 2]]]).save(tmp_path / "c.png")
    with pytest.raises(DataError, match=r"c\.png holds colours but .*l\.png holds ids"):
        table_of_labels([tmp_path / "l.png", tmp_path / "c.png"])


@pytest.mark.parametrize("confidence", [0.0, 1.0, -1.0, 2.0])
def test_confidence_out_of_range(tmp_path, confidence):
    write_png(tmp_path / "l.png", VALUES)
    with pytest.raises(SettingError, match=r"confidence is .*between 0 and 1"):
        read_given(tmp_path / "l.png", (2, 3), None, confidence=confidence)
