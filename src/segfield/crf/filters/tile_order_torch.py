"""Tiles compact in feature space and the pairs of them that matter, in torch operations on the features' device.

The same recursive median splits as `tile_order`, level by level: one sort of all pixels serves all splits of a level.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

CHUNK_PAIRS = 1 << 24  # pairs of tiles whose distances are held at a time


def tile_order(features: Tensor, tile: int) -> Tensor:
    """(N,) pixels of features (N, D) in an order whose runs of `tile` pixels are compact; the last run may be shorter."""
    size, device = len(features), features.device
    order = torch.arange(size, device=device)
    segments = [(0, -(-size // tile))]
    while any(tiles > 1 for _, tiles in segments):
        starts = torch.tensor([first * tile for first, _ in segments], device=device)
        segment = torch.bucketize(torch.arange(size, device=device), starts, right=True) - 1
        lows, highs = boxes_of(features[order], segment, len(segments))
        width, axis = (highs - lows).max(dim=1)
        along = features[order, axis[segment]].double() - lows[segment, axis[segment]]
        # a segment's number and a place in it below one: sorting keeps segments apart
        key = segment + 0.999 * along / width.clamp_min(torch.finfo(width.dtype).tiny)[segment].double()
        order = order[torch.argsort(key, stable=True)]
        halves = [((first, (tiles + 1) // 2), (first + (tiles + 1) // 2, tiles // 2)) for first, tiles in segments]
        segments = [half for pair in halves for half in pair if half[1]]
    return order


def boxes_of(points: Tensor, group: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """Lowest and highest features (groups, D) of points (N, D) that belong to the group (N,)."""
    index = group[:, None].expand_as(points)
    lows = points.new_full((groups, points.shape[1]), torch.inf).scatter_reduce(0, index, points, "amin")
    highs = points.new_full((groups, points.shape[1]), -torch.inf).scatter_reduce(0, index, points, "amax")
    return lows, highs


def kept_tiles(lows: Tensor, highs: Tensor, reach: float) -> tuple[Tensor, Tensor]:
    """Tiles whose boxes (T, D) come within the squared distance `reach` of each other, as a sparse matrix by rows.

    Returns:
        starts: (T + 1,) int64, the tiles kept for tile t are those from starts[t] to starts[t + 1] − 1.
        tiles: int32, in rising order for each t.
    """
    counts, tiles = [], []
    for gaps in _gaps(lows, highs):
        near = gaps <= reach
        counts.append(near.sum(dim=1))
        tiles.append(near.nonzero()[:, 1].int())
    starts = torch.zeros(len(lows) + 1, dtype=torch.int64, device=lows.device)
    torch.cumsum(torch.cat(counts), 0, out=starts[1:])
    return starts, torch.cat(tiles)


def neglected_mass(lows: Tensor, highs: Tensor, reach: float, masses: Tensor) -> Tensor:
    """(T,) Σ over tiles further than `reach` of exp(−½ d²) · mass, d² the squared distance of the boxes (T, D)."""
    totals = [
        torch.where(gaps > reach, torch.exp(-0.5 * gaps * (1 - 1e-5)), 0.0).to(masses.dtype) @ masses
        for gaps in _gaps(lows, highs)
    ]
    return torch.cat(totals)


def _gaps(lows: Tensor, highs: Tensor) -> Iterator[Tensor]:
    """Squared distances (R, T) of boxes, some rows at a time."""
    rows = max(1, CHUNK_PAIRS // len(lows))
    for low, high in zip(torch.split(lows, rows), torch.split(highs, rows)):
        total = low.new_zeros(len(low), len(lows))
        for d in range(lows.shape[1]):
            gap = torch.maximum(low[:, d, None] - highs[None, :, d], lows[None, :, d] - high[:, d, None])
            total += gap.clamp_min(0.0) ** 2
        yield total
