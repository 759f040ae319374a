"""Findings about masks: unknown values with their mend, missing masks, {0, 255}, encodings."""

from __future__ import annotations

import numpy as np
import pytest
import yaml

from segfield.classes import ClassTable
from segfield.data.check.labels import labels_there, mapping_lines, mask_kinds, two_values, unknown_labels
from segfield.data.masks import mask_to_labels
from tests.data.check.facts import CLASSES, fact


def test_unknown_values_pool_over_masks() -> None:
    facts = [fact("a", unknown={7: 10, 9: 1}), fact("b", unknown={7: 5}), fact("c")]
    (problem,) = unknown_labels(facts, CLASSES)
    assert (problem.severity, problem.kind, problem.count) == ("error", "unknown mask values", 2)
    assert problem.files[0] == "value 7: 15 pixels in 2 masks, first a"
    assert problem.files[1] == "value 9: 1 pixel in 1 mask, first a"


def test_no_unknown_values_no_problem() -> None:
    assert list(unknown_labels([fact()], CLASSES)) == []


def test_very_many_values_point_to_blur() -> None:
    (problem,) = unknown_labels([fact(unknown=dict.fromkeys(range(100, 200), 1))], CLASSES)
    assert "JPEG" in problem.message
    assert len(problem.files) == 20


@pytest.mark.parametrize(
    "table",
    [CLASSES, ClassTable(CLASSES.names, CLASSES.colours, source_values={10: 0, 20: 1, 30: 2})],
    ids=["ids", "mapped"],
)
def test_pasted_lines_mend_unknown_values(table: ClassTable) -> None:
    values = np.array([[*table.value_to_id(), 77, 99]], dtype=np.uint8)
    pasted = yaml.safe_load(mapping_lines(table, [99, 77]))
    mended = ClassTable.from_dict({"names": list(table.names), **pasted})
    ids = mask_to_labels(values, mended, "a.png")
    np.testing.assert_array_equal(ids[0, -2:], [255, 255])
    np.testing.assert_array_equal(ids[0, :-2], list(table.value_to_id().values()))


def test_pasted_lines_mend_unknown_colours() -> None:
    pasted = yaml.safe_load(mapping_lines(CLASSES, [(1, 2, 3)]))
    mended = ClassTable.from_dict({"names": list(CLASSES.names), **pasted})
    ids = mask_to_labels(np.array([[(1, 2, 3), *CLASSES.colours]], dtype=np.uint8), mended, "a.png")
    np.testing.assert_array_equal(ids, [[255, 0, 1, 2]])


def test_value_of_a_class_that_no_value_maps_to_is_guessed() -> None:
    table = ClassTable(("a", "b"), source_values={0: 0})
    assert mapping_lines(table, [255]) == "source_values: {0: 0, 255: 1}"


def test_no_masks_at_all_is_an_error() -> None:
    (problem,) = labels_there([fact("a", counts=None), fact("b", counts=None)], ["train"])
    assert (problem.severity, problem.kind) == ("error", "no masks")


def test_test_split_without_masks_is_a_note_and_gaps_are_a_warning() -> None:
    facts = [fact("a"), fact("b", counts=None), fact("t", ("test",), None)]
    problems = {p.severity: p for p in labels_there(facts, ["train", "test"])}
    assert problems["note"].message.startswith("'test' has no masks")
    assert problems["warning"].files == ("b",)


@pytest.mark.parametrize(("others", "severity"), [(0, "error"), (1, "warning")])
def test_all_ignored_masks(others: int, severity: str) -> None:
    facts = [fact("void", counts=(0, 0, 0), ignored=10), *[fact(f"ok{i}") for i in range(others)]]
    (problem,) = labels_there(facts, ["train"])
    assert (problem.severity, problem.kind, problem.files) == (severity, "all ignored", ("void",))


def binary(name: str, counts: tuple[int, int]) -> object:
    return fact(name, counts=counts, values=(0, 255), ignored=4)


def test_255_eaten_as_ignored_is_an_error_with_the_line() -> None:
    (problem,) = two_values([binary("a", (6, 0)), binary("b", (6, 0))], ClassTable(("cell", "gap")))  # type: ignore[list-item]
    assert problem.severity == "error"
    assert yaml.safe_load(problem.paste) == {"source_values": {0: 0, 255: 1}}


def test_255_mapped_to_a_class_is_a_note() -> None:
    table = ClassTable(("gap", "cell"), source_values={0: 0, 255: 1})
    (problem,) = two_values([binary("a", (6, 4))], table)  # type: ignore[list-item]
    assert problem.severity == "note" and "'cell'" in problem.message


def test_one_true_void_mask_among_many_classes_is_no_two_value_set() -> None:
    facts = [fact("a", values=(0, 255), counts=(6, 0, 0)), fact("b", values=(0, 1), counts=(3, 3, 0))]
    assert list(two_values(facts, CLASSES)) == []


def test_void_masks_of_a_richer_set_are_left_alone() -> None:
    facts = [fact("a", values=(0, 255), counts=(6, 0, 0)), fact("b", counts=(3, 3, 4))]
    assert list(two_values(facts, CLASSES)) == []


def test_mixed_and_lossy_encodings() -> None:
    facts = [*[fact(f"p{i}", encoding="palette") for i in range(3)], fact("c", encoding="colour")]
    (mixed,) = mask_kinds(facts)
    assert mixed.kind == "mixed masks" and mixed.count == 1 and "3 palette, 1 colour" in mixed.message
    (lossy,) = mask_kinds([fact(encoding="grey (JPEG)")])
    assert lossy.kind == "JPEG masks"
    assert list(mask_kinds(facts[:3])) == []
