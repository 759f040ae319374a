"""The loops of one iteration backwards, against the formula in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

from segfield.crf.filters.compiled import compiled_lean
from segfield.crf.filters.simd import Width
from segfield.crf.image_gradient import _add_products, _softmax_gradient

COLUMNS, STRIDE = 11, 8
RNG = np.random.default_rng(0)


@compiled_lean  # what is tested has no entrance for Python
def products(messages: Any, begin: int, end: int, q: Any, first: int, sums: Any, lanes: Width, stride: int) -> None:
    _add_products(messages, begin, end, q, first, sums, lanes, stride)


@compiled_lean
def softmax_gradient(sent: Any, q: Any, gradient: Any, total: Any, lanes: Width, stride: int) -> None:
    _softmax_gradient(0, q.size // stride, sent, q, gradient, total, lanes, stride)


def rows(count: int = COLUMNS, stride: int = STRIDE) -> np.ndarray:
    return RNG.normal(size=(count, stride)).astype(np.float32)


def test_products_are_summed_over_the_columns_asked_for() -> None:
    messages, q = rows(stride=2 * STRIDE), rows(2 * COLUMNS)
    sums = np.full((2 * STRIDE, STRIDE), np.nan, np.float32)
    products(messages.reshape(-1), 2, 9, q.reshape(-1), COLUMNS, sums.reshape(-1), Width(STRIDE), STRIDE)
    np.testing.assert_allclose(sums, messages[2:9].T @ q[COLUMNS + 2 : COLUMNS + 9], rtol=1e-5, atol=1e-5)


def test_the_softmax_gradient_is_written_and_added() -> None:
    q = np.abs(rows())
    q /= q.sum(axis=1, keepdims=True)
    sent, gradient, total = rows(), np.zeros((COLUMNS, STRIDE), np.float32), rows()
    expected = q * (-sent - (q * -sent).sum(axis=1, keepdims=True))
    before = total.copy()
    flat = [array.reshape(-1) for array in (sent, q, gradient, total)]
    softmax_gradient(*flat, Width(STRIDE), STRIDE)
    np.testing.assert_allclose(gradient, expected, atol=1e-6)
    np.testing.assert_allclose(total, before + expected, atol=1e-6)
