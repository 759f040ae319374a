"""Elastic deformation as U-Net's (Ronneberger et al. 2015, section 3.1): a smooth random displacement of pixels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def displacement_field(size: tuple[int, int], grid: int, sigma: float, generator: torch.Generator) -> Tensor:
    """Displacements (2, H, W) in pixels, rows first.

    Drawn from a normal distribution at `grid` × `grid` points that span the image from corner to corner, and
    interpolated bicubically between them (the paper: 3 × 3, sigma 10 px).

    Args:
        size: H, W.
        grid: points a side, 2 or more.
        sigma: standard deviation at the points, pixels.
        generator: of the CPU.
    """
    return interpolate_displacements(coarse_displacements(grid, sigma, generator)[None], size)[0]


def coarse_displacements(grid: int, sigma: float, generator: torch.Generator) -> Tensor:
    """Displacements at the grid's points: (2, grid, grid), pixels."""
    return sigma * torch.randn(2, grid, grid, generator=generator)


def interpolate_displacements(coarse: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, 2, grid, grid) → (B, 2, H, W): bicubic, the outer points on the outer pixels.

    Bicubic interpolation is one matrix an axis; two thin products are many times faster than `F.interpolate` on a CPU.
    """
    rows, columns = (_bicubic_weights(coarse.shape[-1], length).to(coarse) for length in size)
    return rows @ coarse @ columns.T


def _bicubic_weights(points: int, length: int) -> Tensor:
    """(length, points): how much each point counts at each pixel of an axis."""
    return F.interpolate(torch.eye(points)[None, None], (length, points), mode="bicubic", align_corners=True)[0, 0]
