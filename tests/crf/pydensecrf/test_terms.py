"""The parts of pydensecrf's model: its constants, its signs, its unaries."""

from __future__ import annotations

import numpy as np
import pytest

from segfield.crf.filters.exact import ExactFilter
from segfield.crf.pydensecrf.terms import (
    ConstUnary,
    KernelType,
    LogisticUnary,
    ModelError,
    NormalizationType,
    Term,
    matrix,
    reward,
)
from segfield.errors import DataError


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
    with pytest.raises(ModelError, match="expected a number"):
        reward(compat, 2)
    with pytest.raises(ValueError, match="NaN"):
        reward([1.0, np.nan], 2)
    with pytest.raises(ValueError, match="overflow"):
        reward(1e300, 2)


def test_errors_are_of_both_families() -> None:
    assert issubclass(ModelError, DataError) and issubclass(ModelError, ValueError)


def test_unaries() -> None:
    given = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    kept = ConstUnary(given)
    given[:] = 0
    assert kept.energies[1, 2] == 6 and kept.energies.dtype == np.float32
    product = LogisticUnary([[1.0, 2.0]], [[1.0, 2.0, 3.0], [1.0, 1.0, 1.0]])
    np.testing.assert_array_equal(product.energies, [[3, 4, 5]])
    with pytest.raises(ModelError, match=r"expected \(K, D\) and \(D, N\)"):
        LogisticUnary(np.zeros((2, 3)), np.zeros((2, 5)))
    with pytest.raises(ModelError, match="flatten the pixels"):
        matrix(np.zeros((2, 3, 4)), "the unary energy")


@pytest.mark.parametrize("compat", [2.0, [1.0, -3.0], [[0.0, 1.0], [1.0, 0.5]]])
def test_a_term_adds_its_energy(compat: object) -> None:
    rng = np.random.default_rng(0)
    features, probabilities = rng.standard_normal((20, 3)), rng.random((20, 2))
    kernel = np.exp(-0.5 * ((features[:, None] - features) ** 2).sum(-1))
    messages = kernel @ probabilities
    given = np.asarray(compat)
    expected = -given * messages if given.ndim == 0 else messages * given if given.ndim == 1 else messages @ given
    term = Term(lambda: ExactFilter(features), reward(compat, 2), "none")
    np.testing.assert_allclose(term.energy(probabilities), expected, rtol=1e-5)
