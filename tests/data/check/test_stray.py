"""Masks without an image, told from the other files of a mask folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from segfield.data.check.stray import stray_masks, tail
from tests.data.check.facts import fact


@pytest.mark.parametrize(
    ("image", "mask", "ending"),
    [
        ("a1.jpg", "a1.png", ""),
        ("a1.jpg", "a1_mask.png", "_mask"),
        ("aachen_000019_leftImg8bit.png", "aachen_000019_gtFine_labelIds.png", "gtFine_labelIds"),
        ("6000117.jpg", "6000117.regions.txt", ".regions"),
    ],
)
def test_tail(image: str, mask: str, ending: str) -> None:
    assert tail(Path(image), Path(mask)) == ending


def facts_of(folder: Path, names: list[str], ending: str) -> list:
    return [fact(n, image_file=folder / f"{n}.jpg", mask_file=folder / f"{n}{ending}") for n in names]


def test_stray_mask_is_named_and_other_files_are_not(tmp_path: Path) -> None:
    for name in ("a_mask.png", "b_mask.png", "lost_mask.png", "a_instances.png", "lost_mask.txt", "notes.png"):
        (tmp_path / name).touch()
    (problem,) = stray_masks(facts_of(tmp_path, ["a", "b"], "_mask.png"))
    assert problem.files == (str(tmp_path / "lost_mask.png"),)
    assert problem.severity == "warning"


def test_images_beside_their_masks_are_no_strays(tmp_path: Path) -> None:
    pairs = [fact(n, image_file=tmp_path / f"{n}.png", mask_file=tmp_path / f"{n}_gt.png") for n in "ab"]
    for entry in pairs:
        entry.image_file.touch()
        entry.mask_file.touch()
    assert list(stray_masks(pairs)) == []


def test_no_files_no_answer(tmp_path: Path) -> None:
    assert list(stray_masks([fact()])) == []
    (tmp_path / "objects").mkdir()
    assert list(stray_masks([fact(image_file=tmp_path / "a.png", mask_file=tmp_path / "objects")])) == []
