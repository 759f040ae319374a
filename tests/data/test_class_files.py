"""Class tables in YAML, JSON and text."""

from __future__ import annotations

import json

import pytest
import yaml

from segfield.classes import ClassTable
from segfield.data.class_files import read_class_table
from segfield.errors import DataError

TABLE = ClassTable(("a b", "ü"), ((1, 2, 3), (4, 5, 6)), source_values={7: 0, 9: 1, 0: 255})


def put(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path / name


def test_yaml_and_json_hold_a_whole_table(tmp_path):
    assert read_class_table(put(tmp_path, "a.yaml", yaml.safe_dump(TABLE.as_dict(), allow_unicode=True))) == TABLE
    assert read_class_table(put(tmp_path, "a.json", json.dumps(TABLE.as_dict()))) == TABLE


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.yml", "[sky, road]"), ("a.yaml", "- sky\n- road"), ("a.json", '["sky", "road"]'), ("a.txt", "sky\nroad\n")],
)
def test_bare_names(tmp_path, name, text):
    assert read_class_table(put(tmp_path, name, text)) == ClassTable(("sky", "road"))


def test_yaml_with_names_only_and_source_values(tmp_path):
    table = read_class_table(put(tmp_path, "a.yaml", "names: [background, cell]\nsource_values: {0: 0, 255: 1}\n"))
    assert table.value_to_id() == {0: 0, 255: 1}


@pytest.mark.parametrize(
    "line", ["traffic light 250 170 30", "traffic light,250,170,30", "traffic light: 250, 170, 30"]
)
def test_text_with_colours(tmp_path, line):
    table = read_class_table(put(tmp_path, "classes.txt", f"\ufeff# my classes\n\n{line}\r\n pole 153 153 153 \n"))
    assert table.names == ("traffic light", "pole")
    assert table.colours == ((250, 170, 30), (153, 153, 153))


def test_a_number_in_a_name_is_no_colour(tmp_path):
    assert read_class_table(put(tmp_path, "a.txt", "class 1\nclass 2\n")).names == ("class 1", "class 2")


@pytest.mark.parametrize(
    ("name", "text", "part"),
    [
        ("a.yaml", "names: [a, b", "a.yaml"),
        ("a.yaml", "3", "expected a list of names"),
        ("a.yaml", "nmes: [a]", "names is required"),
        ("a.json", "{", "a.json"),
        ("a.txt", "", "at least one class"),
        ("a.txt", "a 1 2 3\nb\n", "2 names but 1 colours"),
        ("a.txt", "a 1 2 300\n", "colours are 0 to 255"),
        ("a.txt", "a\nb\na\n", "stand twice"),
    ],
)
def test_refuses_naming_the_file(tmp_path, name, text, part):
    with pytest.raises(DataError, match=part) as caught:
        read_class_table(put(tmp_path, name, text))
    assert str(tmp_path / name) in str(caught.value)


def test_missing_and_binary(tmp_path):
    with pytest.raises(DataError, match="no such class table"):
        read_class_table(tmp_path / "none.txt")
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00\xd8")
    with pytest.raises(DataError, match=r"class table.*damaged"):
        read_class_table(tmp_path / "a.txt")
