"""The loops of one iteration backwards, against the formula in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from segfield.crf.filters.compiled import compiled_lean
from segfield.crf.filters.simd import Width
from segfield.crf.image_gradient import _softmax_gradient, take_products
from segfield.crf.image_kernels import NO_POSITION, position_kernel
from segfield.crf.image_terms import Position

COLUMNS, STRIDE = 11, 8
RNG = np.random.default_rng(0)


@compiled_lean  # what is tested has no entrance for Python
def products(
    messages: Any, q: Any, place: int, factor: Any, blocks: Any, sums: Any, at: int, lanes: Width, stride: int
) -> None:
    take_products(messages, messages.size // stride, q, place, factor, blocks, sums, at, lanes, stride)


@compiled_lean
def softmax_gradient(has_line: bool, line: Any, position: Position, smooth: Any, q: Any, total: Any, lanes: Width,
                     stride: int) -> None:  # fmt: skip
    _softmax_gradient(0, q.size // stride, has_line, line, position, smooth, q, total, lanes, stride)


def rows(count: int = COLUMNS, stride: int = STRIDE) -> np.ndarray:
    return RNG.normal(size=(count, stride)).astype(np.float32)


@pytest.mark.parametrize("columns", [1, 11, 64, 150])
def test_products_are_taken_away_block_by_block(columns: int) -> None:
    messages, q = rows(columns), rows(2 * columns)
    sums, blocks = np.ones((3, STRIDE, STRIDE)), np.full(STRIDE * STRIDE, np.nan, np.float32)
    products(messages.reshape(-1), q.reshape(-1), columns * STRIDE, np.float32(2), blocks, sums.reshape(-1),
             STRIDE * STRIDE, Width(STRIDE), STRIDE)  # fmt: skip
    np.testing.assert_allclose(sums[1], 1 - 2 * messages.T @ q[columns:], rtol=1e-4, atol=1e-4)
    assert (sums[[0, 2]] == 1).all()


@pytest.mark.parametrize("has_line", [False, True])
@pytest.mark.parametrize("sxy", [None, 1.0, 3.0])
def test_the_softmax_gradient_is_written_and_added(has_line: bool, sxy: float | None) -> None:
    q = np.abs(rows())
    q /= q.sum(axis=1, keepdims=True)
    line, smooth, total = rows(), rows(), rows()
    position = NO_POSITION if sxy is None else position_kernel((1, COLUMNS), sxy, "after")
    sent = line.copy() if has_line else np.zeros_like(line)
    if sxy is not None:
        near = np.arange(COLUMNS) // 2
        far = near + np.where(np.arange(COLUMNS) % 2, 1, -1)
        inside = (far >= 0) & (far < (COLUMNS + 1) // 2)
        widened = 0.75 * smooth[near] + 0.25 * inside[:, None] * smooth[np.where(inside, far, near)]
        sent += position.after[:, None] * (widened if position.halved else smooth)
    expected = q * (-sent - (q * -sent).sum(axis=1, keepdims=True))
    before = total.copy()
    flat = [array.reshape(-1) for array in (smooth, q, total)]
    softmax_gradient(has_line, line.reshape(-1), position, *flat, Width(STRIDE), STRIDE)
    np.testing.assert_allclose(line, expected, atol=1e-5)
    np.testing.assert_allclose(total, before + expected, atol=1e-5)
