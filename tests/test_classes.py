"""ClassTable: what it refuses, and its maps between values, colours and ids."""

from __future__ import annotations

import json

import numpy as np
import pytest

from segfield.classes import ClassTable, default_colours
from segfield.errors import DataError


def test_defaults_are_ids_as_they_are():
    table = ClassTable(("sky", "road"))
    assert table.value_to_id() == {0: 0, 1: 1, 255: 255}
    assert len(table) == 2
    assert table.dtype == np.uint8


def test_more_than_255_classes_move_the_ignored_id():
    table = ClassTable(tuple(f"class {i}" for i in range(256)))
    assert table.ignored_id == 65535
    assert table.dtype == np.int32
    assert ClassTable(tuple(f"class {i}" for i in range(255))).ignored_id == 255


def test_negative_ignored_id_needs_a_signed_dtype():
    assert ClassTable(("a",), ignored_id=-1).dtype == np.int32


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ({"names": ()}, "at least one class"),
        ({"names": ("a", "b", "a")}, "twice.*: a"),
        ({"names": ("a", "b"), "ignored_id": 1}, "also class 'b'"),
        ({"names": ("a", "b"), "colours": ((1, 2, 3),)}, "2 class names but 1 colours"),
        ({"names": ("a",), "source_values": {7: 1}}, "value 7 .*id 1"),
        ({"names": ("a",), "source_colours": {(1, 1, 1): 9}}, "maps to id 9"),
    ],
)
def test_refuses(arguments, part):
    with pytest.raises(DataError, match=part):
        ClassTable(**arguments)


def test_colour_array_has_the_ignored_colour_everywhere_else():
    table = ClassTable(("a", "b"), ((1, 2, 3), (4, 5, 6)), ignored_colour=(9, 9, 9))
    colours = table.colour_array()
    assert colours.shape == (256, 3)
    assert colours[0].tolist() == [1, 2, 3] and colours[1].tolist() == [4, 5, 6]
    assert (colours[2:] == 9).all()


def test_colour_to_id_prefers_a_class_over_the_ignored_colour():
    table = ClassTable(("background", "cell"), ((0, 0, 0), (255, 255, 255)))
    assert table.colour_to_id() == {(0, 0, 0): 0, (255, 255, 255): 1}


def test_to_source_inverts_value_to_id():
    table = ClassTable(("road", "car"), source_values={0: 255, 7: 0, 26: 1, 27: 1})
    labels = np.array([[0, 1, 255]], np.uint8)
    assert table.to_source(labels).tolist() == [[7, 26, 0]]
    assert table.to_source(labels).dtype == np.uint8


def test_to_source_gives_negative_values_back():
    table = ClassTable(("sky",), source_values={-1: 255, 0: 0})
    assert table.to_source(np.array([0, 255])).tolist() == [0, -1]


def test_to_source_names_a_class_without_a_value():
    with pytest.raises(DataError, match="maps to car"):
        ClassTable(("road", "car"), source_values={7: 0}).to_source(np.zeros((1, 1), np.uint8))


def test_dict_and_back_through_json():
    table = ClassTable(
        ("road", "car"), ((1, 2, 3), (4, 5, 6)), 254, {7: 0, 26: 1, 0: 254}, {(1, 2, 3): 0, (9, 9, 9): 1}, (8, 8, 8)
    )
    again = ClassTable.from_dict(json.loads(json.dumps(table.as_dict())))
    assert again == table


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ({"name": ["a"]}, "names is required"),
        ({"names": ["a"], "colors": []}, "colors"),
        ({"names": ["a"], "colours": [[1, 2, 300]]}, "not within 0..255"),
        ({"names": ["a"], "colours": [[1, 2]]}, "cannot be read"),
        ({"names": ["a"], "ignored_id": "many"}, "cannot be read"),
    ],
)
def test_from_dict_refuses(given, part):
    with pytest.raises(DataError, match=part):
        ClassTable.from_dict(given)


@pytest.mark.parametrize("count", [1, 2, 21, 150])
def test_default_colours_differ(count):
    colours = default_colours(["background", *(f"class {i}" for i in range(count - 1))])
    assert max(colours[0]) < 64  # what is not there is dark
    assert len(set(colours)) == count
    assert all(0 <= band <= 255 for colour in colours for band in colour)
