"""The loops of the position kernel, line by line, against matrices; how near half resolution comes to the Gaussian."""

from __future__ import annotations

import numpy as np
import pytest

from segfield.crf.filters.gaussian_lines import (
    add_line,
    axis_sums,
    convolve_across,
    convolve_line,
    halve_line,
    scale_line,
    taps,
)
from segfield.crf.filters.simd import Width

from .axis_operators import gaussian, half_resolution, halving

RNG = np.random.default_rng(0)
FOUR = Width(4)


def random_rows(count: int) -> np.ndarray:
    return RNG.normal(size=(count, 4)).astype(np.float32)


@pytest.mark.parametrize("sigma", [0.3, 1.0, 1.5, 3.0])
def test_taps_are_the_gaussian_cut_at_four_deviations(sigma: float) -> None:
    found = taps(sigma, halved=False)
    np.testing.assert_allclose(found, gaussian(len(found), sigma)[0], rtol=1e-6)
    assert len(found) == max(2, int(np.ceil(4 * sigma)) + 1)


@pytest.mark.parametrize("sigma", [2.0, 3.0, 10.0])
def test_taps_at_half_resolution_carry_the_whole_kernels_sum(sigma: float) -> None:
    found = taps(sigma, halved=True).astype(np.float64)
    assert found[0] + 2 * found[1:].sum() == pytest.approx(sigma * np.sqrt(2 * np.pi), rel=1e-6)
    narrow = np.sqrt((sigma**2 - 1.5) / 4)
    np.testing.assert_allclose(found / found[0], gaussian(len(found), narrow)[0], rtol=1e-5)
    assert len(found) == int(np.ceil(3 * narrow)) + 1


@pytest.mark.parametrize(
    ("sigma", "of_the_peak", "of_the_variance"),
    [
        (2.0, 0.054, 0.01),
        (2.5, 0.023, 0.01),
        (3.0, 0.014, 0.01),
        (5.0, 0.004, 0.01),
        (12.0, 0.006, 0.027),  # what lies beyond three deviations is cut, and with it 2.7 % of the variance
    ],
)
def test_half_resolution_comes_near_the_gaussian(sigma: float, of_the_peak: float, of_the_variance: float) -> None:
    length = 2 * int(7 * sigma)
    for centre in (length // 2, length // 2 + 1):  # an even and an odd pixel: their kernels are mirror images
        impulse = np.zeros((length, 4), np.float32)
        impulse[centre] = 1
        small, smooth = np.empty((length // 2, 4), np.float32), np.empty((length // 2, 4), np.float32)
        halve_line(impulse.reshape(-1), 0, np.ones(length, np.float32), 0, small.reshape(-1), length, FOUR, 4)
        convolve_line(small.reshape(-1), smooth.reshape(-1), 0, length // 2, taps(sigma, True), FOUR, 4)
        kernel = 2 * halving(length).T @ smooth[:, 0]
        apart = np.arange(length) - centre
        assert kernel.sum() == pytest.approx(sigma * np.sqrt(2 * np.pi), rel=1e-5)
        assert abs(kernel - np.exp(-0.5 * (apart / sigma) ** 2)).max() < of_the_peak
        assert (kernel * apart).sum() / kernel.sum() == pytest.approx(0, abs=1e-4)
        assert (kernel * apart**2).sum() / kernel.sum() == pytest.approx(sigma**2, rel=of_the_variance)


@pytest.mark.parametrize("length", [1, 2, 3, 8, 17])
@pytest.mark.parametrize(("sigma", "halved"), [(1.5, False), (3.0, True)])
def test_sums_along_an_axis(length: int, sigma: float, halved: bool) -> None:
    matrix = half_resolution(length, sigma) if halved else gaussian(length, sigma, np.ceil(4 * sigma))
    np.testing.assert_allclose(axis_sums(length, taps(sigma, halved), halved), matrix.sum(1), rtol=1e-6)


@pytest.mark.parametrize("columns", [1, 2, 5, 6, 7, 20])
def test_along_a_line(columns: int) -> None:
    weights, line = taps(1.5, False), random_rows(columns)
    out = np.full((columns + 3, 4), 9, np.float32)
    convolve_line(line.reshape(-1), out.reshape(-1), 8, columns, weights, FOUR, 4)
    np.testing.assert_allclose(out[2:-1], gaussian(columns, 1.5, 6) @ line, atol=1e-5)
    assert (out[[0, 1, -1]] == 9).all()


@pytest.mark.parametrize("height", [1, 2, 6, 15])
def test_across_lines(height: int) -> None:
    weights, lines = taps(1.5, False), RNG.normal(size=(height, 3, 4)).astype(np.float32)
    expected = np.einsum("yz,zxk->yxk", gaussian(height, 1.5, 6), lines)
    for y in range(height):
        out = np.full(3 * 4 + 8, 9, np.float32)
        convolve_across(lines.reshape(-1), y, height, 12, out, 4, weights, FOUR, 4)
        np.testing.assert_allclose(out[4:16].reshape(3, 4), expected[y], atol=1e-5)
        assert (out[:4] == 9).all() and (out[16:] == 9).all()


@pytest.mark.parametrize("columns", [1, 2, 3, 4, 9, 10])
def test_halving_a_line(columns: int) -> None:
    line, scale = random_rows(columns + 2), RNG.random(columns + 7).astype(np.float32)
    line[columns:], scale[columns + 5 :] = np.nan, np.nan  # nothing before or beyond the line counts
    out = np.empty(((columns + 1) // 2, 4), np.float32)
    halve_line(
        np.concatenate([np.full(8, np.nan, np.float32), line.reshape(-1)]),
        8,
        scale,
        5,
        out.reshape(-1),
        columns,
        FOUR,
        4,
    )
    line, scale = line[:columns], scale[: columns + 5]
    np.testing.assert_allclose(out, halving(columns) @ (scale[5:, None] * line), atol=1e-6)


def test_scaling_a_line() -> None:
    line, scale = random_rows(6), RNG.random(9).astype(np.float32)
    out = np.empty_like(line)
    scale_line(
        np.concatenate([np.full(8, np.nan, np.float32), line.reshape(-1)]), 8, scale, 2, out.reshape(-1), FOUR, 4
    )
    np.testing.assert_allclose(out, scale[2:8, None] * line, rtol=1e-6)


def test_adding_a_line_first_and_again() -> None:
    line, out = random_rows(6).reshape(-1), np.full(20, np.nan, np.float32)
    add_line(line, 4, np.float32(0.75), out, 8, 8, True, FOUR, 4)
    np.testing.assert_allclose(out[8:16], 0.75 * line[4:12], rtol=1e-6)
    add_line(line, 12, np.float32(0.25), out, 8, 8, False, FOUR, 4)
    np.testing.assert_allclose(out[8:16], 0.75 * line[4:12] + 0.25 * line[12:20], rtol=1e-5, atol=1e-6)
    assert np.isnan(out[:8]).all() and np.isnan(out[16:]).all()
