"""Lists of pairs: text and CSV, whatever stands before the paths."""

from __future__ import annotations

import pytest

from segfield.data.pairs import Pair, read_pairs
from segfield.errors import DataError


@pytest.fixture
def home(tmp_path):
    for name in (
        "images/a.jpg",
        "masks/a.png",
        "images/b b.jpg",
        "masks/b b.png",
        "images/größe.jpg",
        "masks/größe.png",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def read(home, text, name="list.txt", **options):
    (home / name).write_text(text, encoding="utf-8")
    return read_pairs(home / name, **options)


@pytest.mark.parametrize(
    "line",
    [
        "images/a.jpg masks/a.png",
        "images/a.jpg\tmasks/a.png",
        "images/a.jpg , masks/a.png",
        "images/a.jpg;masks/a.png",
        "./images/a.jpg   ./masks/a.png  ",
        "/SegNet/CamVid/images/a.jpg /SegNet/CamVid/masks/a.png",
        r"images\a.jpg masks\a.png",
        r"C:\data\mine\images\a.jpg C:\data\mine\masks\a.png",
        '"images/a.jpg" "masks/a.png"',
    ],
)
def test_every_way_to_write_a_pair(home, line):
    assert read(home, f"# comment\n\n{line}\n") == [Pair(home / "images/a.jpg", home / "masks/a.png")]


@pytest.mark.parametrize(
    "line",
    ["images/b b.jpg masks/b b.png", "images/b b.jpg  masks/b b.png", '"images/b b.jpg" "masks/b b.png"',
     "/x y/images/b b.jpg /x y/masks/b b.png", "images/b b.jpg,masks/b b.png"],
)  # fmt: skip
def test_names_with_blanks(home, line):
    assert read(home, line) == [Pair(home / "images/b b.jpg", home / "masks/b b.png")]


def test_names_with_other_letters_and_a_byte_order_mark(home):
    assert read(home, "\ufeffimages/größe.jpg masks/größe.png\r\n")[0].mask.name == "größe.png"


def test_absolute_paths(home):
    line = f"{home}/images/a.jpg {home}/masks/a.png"
    (home / "lists").mkdir()
    assert read(home, line, "lists/l.txt") == [Pair(home / "images/a.jpg", home / "masks/a.png")]


def test_paths_relative_to_a_root(home):
    (home / "lists").mkdir()
    assert len(read(home, "images/a.jpg masks/a.png", "lists/l.txt", root=home)) == 1
    with pytest.raises(DataError, match=r"line 1.*'images/a\.jpg'"):
        read(home, "images/a.jpg masks/a.png", "lists/l.txt")


def test_images_without_masks(home):
    assert read(home, "images/a.jpg\nimages/b b.jpg\n") == [Pair(home / "images/a.jpg"), Pair(home / "images/b b.jpg")]


@pytest.mark.parametrize("header", ["image,mask,split", "Image,Label,Set", "filename;mask;split", "image\tmask\tsplit"])
def test_csv_with_a_header(home, header):
    mark = next(mark for mark in ",;\t" if mark in header)
    rows = [header, mark.join(["images/a.jpg", "masks/a.png", "train"]), mark.join(["images/b b.jpg", "", "test"])]
    pairs = read(home, "\n".join(rows), "list.csv")
    assert pairs == [
        Pair(home / "images/a.jpg", home / "masks/a.png", "train"),
        Pair(home / "images/b b.jpg", None, "test"),
    ]


def test_csv_columns_in_any_order(home):
    pairs = read(home, "split,id,mask,image\nval,3,masks/a.png,images/a.jpg\n", "list.csv")
    assert pairs == [Pair(home / "images/a.jpg", home / "masks/a.png", "val")]


def test_csv_without_a_header_and_with_quotes(home):
    pairs = read(home, '"images/b b.jpg",masks/b b.png\n', "list.csv")
    assert pairs == [Pair(home / "images/b b.jpg", home / "masks/b b.png")]


@pytest.mark.parametrize(
    ("name", "text", "part"),
    [
        ("l.txt", "images/a.jpg masks/a.png\nimages/a.jpg masks/x.png", "line 2.*'masks/x.png'"),
        ("l.txt", "images/x.jpg masks/a.png", "line 1.*'images/x.jpg'"),
        ("l.txt", "\n# nothing\n", "lists no images"),
        ("l.csv", "", "lists no images"),
        ("l.csv", "image,mask\n", "lists no images"),
        ("l.csv", "imgae,mask\nimages/a.jpg,masks/a.png", "'image'.*imgae, mask.*mean imgae"),
        ("l.csv", "image,mask\nimages/a.jpg,masks/none.png", "line 2: the mask 'masks/none.png'"),
    ],
)
def test_refuses(home, name, text, part):
    with pytest.raises(DataError, match=part):
        read(home, text, name)


def test_a_mask_is_never_the_image_itself(home):
    (home / "images" / "list.txt").write_text("images/a.jpg wrong/a.jpg")
    with pytest.raises(DataError, match=r"'wrong/a\.jpg'"):
        read_pairs(home / "images" / "list.txt")


def test_missing_list(tmp_path):
    with pytest.raises(DataError, match="no such list file"):
        read_pairs(tmp_path / "none.txt")
