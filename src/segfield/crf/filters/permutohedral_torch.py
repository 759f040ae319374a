"""Where points lie in the permutohedral lattice: embedding, enclosing simplex, barycentric weights, vertex keys; in torch.

Adams, Baek & Davis, "Fast High-Dimensional Filtering Using the Permutohedral Lattice", Eurographics 2010, section 3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

COARSE_SCALE = math.sqrt(2 / 3)
"""Embedding scale over D + 1 for one blur round: splat and slice have variance (D+1)²/12 each, a round (D+1)²/2."""

FINE_SCALE = math.sqrt(7 / 6)
"""The same for two blur rounds."""


@dataclass(frozen=True)
class Simplices:
    """The simplex around each point.

    Args:
        keys: (N, D + 1) int64, one number for each vertex; equal vertices have equal keys.
        weights: (N, D + 1) barycentric weights, which sum to 1.
        steps: (D + 1,) int64: a vertex's neighbour along an axis has the key + step, the one behind it the key − step.
    """

    keys: Tensor
    weights: Tensor
    steps: Tensor


def enclosing_simplices(features: Tensor, scale: float) -> Simplices:
    """Embed points, one lattice for each entry of the batch.

    Args:
        features: (B, N, D) floating point.
        scale: length of the embedding of a unit step, over D + 1.

    Returns:
        The simplices of B·N points; points of different batch entries share no vertex and are no neighbours.
    """
    batch, pixels, dimensions = features.shape
    elevated = _elevate(features.reshape(batch * pixels, dimensions), scale * (dimensions + 1))
    corner, rank = _remainder_zero_corner(elevated)
    weights = _barycentric_weights(elevated / (dimensions + 1) - corner, rank)
    multipliers, batch_step = _key_multipliers(corner, batch)
    entry = torch.arange(batch, device=features.device).repeat_interleave(pixels)
    keys, steps = _vertex_keys(corner, rank, multipliers)
    return Simplices(keys + (entry * batch_step)[:, None], weights, steps)


def _elevate(points: Tensor, length: float) -> Tensor:
    """(N, D) → (N, D + 1) on the plane of zero sum, a unit step becoming `length` long (section 3.1)."""
    number = torch.arange(1, points.shape[1] + 1, device=points.device, dtype=points.dtype)
    scaled = points * (length / (number * (number + 1)).sqrt())
    nothing = scaled.new_zeros(len(scaled), 1)
    following = torch.cat([scaled.flip(1).cumsum(1).flip(1), nothing], dim=1)  # Σ of this and all later features
    return following - torch.cat([nothing, scaled * number], dim=1)


def _remainder_zero_corner(elevated: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest vertex of remainder 0, divided by D + 1, and the rank of each coordinate's distance from it.

    Both (N, D + 1) int64; rank 0 is the largest distance. Ranks order the coordinates as the simplex needs them.
    """
    size = elevated.shape[1]
    rounded = (elevated / size).round()
    order = (elevated - rounded * size).argsort(dim=1, descending=True, stable=True)
    corner = rounded.long()
    rank = torch.empty_like(order)
    rank.scatter_(1, order, torch.arange(size, device=order.device).expand_as(order))
    rank = rank + corner.sum(
        1, keepdim=True
    )  # the sum of a lattice point must be 0: move the coordinates worst rounded
    too_low, too_high = rank < 0, rank >= size
    return corner + too_low.long() - too_high.long(), rank + size * (too_low.long() - too_high.long())


def _barycentric_weights(distance: Tensor, rank: Tensor) -> Tensor:
    """Weights of the vertices of remainder 0 … D from distances to the corner over D + 1 (proposition 4.2)."""
    falling = torch.empty_like(distance).scatter_(1, rank, distance)
    first = 1 + falling[:, -1:] - falling[:, :1]
    return torch.cat([first, (falling[:, :-1] - falling[:, 1:]).flip(1)], dim=1)


def _key_multipliers(corner: Tensor, batch: int) -> tuple[Tensor, int]:
    """One number for each of the first D coordinates, whose products with them add up to a key; and the batch's step.

    Where the box around all vertices and their neighbours has fewer than 2^62 places, a key is the place in it: exact. Else
    random odd numbers make a 64-bit fingerprint, which is additive as well; two of M vertices are then confounded with a
    probability of about M²/2^64.
    """
    size = corner.shape[1]
    lowest, highest = corner[:, :-1].amin(0).tolist(), corner[:, :-1].amax(0).tolist()
    # Vertices of a simplex reach D beyond its corner; two steps to neighbours (a dilation and its blur) 2 D more.
    extents = [(high - low + 1 + 6) * size for low, high in zip(lowest, highest, strict=True)]
    if math.prod(extents) * batch < 2**62:
        steps = [math.prod(extents[:axis]) for axis in range(size)]
    else:
        generator = torch.Generator().manual_seed(0)
        steps = (torch.randint(2**62, (size,), generator=generator) * 2 + 1).tolist()
    return torch.tensor([*steps[:-1], 0], device=corner.device), int(steps[-1])


def _vertex_keys(corner: Tensor, rank: Tensor, multipliers: Tensor) -> tuple[Tensor, Tensor]:
    """Keys (N, D + 1) of the vertices of remainder 0 … D, and the steps (D + 1,) to neighbours along the axes.

    The vertex of remainder r is the corner + r, less D + 1 in the r coordinates of highest rank (figure 3 of the paper);
    a neighbour is −1 in all coordinates but one, and + D in that one. The last coordinate follows from the others.
    """
    size = corner.shape[1]
    by_rank = torch.empty_like(rank).scatter_(1, rank, multipliers.expand_as(rank))
    highest_ranks = by_rank.flip(1).cumsum(1)[:, :-1]
    lowered = torch.cat([torch.zeros_like(rank[:, :1]), highest_ranks], dim=1)
    remainder = torch.arange(size, device=rank.device)
    base = (corner * multipliers).sum(1, keepdim=True) * size
    return base + remainder * multipliers.sum() - size * lowered, size * multipliers - multipliers.sum()
