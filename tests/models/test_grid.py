"""The grid of every eighth pixel, and back to every pixel."""

from __future__ import annotations

import pytest
import torch

from segfield.models.grid import from_label_grid


@pytest.mark.parametrize("step", [1, 2, 4, 8])
def test_from_the_label_grid_back_to_every_pixel(step: int) -> None:
    height, width = 37, 53
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    plane = (0.5 * y + 0.25 * x)[None, None].float()
    coarse = plane[..., ::step, ::step]
    found = from_label_grid(coarse, height, width)
    assert found.shape == plane.shape
    inner = (
        slice(None),
        slice(None),
        slice(0, (height - 1) // step * step + 1),
        slice(0, (width - 1) // step * step + 1),
    )
    torch.testing.assert_close(found[inner], plane[inner])  # a plane is interpolated exactly
    torch.testing.assert_close(found[..., -1, 0], coarse[..., -1, 0])  # beyond the last, it is repeated
