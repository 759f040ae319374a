"""The dictionary lattice with any number of blur rounds and rings of untouched neighbours; vertices and operator apart."""

from __future__ import annotations

import math

import numpy as np

from .hashed_lattice import Matrix, Vertex, elevated, neighbour, simplex


def corners_of(features: Matrix, rounds: int = 1) -> list[dict[Vertex, float]]:
    """For each pixel its vertices by rising remainder, with barycentric weights."""
    size = features.shape[1] + 1
    scale = math.sqrt(1 / 6 + rounds / 2)
    return [simplex(elevated(point, scale * size)) for point in features.astype(np.float64)]


def vertices_of(corners: list[dict[Vertex, float]], dilations: int = 0) -> set[Vertex]:
    """All vertices touched, and `dilations` rings of neighbours around them."""
    vertices = {vertex for held in corners for vertex in held}
    for _ in range(dilations):
        size = len(next(iter(vertices)))
        vertices |= {neighbour(v, axis, sign) for v in vertices for axis in range(size) for sign in (-1, 1)}
    return vertices


def filtered(features: Matrix, values: Matrix, rounds: int = 1, dilations: int = 0) -> Matrix:
    """Splat, blur (every second round backwards), slice; no factor. (N, C) float64."""
    corners = corners_of(features, rounds)
    number = {vertex: row for row, vertex in enumerate(vertices_of(corners, dilations))}
    splat = np.zeros((len(number), len(features)))
    for pixel, held in enumerate(corners):
        for vertex, weight in held.items():
            splat[number[vertex], pixel] = weight
    lattice = splat @ values
    for turn in range(rounds):
        axes = range(features.shape[1] + 1)
        for axis in reversed(axes) if turn % 2 else axes:
            blurred = lattice.copy()
            for vertex, row in number.items():
                for sign in (-1, 1):
                    other = number.get(neighbour(vertex, axis, sign))
                    if other is not None:
                        blurred[row] += 0.5 * lattice[other]
            lattice = blurred
    return splat.T @ lattice
