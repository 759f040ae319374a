"""Tiles in torch against the compiled form: the same sets of pixels, pairs and neglected mass."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from segfield.crf.filters import tile_order_torch
from segfield.crf.filters.tile_order import TileOrder, reach_of
from segfield.crf.filters.tile_order_torch import boxes_of, kept_tiles, neglected_mass, tile_order
from tests.crf.filters.photos import clusters


@pytest.mark.parametrize(("pixels", "dimensions", "tile"), [(1, 3, 16), (500, 5, 16), (1030, 2, 64)])
def test_tiles_hold_the_same_pixels_as_the_compiled_form(pixels: int, dimensions: int, tile: int) -> None:
    features = clusters(pixels, dimensions)
    ours = tile_order(torch.from_numpy(features), tile).numpy()
    reference = TileOrder(features, tile)
    assert sorted(ours) == list(range(pixels))
    for place in range(0, pixels, tile):
        assert set(ours[place : place + tile]) == set(reference.order[place : place + tile])


def test_equal_pixels_are_no_difficulty() -> None:
    assert sorted(tile_order(torch.ones(100, 3), 16).tolist()) == list(range(100))


@pytest.fixture
def tiles() -> tuple[TileOrder, torch.Tensor, torch.Tensor]:
    order = TileOrder(clusters(1000, 4), 16)
    points = torch.from_numpy(order.points)
    return order, *boxes_of(points, torch.arange(1000) // 16, order.tiles)


def test_boxes_are_those_of_the_compiled_form(tiles: tuple[TileOrder, torch.Tensor, torch.Tensor]) -> None:
    order, lows, highs = tiles
    np.testing.assert_array_equal(torch.stack([lows, highs], 1).numpy(), order.tile_boxes)


@pytest.mark.parametrize("chunk", [1 << 24, 200])
def test_the_same_pairs_are_kept(
    tiles: tuple[TileOrder, torch.Tensor, torch.Tensor], chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tile_order_torch, "CHUNK_PAIRS", chunk)
    order, lows, highs = tiles
    starts, kept = kept_tiles(lows, highs, reach_of(1e-2))
    run_starts, runs = order.kept_runs(1e-2)
    for tile in range(order.tiles):
        expected = [t for first, last in runs[run_starts[tile] : run_starts[tile + 1]] for t in range(first, last)]
        assert kept[starts[tile] : starts[tile + 1]].tolist() == expected
    assert 0 < len(kept) < order.tiles**2


def test_the_neglected_mass_is_that_of_the_compiled_form(
    tiles: tuple[TileOrder, torch.Tensor, torch.Tensor],
) -> None:
    order, lows, highs = tiles
    masses = np.random.default_rng(0).uniform(0, 16, order.tiles)
    found = neglected_mass(lows, highs, reach_of(1e-2), torch.from_numpy(masses)).numpy()
    np.testing.assert_allclose(found, order.neglected(1e-2, masses), rtol=0.02, atol=1e-3)
