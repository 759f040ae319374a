"""The parts of pydensecrf's model: its constants, its signs, its unaries."""

from __future__ import annotations

import numpy as np
import pytest

from segfield.crf.pydensecrf.errors import ModelError, WrongTypeError
from segfield.crf.pydensecrf.terms import ConstUnary, KernelType, LogisticUnary, NormalizationType, reward


def test_the_constants_are_pydensecrfs() -> None:
    theirs = pytest.importorskip("pydensecrf.densecrf", reason="pydensecrf2 is not installed")
    for constant in (*NormalizationType, *KernelType):
        assert int(getattr(theirs, constant.name)) == constant


def test_a_number_rewards_and_arrays_penalise() -> None:
    assert reward(3, 2) == 3
    np.testing.assert_array_equal(reward([1, 2], 2), [-1, -2])
    np.testing.assert_array_equal(reward([[0, 1], [3, 0]], 2), [[0, -2], [-2, 0]])


@pytest.mark.parametrize("compat", [[1.0, 2.0, 3.0], [[1.0, 2.0]], np.zeros((2, 2, 2))])
def test_compat_of_another_shape(compat: object) -> None:
    with pytest.raises(ModelError, match="give a number"):
        reward(compat, 2)
    with pytest.raises(ValueError, match="NaN"):
        reward([1.0, np.nan], 2)
    with pytest.raises(ValueError, match="overflow"):
        reward(1e300, 2)


@pytest.mark.parametrize("compat", [None, "3", ["a", "b"]])
def test_compat_that_is_no_number(compat: object) -> None:
    with pytest.raises(WrongTypeError, match="compat"):
        reward(compat, 2)


def test_unaries() -> None:
    given = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    kept = ConstUnary(given)
    given[:] = 0
    assert kept.energies[1, 2] == 6 and kept.energies.dtype == np.float32
    product = LogisticUnary([[1.0, 2.0]], [[1.0, 2.0, 3.0], [1.0, 1.0, 1.0]])
    np.testing.assert_array_equal(product.energies, [[3, 4, 5]])
    with pytest.raises(ModelError, match=r"give \(K, D\) and \(D, N\)"):
        LogisticUnary(np.zeros((2, 3)), np.zeros((2, 5)))
    np.testing.assert_array_equal(ConstUnary([[np.inf, 1.0]]).energies, np.float32([[1e9, 1.0]]))
    for wrong in (np.nan, -np.inf):
        with pytest.raises(ModelError, match="u holds"):
            ConstUnary([[1.0, wrong]])
