"""Findings about classes and amounts."""

from __future__ import annotations

import pytest

from segfield.data.check.coverage import amounts, coverage
from tests.data.check.facts import CLASSES, fact

SPLITS = ("train", "val")


def found(*facts: object, splits: tuple[str, ...] = SPLITS) -> dict[str, tuple[str, str]]:
    problems = coverage(facts, CLASSES, splits)  # type: ignore[arg-type]
    return {problem.kind: (problem.severity, problem.files[0] if problem.files else "") for problem in problems}


def test_all_classes_everywhere_is_fine() -> None:
    assert found(fact("a"), fact("b", ["val"])) == {}


def test_class_that_never_occurs() -> None:
    assert found(fact("a", counts=(1, 1, 0))) == {"absent classes": ("warning", "car")}


def test_class_of_val_alone_and_class_of_training_alone() -> None:
    seen = found(fact("a", counts=(1, 1, 0)), fact("b", ["val"], counts=(1, 0, 1)))
    assert seen == {"untrained classes": ("warning", "car"), "unmeasured classes": ("note", "road")}


def test_trainaug_counts_as_training() -> None:
    facts = fact("a", ["trainaug"], counts=(1, 1, 1)), fact("b", ["val"], counts=(1, 0, 1))
    assert "untrained classes" not in found(*facts, splits=("trainaug", "val"))


def test_only_one_class() -> None:
    assert found(fact("a", counts=(9, 0, 0)))["one class"][0] == "error"


def test_val_without_a_labelled_pixel() -> None:
    seen = found(fact("a"), fact("b", ["val"], counts=(0, 0, 0), ignored=9))
    assert seen == {"unlabelled val": ("error", "")}


def test_no_labels_no_answer() -> None:
    assert found(fact("a", counts=None)) == {}


@pytest.mark.parametrize(
    ("facts", "splits", "kind"),
    [
        ([fact()], SPLITS, "one sample"),
        ([fact("a"), fact("b")], ("train",), "no held-out split"),
        ([fact("a", counts=(1, 1, 1), ignored=9), fact("b")], SPLITS, None),
        ([fact("a", counts=(1, 1, 1), ignored=99), fact("b")], SPLITS, "mostly ignored"),
        ([fact("a", counts=(100_000, 5000, 7)), fact("b")], SPLITS, "rare classes"),
    ],
)
def test_amounts(facts: list, splits: tuple[str, ...], kind: str | None) -> None:
    assert [problem.kind for problem in amounts(facts, CLASSES, splits)] == ([kind] if kind else [])


def test_rare_classes_are_named_with_their_share() -> None:
    (problem,) = amounts([fact("a", counts=(99_990, 0, 10)), fact("b", counts=None)], CLASSES, SPLITS)
    assert problem.files == ("car 0.0100%",)
