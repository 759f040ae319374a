"""Pixels into the lattice: vertices, weights and numbers against the lattice kept in a dictionary."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from segfield.crf.filters.key_table import find
from segfield.crf.filters.lattice_embedding import BLOCK, embed
from segfield.crf.filters.lattice_structure import key_multipliers, lattice_scale

from .dilated_lattice import corners_of
from .hashed_lattice import Vertex
from .photos import clusters


def planes_of(features: np.ndarray) -> np.ndarray:
    return np.concatenate([features.T, np.full((features.shape[1], 8), 3e3, np.float32)], axis=1)


def embedded(features: np.ndarray, start: int = 0) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray]:
    """What `embed` returns, (N, D + 1) ids and weights, and the multipliers."""
    pixels, dimensions = features.shape
    scale = lattice_scale(dimensions)
    multipliers = key_multipliers(features.T, scale)
    ids = np.full(pixels * (dimensions + 1), -7, np.int32)
    weights = np.full(pixels * (dimensions + 1), -7, np.float32)
    found = embed(planes_of(features), start, pixels, scale, multipliers, ids, weights)
    return found, ids.reshape(pixels, -1), weights.reshape(pixels, -1), multipliers


def key_of(vertex: Vertex, remainder: int, multipliers: np.ndarray) -> int:
    """Σ a_i·m_i + r·m of the coordinates (D+1)·a_i + r, in 64 bits."""
    parts = [(c - remainder) // len(vertex) for c in vertex]
    key = sum(a * int(m) for a, m in zip(parts, multipliers)) + remainder * int(multipliers[-1])
    return (key + 2**63) % 2**64 - 2**63


@pytest.mark.parametrize("dimensions", [1, 2, 3, 5, 6, 12])
def test_vertices_and_weights_are_the_dictionarys(dimensions: int) -> None:
    features = clusters(90, dimensions)
    found, ids, weights, multipliers = embedded(features)
    vertex_keys, remainders = found[3], found[4]
    for pixel, held in enumerate(corners_of(features)):
        np.testing.assert_allclose(weights[pixel], list(held.values()), atol=2e-5)
        for remainder, vertex in enumerate(held):
            row = ids[pixel, remainder]
            assert remainders[row] == remainder
            assert vertex_keys[row] == key_of(vertex, remainder, multipliers)


@pytest.mark.parametrize("pixels", range(1, 41))
def test_any_number_of_pixels_fills_the_last_vectors_lanes(pixels: int) -> None:
    features = clusters(40, 3)[:pixels]
    found, ids, weights, _ = embedded(features)
    whole, whole_ids, whole_weights, _ = embedded(clusters(40, 3))
    np.testing.assert_array_equal(ids, whole_ids[:pixels])
    np.testing.assert_allclose(weights, whole_weights[:pixels], atol=1e-6)
    assert found[6] == ids.max() + 1 <= whole[6]


def test_weights_are_shares() -> None:
    _, _, weights, _ = embedded(clusters(500, 4))
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-5)
    assert weights.min() > -1e-5


def test_vertices_are_numbered_in_order_of_first_touch_and_counted_by_blocks() -> None:
    features = clusters(3 * BLOCK + 40, 4, seed=2)
    (_, _, _, _, _, touched, count), ids, _, _ = embedded(features)
    flat = ids.reshape(-1)
    first = np.maximum.accumulate(flat)
    assert (np.diff(first) <= 1).all() and flat[0] == 0 and flat.max() == count - 1
    expected = [0, *(ids[: n * BLOCK].max() + 1 for n in (1, 2, 3)), count]
    np.testing.assert_array_equal(touched, expected)


def test_many_vertices_make_the_table_grow() -> None:
    features = np.random.default_rng(1).uniform(-30, 30, (1500, 5)).astype(np.float32)
    (keys, table_ids, bits, vertex_keys, _, _, count), ids, _, _ = embedded(features)
    assert count > 8000 and keys.size == 1 << bits > 2 * count
    assert len(set(vertex_keys.tolist())) == count == ids.max() + 1
    assert all(find(keys, table_ids, bits, vertex_keys[n]) == n for n in range(0, count, 7))


def test_a_band_that_begins_later_has_its_own_numbers() -> None:
    features = clusters(120, 3)
    (*_, count), ids, weights, _ = embedded(features, start=50)
    assert (ids[:50] == -7).all() and ids[50:].min() == 0 and ids[50:].max() == count - 1
    _, _, whole, _ = embedded(features)
    np.testing.assert_allclose(weights[50:], whole[50:], atol=1e-6)


def test_equal_pixels_share_their_vertices() -> None:
    (*_, count), ids, _, _ = embedded(np.tile(clusters(1, 5), (30, 1)))
    assert count == 6 and (ids == ids[0]).all()
