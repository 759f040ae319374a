"""Findings about files: which differences between images training takes in its stride, and which it refuses."""

from __future__ import annotations

import pytest

from segfield.data.check.findings import image_kinds
from tests.data.check.facts import fact
from tests.told import says


@pytest.mark.parametrize(
    ("odd", "severity", "mend"),
    [
        ({"bands": 1}, "note", "(2 × 3, 1 × 1) … RGB"),
        ({"bands": 4}, "error", "(2 × 3, 1 × 4); convert the odd ones"),
        ({"dtype": "uint16"}, "error", "(2 × uint8, 1 × uint16) … convert"),
    ],
)
def test_images_of_unlike_kinds(odd: dict[str, object], severity: str, mend: str) -> None:
    (problem,) = image_kinds([fact("a"), fact("b"), fact("c", **odd)])
    assert (problem.severity, problem.count) == (severity, 1)
    assert says(mend, problem.message)
    assert problem.files[0].startswith("c: ")


def test_three_kinds_at_once_are_not_grey_and_rgb() -> None:
    (problem,) = image_kinds([fact("a"), fact("b", bands=1), fact("c", bands=5)])
    assert problem.severity == "error"
