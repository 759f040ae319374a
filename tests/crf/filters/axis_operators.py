"""The Gaussian of position along one axis as a NumPy matrix, at full and at half resolution; written from the description."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


def gaussian(length: int, sigma: float, cut: float = np.inf) -> Matrix:
    """exp(−Δ²/2σ²), 0 where Δ > cut."""
    apart = abs(np.subtract.outer(np.arange(length), np.arange(length)))
    return np.where(apart <= cut, np.exp(-0.5 * (apart / sigma) ** 2), 0.0)


def halving(length: int) -> Matrix:
    """(⌈length/2⌉, length): half pixel h gathers the pixels 2h − 1 … 2h + 2 by [1 3 3 1]/8, those inside."""
    down = np.zeros(((length + 1) // 2, length))
    for half in range(len(down)):
        for pixel, share in zip(range(2 * half - 1, 2 * half + 3), (1, 3, 3, 1)):
            if 0 <= pixel < length:
                down[half, pixel] = share / 8
    return down


def half_resolution(length: int, sigma: float) -> Matrix:
    """Down, a Gaussian of the variance that is left over, up; its whole sum is σ√(2π)."""
    down = halving(length)
    narrow = np.sqrt((sigma**2 - 1.5) / 4)
    radius = max(1, int(np.ceil(3 * narrow)))
    whole = np.exp(-0.5 * (np.arange(-radius, radius + 1) / narrow) ** 2).sum()
    between = gaussian(len(down), narrow, radius) * sigma * np.sqrt(2 * np.pi) / whole
    return 2 * down.T @ between @ down


def on_the_grid(shape: tuple[int, int], sxy: tuple[float, float], halved: bool) -> Matrix:
    """(N, N) of the engine's position kernel: half resolution from 2 pixels on, else the taps cut at 4 σ."""
    axes = [
        half_resolution(length, sigma) if halved else gaussian(length, sigma, np.ceil(4 * sigma))
        for length, sigma in zip(shape, sxy[::-1])
    ]
    return np.kron(axes[0], axes[1])


class MatrixFilter:
    """A matrix as a filter."""

    def __init__(self, matrix: Matrix) -> None:
        self.matrix = matrix
        self.size = len(matrix)

    def __call__(self, values: Matrix) -> Matrix:
        product: Matrix = self.matrix @ values
        return product

    def transposed(self, values: Matrix) -> Matrix:
        product: Matrix = self.matrix.T @ values
        return product
