"""The grid of networks that score every eighth pixel from the first: getting onto it and back to every pixel.

As Caffe's DeepLab does (Chen et al. 2015, arXiv:1412.7062): images of 8n + 1 pixels, n + 1 scores, bilinear from corner to
corner. On such images floor and ceil mode of pooling, and symmetric and TensorFlow padding, are the same.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from segfield.models.classifier import pad_by

STRIDE = 8


def pad_to_grid(image: Tensor) -> Tensor:
    """(B, C, H, W) → (B, C, 8m + 1, 8n + 1), mirrored at the right and bottom; n = ⌈(W − 1)/8⌉."""
    height, width = image.shape[-2:]
    return pad_by(image, 0, (1 - width) % STRIDE, 0, (1 - height) % STRIDE)


def resize_on_grid(x: Tensor, height: int, width: int) -> Tensor:
    """(B, C, h, w) → (B, C, height, width), bilinear, corners on corners: Caffe's Interp layer."""
    # class by class, as the softmax and the arg max after it read them: channels last is for convolutions
    return F.interpolate(x.contiguous(), size=(height, width), mode="bilinear", align_corners=True)


def to_every_pixel(logits: Tensor, height: int, width: int) -> Tensor:
    """Logits (B, K, m + 1, n + 1) of the padded image → (B, K, H, W)."""
    rows, columns = logits.shape[-2:]
    whole = resize_on_grid(logits, (rows - 1) * STRIDE + 1, (columns - 1) * STRIDE + 1)
    return whole[..., :height, :width]


def to_label_grid(logits: Tensor, height: int, width: int) -> Tensor:
    """Logits (B, K, m + 1, n + 1) of the padded image → those of every eighth pixel of the image itself, for training.

    The stride is told to the objective by sizes alone, s = ⌈H/h⌉. An image of less than 57 pixels a side may be one for which
    that is not 8: its logits come at every pixel.
    """
    rows, columns = (height - 1) // STRIDE + 1, (width - 1) // STRIDE + 1
    if -(-height // rows) != STRIDE or -(-width // columns) != STRIDE:
        return to_every_pixel(logits, height, width)
    return logits[..., :rows, :columns]


def from_label_grid(logits: Tensor, height: int, width: int) -> Tensor:
    """Logits of every s-th pixel from the first (B, K, ⌈H/s⌉, ⌈W/s⌉) → (B, K, H, W): bilinear, the last repeated at the rim."""
    rows, columns = logits.shape[-2:]
    if (rows, columns) == (height, width):
        return logits
    step = max(_power_of_two(height, rows), _power_of_two(width, columns))
    whole = resize_on_grid(logits, (rows - 1) * step + 1, (columns - 1) * step + 1)
    beyond = (0, max(0, width - whole.shape[-1]), 0, max(0, height - whole.shape[-2]))
    return F.pad(whole, beyond, mode="replicate")[..., :height, :width]


def _power_of_two(fine: int, coarse: int) -> int:
    """The least s of 1, 2, 4 … with ⌈fine/s⌉ no more than coarse."""
    step = 1
    while -(-fine // step) > coarse:
        step *= 2
    return step
