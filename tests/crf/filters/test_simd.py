"""Rows of float32 as values: every operation at three widths against NumPy, compiled afresh with the engine's options.

Afresh, because machine code on disk would not notice a change of the intrinsics.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numba
import numpy as np
import pytest

from segfield.crf.filters import simd
from segfield.crf.filters.compiled import _OPTIONS
from segfield.crf.filters.simd import EIGHT, Width, lanes_for

WIDTHS = [4, 8, 24]
fresh = numba.njit(**_OPTIONS)
(add, subtract, multiply, multiply_add, maximum, is_greater, nearest_integer, exponential, scale_add, broadcast, load,
 store, item, prefetch, total, largest, any_above, transpose) = (
    simd.add, simd.subtract, simd.multiply, simd.multiply_add, simd.maximum, simd.is_greater, simd.nearest_integer,
    simd.exponential, simd.scale_add, simd.broadcast, simd.load, simd.store, simd.item, simd.prefetch, simd.total,
    simd.largest, simd.any_above, simd.transpose,
)  # fmt: skip


@fresh
def operations(a: Any, b: Any, c: Any, factor: Any, out: Any, width: Any, stride: int) -> None:
    x, y, z = load(a, 0, width), load(b, 0, width), load(c, 0, width)
    store(out, 0, add(x, y))
    store(out, stride, subtract(x, y))
    store(out, 2 * stride, multiply(x, y))
    store(out, 3 * stride, multiply_add(x, y, z))
    store(out, 4 * stride, maximum(x, y))
    store(out, 5 * stride, is_greater(x, y))
    store(out, 6 * stride, nearest_integer(x))
    store(out, 7 * stride, scale_add(factor, x, z))
    store(out, 8 * stride, broadcast(factor, width))


@fresh
def reductions(a: Any, limit: Any, width: Any) -> Any:
    row = load(a, 0, width)
    return total(row), largest(row), any_above(row, limit)


@fresh
def exponentials(values: Any, out: Any, width: Any, stride: int) -> None:
    for place in range(0, values.size, stride):
        store(out, place, exponential(load(values, place, width)))


def rows(width: int, count: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 3, (count, width)).astype(np.float32)


@cache
def results(width: int) -> tuple[np.ndarray, np.ndarray]:
    """Three rows and the nine results of `operations` on them."""
    given = rows(width)
    given[0, 1:4] = [0.5, 1.5, -2.5]  # halves
    given[1, 2] = given[0, 2]  # a tie
    out = np.full(9 * width + 2, 77, np.float32)
    operations(*given, np.float32(-1.25), out[1:-1], Width(width), width)
    assert out[0] == out[-1] == 77, "a store wrote beside its row"
    return given, out[1:-1].reshape(9, width)


@pytest.mark.parametrize("width", WIDTHS)
def test_sums_and_products(width: int) -> None:
    (a, b, _), found = results(width)
    np.testing.assert_array_equal(found[0], a + b)
    np.testing.assert_array_equal(found[1], a - b)
    np.testing.assert_array_equal(found[2], a * b)


@pytest.mark.parametrize("width", WIDTHS)
def test_fused_products(width: int) -> None:
    (a, b, c), found = results(width)
    exact = a.astype(np.float64)
    np.testing.assert_allclose(found[3], exact * b + c, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found[7], -1.25 * exact + c, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("width", WIDTHS)
def test_comparisons_and_rounding(width: int) -> None:
    (a, b, _), found = results(width)
    np.testing.assert_array_equal(found[4], np.maximum(a, b))
    np.testing.assert_array_equal(found[5], a > b)
    np.testing.assert_array_equal(found[6], np.rint(a))  # halves to even
    assert (found[8] == np.float32(-1.25)).all()


@pytest.mark.parametrize("width", WIDTHS)
def test_totals_and_largest(width: int) -> None:
    for seed in range(20):
        row = rows(width, 1, seed)[0]
        found_total, found_largest, _ = reductions(row, np.float32(0), Width(width))
        assert found_total == pytest.approx(row.sum(dtype=np.float64), rel=1e-5, abs=1e-5)
        assert found_largest == row.max()


@pytest.mark.parametrize("width", WIDTHS)
def test_every_lane_counts(width: int) -> None:
    for lane in range(width):
        row = np.full(width, -5, np.float32)
        row[lane] = 80.5
        assert reductions(row, np.float32(80), Width(width)) == (80.5 - 5 * (width - 1), 80.5, True)
        assert reductions(row, np.float32(80.5), Width(width))[2] is False


@pytest.mark.parametrize("width", WIDTHS)
def test_rows_with_infinities(width: int) -> None:
    row = np.full(width, -np.inf, np.float32)
    row[width - 1] = 3
    assert reductions(row, np.float32(2), Width(width))[1:] == (3.0, True)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_exponential_is_right_to_rounding(width: int) -> None:
    values = np.linspace(-59.999, 88, 240_000, dtype=np.float32)
    found = np.empty_like(values)
    exponentials(values, found, Width(width), width)
    exact = np.exp(values.astype(np.float64))
    assert (abs(found - exact) / exact).max() < 2e-7


@pytest.mark.parametrize("width", WIDTHS)
def test_the_exponential_at_its_ends(width: int) -> None:
    values = np.zeros(width, np.float32)
    values[:4] = [0, -60.001, -1e30, -np.inf]
    found = np.empty_like(values)
    exponentials(values, found, Width(width), width)
    assert found[0] == pytest.approx(1, rel=2e-7) and (found[1:4] == 0).all()


def test_the_exponential_grows_without_a_step_back() -> None:
    values = np.linspace(-2, 2, 80_000, dtype=np.float32)
    found = np.empty_like(values)
    exponentials(values, found, Width(8), 8)
    assert (found[1:] >= found[:-1] * (1 - 3e-7)).all()


def test_eight_by_eight_is_transposed_in_place_of_any_pitch() -> None:
    @fresh
    def transposed(source: Any, target: Any) -> None:
        transpose(source, 3, 11, 8, target, 5, 9, 8)

    source = np.arange(100, dtype=np.float32)
    target = np.full(80, -1, np.float32)
    transposed(source, target)
    block = np.lib.stride_tricks.as_strided(source[3:], (8, 8), (44, 4))
    expected = np.full(80, -1, np.float32)
    np.lib.stride_tricks.as_strided(expected[5:], (8, 8), (36, 4))[:] = block.T
    np.testing.assert_array_equal(target, expected)


@pytest.mark.parametrize("rows", [1, 3, 5, 8])
def test_few_rows_are_transposed_either_way(rows: int) -> None:
    @fresh
    def transposed(source: Any, target: Any, few: int) -> None:
        transpose(source, 0, 11, few, target, 0, 8, 8)

    @fresh
    def back(source: Any, target: Any, few: int) -> None:
        transpose(source, 0, 8, 8, target, 0, 11, few)

    source = np.arange(1, rows * 11 + 1, dtype=np.float32)
    wide = np.zeros(64, np.float32)
    transposed(source, wide, rows)
    planes = source.reshape(rows, 11)[:, :8]
    np.testing.assert_array_equal(wide.reshape(8, 8)[:, :rows], planes.T)
    np.testing.assert_array_equal(wide.reshape(8, 8)[:, rows:], np.repeat(planes.T[:, -1:], 8 - rows, 1))
    found = np.zeros_like(source)
    back(wide, found, rows)
    np.testing.assert_array_equal(found.reshape(rows, 11)[:, :8], planes)
    assert (found.reshape(rows, 11)[:, 8:] == 0).all()


def test_items_and_prefetches() -> None:
    @fresh
    def picked(ids: Any, values: Any, place: int) -> Any:
        prefetch(values, 1 << 20)  # beyond the end: a hint, no access
        return item(ids, place), item(values, place)

    ids, values = np.arange(7, dtype=np.int32) * -3, np.arange(7, dtype=np.float32) / 4
    assert [picked(ids, values, place) for place in (0, 3, 6)] == [(0, 0.0), (-9, 0.75), (-18, 1.5)]


def test_a_width_may_be_a_constant_of_a_loop() -> None:
    @fresh
    def doubled(values: Any) -> None:
        store(values, 0, add(load(values, 0, EIGHT), load(values, 0, EIGHT)))

    values = np.arange(9, dtype=np.float32)
    doubled(values)
    assert values.tolist() == [0, 2, 4, 6, 8, 10, 12, 14, 8]


def test_lanes_are_four_or_whole_eights_and_hold_the_channels() -> None:
    assert [lanes_for(n) for n in (1, 4, 5, 8, 9, 21, 24, 25, 60, 255)] == [4, 4, 8, 8, 16, 24, 24, 32, 64, 256]
