"""Max-pooling that keeps the place of every maximum, and the unpooling that puts values back there.

Badrinarayanan, Kendall and Cipolla 2017, SegNet (arXiv:1511.00561), section 3.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def max_pool(x: Tensor) -> tuple[Tensor, Tensor]:
    """Maxima of 2×2 windows and their places. The windows at an odd border are cut short (Caffe's rule: 45 → 23).

    Args:
        x: (B, C, H, W).

    Returns:
        maxima (B, C, ⌈H/2⌉, ⌈W/2⌉), and their indices row · W + column in `x`, int64; of equals the first counts.
    """
    maxima, indices = F.max_pool2d(x, 2, ceil_mode=True, return_indices=True)
    return maxima, indices


def max_unpool(x: Tensor, indices: Tensor, size: tuple[int, int]) -> Tensor:
    """Every value at the place its maximum came from, zeros elsewhere: what `torch.nn.functional.max_unpool2d` gives.

    The gradient is gathered in the channels-last layout where torch's leaves it: pooling, unpooling and their gradients take
    a third of the time on a CPU (bfloat16, 64 channels at 360×480).

    Args:
        x: (B, C, ⌈H/2⌉, ⌈W/2⌉).
        indices: of the same shape, from `max_pool`.
        size: (H, W) before the pooling.

    Returns:
        (B, C, H, W).
    """
    unpooled: Tensor = _MaxUnpool.apply(x, indices, *size)
    return unpooled


class _MaxUnpool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, indices: Tensor, height: int, width: int) -> Tensor:
        ctx.save_for_backward(indices)
        if torch.compiler.is_compiling():  # as one operation of ONNX, whatever the exporter makes of max_unpool2d
            plane = x.new_zeros(*x.shape[:2], height * width)
            return plane.scatter(2, indices.flatten(2), x.flatten(2)).view(*x.shape[:2], height, width)
        with torch.autocast(x.device.type, enabled=False):  # which would have moved bfloat16 as float32
            return F.max_unpool2d(x, indices, [2, 2], output_size=(height, width))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        (indices,) = ctx.saved_tensors
        return _at_maxima(gradient, indices), None, None, None


def _at_maxima(x: Tensor, indices: Tensor) -> Tensor:
    """The values of x (B, C, H, W) at the indices (B, C, h, w), gathered pixel by pixel with the channels innermost."""
    pixels = x.permute(0, 2, 3, 1).flatten(1, 2)  # (B, H·W, C)
    places = indices.permute(0, 2, 3, 1)  # (B, h, w, C)
    return pixels.gather(1, places.flatten(1, 2)).view(places.shape).permute(0, 3, 1, 2)
