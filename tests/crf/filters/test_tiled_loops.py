"""The vector loops against plain NumPy: kernel values to a unit or two in the last place, products to rounding."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from segfield.crf.filters.tiled_loops import BLOCK, CHANNELS, LANES, add_products, gaussian_block, power_of_two


@numba.njit
def block_of(block, targets, sources, count, width):  # type: ignore[no-untyped-def]
    gaussian_block(block, 0, targets, 0, sources, 0, count, width)


@numba.njit
def products_of(sums, block, values, count, stride):  # type: ignore[no-untyped-def]
    add_products(sums, block, 0, values, 0, count, stride)


@pytest.mark.parametrize(("kind", "tolerance"), [(np.float32, 4e-7), (np.float64, 1e-14)])
def test_kernel_values_over_their_whole_range(kind: type, tolerance: float) -> None:
    targets = np.zeros((1, LANES), kind)
    sources = np.linspace(0, 12, BLOCK, dtype=kind)[:, None]  # e^−72 is still a normal float32
    targets[0] = np.linspace(0, 0.5, LANES)
    block = np.empty((BLOCK, LANES), kind)
    block_of(block.reshape(-1), targets.reshape(-1), sources.reshape(-1), BLOCK, 1)
    gaps = (targets - sources).astype(kind).astype(np.float64)  # what the loop sees
    exponents = -0.5 * gaps**2
    # the exponent itself is rounded: its error, and the result's with it, grows with its size
    allowed = tolerance * (1 + np.abs(exponents)) * np.exp(exponents)
    assert (np.abs(block - np.exp(exponents)) <= allowed).all()


def test_far_sources_add_nothing_and_equal_ones_all() -> None:
    block = np.empty((4, LANES), np.float32)
    sources = np.array([0, 1e4, -1e19, 3e38], np.float32)
    block_of(block.reshape(-1), np.zeros(LANES, np.float32), sources, 4, 1)
    np.testing.assert_allclose(block[0], 1, atol=2e-7)
    assert (block[1:] >= 0).all() and (block[1:] < 1e-37).all()


def test_the_polynomial_is_a_power_of_two() -> None:
    x = np.linspace(-0.5, 0.5, 1001)
    assert np.abs(np.polynomial.polynomial.polyval(x, power_of_two(5)) / 2**x - 1).max() < 2e-7
    assert np.abs(np.polynomial.polynomial.polyval(x, power_of_two(12)) / 2**x - 1).max() < 1e-14


@pytest.mark.parametrize("stride", [CHANNELS, 3 * CHANNELS])
def test_products_are_added_to_what_is_there(stride: int) -> None:
    rng = np.random.default_rng(0)
    block = rng.uniform(size=(52, LANES)).astype(np.float32)
    values = rng.normal(size=(52, stride)).astype(np.float32)
    before = rng.normal(size=(stride, LANES)).astype(np.float32)
    sums = before.copy()
    products_of(sums.reshape(-1), block.reshape(-1), values.reshape(-1), 52, stride)
    expected = before + values.T.astype(np.float64) @ block
    np.testing.assert_allclose(sums, expected, atol=2e-5)
