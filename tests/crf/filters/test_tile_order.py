"""Tiles against brute force: every pixel once, boxes that hold, no pair of value ε lost, no pair kept for nothing."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from segfield.crf.filters.tile_order import TileOrder, in_bands
from segfield.errors import SettingError
from tests.crf.filters.photos import clusters, photo_features


def box_gaps(order: TileOrder) -> np.ndarray:
    """(T, T) squared distances of the tiles' boxes, recomputed from the points."""
    tiles = [order.points[t * order.tile : (t + 1) * order.tile] for t in range(order.tiles)]
    lows, highs = (np.stack([f(t, axis=0) for t in tiles]).astype(np.float64) for f in (np.min, np.max))
    gaps = np.maximum(lows[:, None] - highs[None], lows[None] - highs[:, None])
    return (np.maximum(gaps, 0) ** 2).sum(-1)


def kept_matrix(order: TileOrder, epsilon: float, threads: int = 1) -> np.ndarray:
    starts, runs = order.kept_runs(epsilon, threads)
    kept = np.zeros((order.tiles, order.tiles), bool)
    for tile in range(order.tiles):
        for first, last in runs[starts[tile] : starts[tile + 1]]:
            assert not kept[tile, max(0, first - 1) : last].any(), "runs overlap or touch"
            kept[tile, first:last] = True
    return kept


@pytest.mark.parametrize(("pixels", "dimensions", "tile"), [(1, 2, 16), (64, 1, 16), (333, 5, 16), (1000, 3, 64)])
def test_every_pixel_has_one_place_and_its_own_features(pixels: int, dimensions: int, tile: int) -> None:
    features = clusters(pixels, dimensions)
    order = TileOrder(features, tile)
    assert sorted(order.order) == list(range(pixels))
    np.testing.assert_array_equal(order.points, features[order.order])
    assert order.sizes.sum() == pixels and order.sizes.max() <= tile


def test_boxes_of_all_nodes_are_those_of_their_pixels() -> None:
    order = TileOrder(clusters(777, 4), 32)
    for (first, tiles), (low, high) in zip(order.node_tiles, order.boxes):
        points = order.points[first * 32 : (first + tiles) * 32]
        np.testing.assert_array_equal(low, points.min(axis=0))
        np.testing.assert_array_equal(high, points.max(axis=0))


def test_a_split_parts_low_from_high_on_the_widest_side() -> None:
    points = np.random.default_rng(0).uniform(size=(256, 2)) * [1, 10]
    order = TileOrder(points, 128)
    assert order.points[:128, 1].max() <= order.points[128:, 1].min()


def test_tiles_are_far_smaller_than_those_of_neighbouring_rows(shared_data: Path) -> None:
    features = photo_features(shared_data, 67, 3)
    sides = [np.ptp(points, axis=0) for points in np.array_split(TileOrder(features, 48).points, 100)]
    in_rows = [np.ptp(points, axis=0) for points in np.array_split(features, 100)]
    assert np.median(np.linalg.norm(sides, axis=1)) < np.median(np.linalg.norm(in_rows, axis=1)) / 3


@pytest.mark.parametrize("epsilon", [0.5, 1e-2, 1e-4])
def test_kept_pairs_are_those_whose_boxes_are_near(epsilon: float) -> None:
    order = TileOrder(clusters(900, 3), 16)
    kept, gaps = kept_matrix(order, epsilon), box_gaps(order)
    sure = np.abs(np.exp(-gaps / 2) / epsilon - 1) > 1e-3
    np.testing.assert_array_equal(kept[sure], (np.exp(-gaps / 2) >= epsilon)[sure])
    assert 0.05 < kept.mean() < 0.95 and (kept == kept.T).all()


def test_epsilon_zero_keeps_all_pairs() -> None:
    order = TileOrder(clusters(100, 2), 16)
    assert kept_matrix(order, 0.0).all()
    assert not order.neglected(0.0, np.ones(order.tiles)).any()


def test_neglected_mass_is_never_under_the_sum_over_tiles_and_little_above() -> None:
    order = TileOrder(clusters(1500, 3), 16)
    masses = np.random.default_rng(1).uniform(0, 16, order.tiles)
    exact = np.where(kept_matrix(order, 1e-2), 0, np.exp(-box_gaps(order) / 2)) @ masses
    found = order.neglected(1e-2, masses)
    assert (found >= exact * (1 - 1e-6)).all() and (exact > 0).all()
    assert (found <= exact * 1.1 + 1e-3).all()


def test_threads_change_nothing() -> None:
    order = TileOrder(clusters(2000, 4), 16)
    for one, three in zip(order.kept_runs(1e-2, 1), order.kept_runs(1e-2, 3)):
        np.testing.assert_array_equal(one, three)
    masses = np.ones(order.tiles)
    np.testing.assert_array_equal(order.neglected(1e-2, masses, 1), order.neglected(1e-2, masses, 3))


def test_equal_pixels_make_one_place_of_all_tiles() -> None:
    order = TileOrder(np.full((200, 5), 7.25, np.float32), 16)
    starts, runs = order.kept_runs(0.99)
    assert (starts == np.arange(14)).all() and (runs == [0, 13]).all()


def test_features_in_float64_keep_their_digits() -> None:
    features = 1e6 + np.arange(50.0)[:, None] / 1000
    np.testing.assert_array_equal(TileOrder(features, 16).points, features)


def test_bands_cover_all_tiles_in_order() -> None:
    for tiles, threads in [(1, 4), (50, 1), (50, 2), (1000, 3)]:
        bands = in_bands(lambda first, last: list(range(first, last)), tiles, threads)
        assert list(itertools.chain.from_iterable(bands)) == list(range(tiles))


@pytest.mark.parametrize("epsilon", [1.0, -0.1, float("nan")])
def test_epsilon_out_of_range_is_refused(epsilon: float) -> None:
    with pytest.raises(SettingError, match=r"epsilon: .* from 0"):
        TileOrder(clusters(20, 2), 16).kept_runs(epsilon)


def test_an_empty_tile_is_refused() -> None:
    with pytest.raises(SettingError, match="at least 1"):
        TileOrder(clusters(20, 2), 0)
