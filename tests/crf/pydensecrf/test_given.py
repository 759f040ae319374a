"""Arguments of scripts: what fits, and the error's type and argument where it does not."""

from __future__ import annotations

import numpy as np
import pytest

from segfield.crf.pydensecrf.errors import MissingIndexError, ModelError, NoProbabilityError, WrongTypeError
from segfield.crf.pydensecrf.given import matrix, numbers, whole_number, widths
from segfield.errors import DataError


def test_errors_are_of_both_families() -> None:
    kinds = (ModelError, ValueError), (MissingIndexError, IndexError), (WrongTypeError, TypeError)
    for kind, theirs in (*kinds, (NoProbabilityError, AssertionError)):
        assert issubclass(kind, DataError) and issubclass(kind, ModelError) and issubclass(kind, theirs)


@pytest.mark.parametrize("given", [3, 3.0, np.float32(3), np.array(3), (3, 3), [3, -3, 5], np.array([-3, 3])])
def test_widths(given: object) -> None:
    assert widths("sxy", given, 2, "x and y") == (3.0, 3.0)


@pytest.mark.parametrize("given", [0, (3, 0), np.nan, (np.inf, 3)])
def test_widths_that_nothing_can_be_divided_by(given: object) -> None:
    with pytest.raises(ModelError, match=r"^sxy .*other than 0"):
        widths("sxy", given, 2, "x and y")


@pytest.mark.parametrize("given", [(3,), (), [[3, 3]]])
def test_too_few_widths(given: object) -> None:
    with pytest.raises(MissingIndexError, match=r"^sxy .*give one number or 2"):
        widths("sxy", given, 2, "x and y")


@pytest.mark.parametrize("given", [None, "3", ["3"], [None, 3], [[1], [1, 2]], object()])
def test_no_numbers(given: object) -> None:
    with pytest.raises(WrongTypeError, match=r"^compat"):
        numbers("compat", given, "a number")


def test_matrices_are_not_copied_in_vain() -> None:
    given = np.ones((2, 3), np.float32)
    assert matrix(given, "u", "energies") is given
    found = matrix(given.astype(float).T, "u", "energies")
    assert found.dtype == np.float32 and found.flags.c_contiguous and found.shape == (3, 2)


@pytest.mark.parametrize(("given", "kind"), [(None, WrongTypeError), ("u", WrongTypeError), (np.ones(3), ModelError)])
def test_no_matrices(given: object, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=r"^u "):
        matrix(given, "u", "energies")


def test_whole_numbers() -> None:
    assert [whole_number("niter", n) for n in (5, 5.9, np.uint8(5), True, -3)] == [5, 5, 5, 1, -3]
    for wrong in (None, "5", np.nan, np.inf, [5, 6]):
        with pytest.raises(WrongTypeError, match=r"^niter"):
            whole_number("niter", wrong)
