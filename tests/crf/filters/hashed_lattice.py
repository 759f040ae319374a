"""An oracle for lattice filters: the permutohedral lattice with coordinates in a dictionary, one point at a time, float64.

Written from the paper (Adams, Baek & Davis 2010) without segfield's code; slow.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Vertex = tuple[int, ...]
Matrix = NDArray[np.float64]


def kernel_matrix(features: Matrix, fine: bool = False) -> Matrix:
    """(N, N): what the filter multiplies with. `fine`: finer by √(7/4), neighbours present, blurred there and back."""
    size = features.shape[1] + 1
    scale = math.sqrt((7 if fine else 4) / 6)
    corners = [simplex(elevated(point, scale * size)) for point in features]
    vertices = {vertex for held in corners for vertex in held}
    if fine:
        vertices |= {neighbour(v, axis, sign) for v in vertices for axis in range(size) for sign in (-1, 1)}
    number = {vertex: row for row, vertex in enumerate(sorted(vertices))}
    splat = np.zeros((len(number), len(features)))
    for pixel, weights in enumerate(corners):
        for vertex, weight in weights.items():
            splat[number[vertex], pixel] += weight
    axes = [*range(size), *reversed(range(size))] if fine else list(range(size))
    lattice = splat
    for axis in axes:
        blurred = lattice.copy()
        for vertex, row in number.items():
            for sign in (-1, 1):
                other = number.get(neighbour(vertex, axis, sign))
                if other is not None:
                    blurred[row] += 0.5 * lattice[other]
        lattice = blurred
    return splat.T @ lattice


def elevated(point: Matrix, length: float) -> Matrix:
    """(D,) → (D + 1,) on the plane of zero sum; a unit step becomes `length` long."""
    position = np.zeros(len(point) + 1)
    for i, value in enumerate(point, start=1):
        direction = np.array([1.0] * i + [-i] + [0.0] * (len(point) - i))
        position += value * length * direction / np.linalg.norm(direction)
    return position


def simplex(position: Matrix) -> dict[Vertex, float]:
    """Vertex → barycentric weight. Walks from the corner of remainder 0, taking the coordinates in falling order."""
    size = len(position)
    corner = np.round(position / size).astype(int) * size
    while corner.sum() != 0:
        gap = position - corner
        if corner.sum() > 0:
            corner[np.argmin(gap)] -= size
        else:
            corner[np.argmax(gap)] += size
    falling = np.argsort(corner - position, kind="stable")
    gaps = (position - corner)[falling] / size
    weights = {}
    for remainder in range(size):
        vertex = corner + remainder
        vertex[falling[size - remainder :]] -= size
        upper = gaps[size - remainder - 1]
        lower = gaps[size - remainder] if remainder else gaps[0] - 1
        weights[tuple(vertex.tolist())] = float(upper - lower)
    return weights


def neighbour(vertex: Vertex, axis: int, sign: int) -> Vertex:
    """−1 in all coordinates but that of the axis, + D there; or the opposite."""
    return tuple(c + sign * (len(vertex) - 1) if i == axis else c - sign for i, c in enumerate(vertex))
