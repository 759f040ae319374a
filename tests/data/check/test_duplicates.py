"""Equal and nearly equal images across splits."""

from __future__ import annotations

import numpy as np
import pytest

from segfield.data.check.duplicates import duplicates, leaks, near_duplicates, roles
from segfield.data.check.sample import describe_image, examine
from tests.data.check.facts import Memory, fact, picture


@pytest.mark.parametrize(
    ("splits", "expected"),
    [
        (("train", "trainaug", "trainval"), {("", "train")}),
        (("val", "trainval"), {("", "val")}),
        (("test",), {("", "test")}),
        (("all", "unlabelled", "car-shadow"), set()),
        (("fold1-train", "fold2-val"), {("fold1", "train"), ("fold2", "val")}),
    ],
)
def test_roles(splits: tuple[str, ...], expected: set[tuple[str, str]]) -> None:
    assert roles(fact(splits=splits)) == expected


def test_folds_are_apart_from_each_other() -> None:
    assert not leaks({("fold1", "train")}, {("fold2", "val")})
    assert leaks({("fold1", "train")}, {("fold1", "val")})


def kinds(*facts: object) -> dict[str, tuple[str, ...]]:
    return {problem.kind: problem.files for problem in duplicates(facts)}  # type: ignore[arg-type]


def test_equal_images_across_splits() -> None:
    found = kinds(fact("a", ["train"], digest=b"1"), fact("b", ["val"], digest=b"1"), fact("c", ["val"], digest=b"2"))
    assert found == {"duplicates across splits": ("a (train) = b (val)",)}


def test_equal_images_within_a_split_are_a_note() -> None:
    (problem,) = duplicates([fact("a", digest=b"1"), fact("b", digest=b"1")])
    assert (problem.severity, problem.kind) == ("note", "duplicates")


def test_one_sample_listed_in_two_splits() -> None:
    assert kinds(fact("a", ["train", "val"])) == {"duplicates across splits": ("a (train, val)",)}


def test_nested_splits_are_no_leak() -> None:
    assert kinds(fact("a", ["train", "trainaug", "trainval"]), fact("b", ["val", "trainval"])) == {}


def test_equal_images_with_unlike_masks() -> None:
    found = kinds(fact("a", digest=b"1", labels_digest=b"x"), fact("b", digest=b"1", labels_digest=b"y"))
    assert found["contradicting masks"] == ("a (train) ≠ b (train)",)


def test_masks_of_equal_class_counts_are_unlike_where_their_pixels_are() -> None:
    first, second = (np.zeros((4, 5), np.uint8) for _ in range(2))
    first[0], second[1] = 1, 1
    image = picture(0, 4, 5).transpose(2, 0, 1)
    facts = []
    for name, mask in (("a", first), ("b", second), ("c", first)):
        dataset = Memory({name: ("train", image, mask)})
        facts.append(examine(dataset, 0, ("train",)))
    assert np.array_equal(facts[0].counts, facts[1].counts)
    found = kinds(*facts)
    assert found["contradicting masks"] == ("a (train) ≠ b (train) ≠ c (train)",)
    assert "contradicting masks" not in kinds(facts[0], facts[2])


def test_unreadable_images_are_not_equal_to_each_other() -> None:
    assert kinds(fact("a", ["train"], digest=b""), fact("b", ["val"], digest=b"")) == {}


def seen(name: str, split: str, image: np.ndarray) -> object:
    made = fact(name, [split])
    describe_image(made, image.transpose(2, 0, 1))
    return made


def test_near_duplicate_is_found_and_only_that() -> None:
    image = picture(5, 64, 64).astype(int)
    noisy = (image + np.random.default_rng(0).integers(-9, 10, image.shape)).clip(0, 255).astype(np.uint8)
    facts = [
        seen("other", "train", picture(6, 64, 64)),
        seen("first", "train", image.astype(np.uint8)),
        seen("noisy", "val", noisy),
        seen("far", "val", picture(7, 64, 64)),
        seen("noisy too", "train", noisy[:, ::-1]),
    ]
    ((i, j, alike),) = near_duplicates(facts)  # type: ignore[arg-type]
    assert (i, j) == (1, 2)
    assert 0.995 <= alike < 1
    assert "noisy (val) ~ first (train)" in kinds(*facts)["near duplicates"][0]


def test_exact_duplicates_are_not_called_near() -> None:
    facts = [seen("a", "train", picture(1)), seen("b", "val", picture(1))]
    assert near_duplicates(facts) == []  # type: ignore[arg-type]
