"""The four normalisations against their formulas on a dense, deliberately unsymmetric matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from segfield.crf.filters.filter import Filter, Normalized
from segfield.errors import SettingError

RNG = np.random.default_rng(0)
MATRIX = RNG.uniform(0.1, 1, (6, 6))
VALUES = RNG.normal(size=(6, 3))
SUMS = MATRIX.sum(1)
ROOTS = np.sqrt(SUMS)
EXPECTED = {
    "none": MATRIX,
    "before": MATRIX / SUMS,
    "after": MATRIX / SUMS[:, None],
    "symmetric": MATRIX / ROOTS[:, None] / ROOTS,
}


class Dense:
    """A filter given by its matrix; counts its products."""

    def __init__(self, matrix: Any) -> None:
        self.matrix = matrix
        self.products = 0

    @property
    def size(self) -> int:
        return len(self.matrix)

    def __call__(self, values: Any) -> Any:
        self.products += 1
        return self.matrix @ values

    def transposed(self, values: Any) -> Any:
        return self.matrix.T @ values


@pytest.mark.parametrize("kind", EXPECTED)
def test_each_kind_is_its_formula(kind: Any) -> None:
    normalized: Filter = Normalized(Dense(MATRIX), kind)
    np.testing.assert_allclose(normalized(VALUES), EXPECTED[kind] @ VALUES, rtol=1e-12)
    np.testing.assert_allclose(normalized.transposed(VALUES), EXPECTED[kind].T @ VALUES, rtol=1e-12)
    assert normalized.size == 6


@pytest.mark.parametrize("kind", EXPECTED)
def test_tensors_are_normalised_alike(kind: Any) -> None:
    normalized = Normalized(Dense(torch.from_numpy(MATRIX)), kind)
    found = normalized(torch.from_numpy(VALUES))
    np.testing.assert_allclose(found.numpy(), EXPECTED[kind] @ VALUES, rtol=1e-12)


def test_after_gives_weighted_means() -> None:
    normalized = Normalized(Dense(MATRIX), "after")
    np.testing.assert_allclose(normalized(np.full((6, 2), 7.0)), 7.0, rtol=1e-12)


def test_row_sums_are_found_once() -> None:
    dense = Dense(MATRIX)
    normalized = Normalized(dense)
    for _ in range(3):
        normalized(VALUES)
    assert dense.products == 3 + 1


def test_row_sums_follow_the_precision() -> None:
    normalized = Normalized(Dense(MATRIX))
    normalized(VALUES)
    assert normalized.row_sums(VALUES.astype(np.float32)).shape == (6, 1)
    assert Normalized(Dense(MATRIX.astype(np.float32)))(VALUES.astype(np.float32)).dtype == np.float32


def test_a_pixel_without_any_weight_gives_no_infinity() -> None:
    normalized = Normalized(Dense(np.zeros((2, 2))), "after")
    np.testing.assert_array_equal(normalized(np.ones((2, 1))), 0)


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(SettingError, match=r"'symetric'.*mean symmetric"):
        Normalized(Dense(MATRIX), "symetric")  # type: ignore[arg-type]
