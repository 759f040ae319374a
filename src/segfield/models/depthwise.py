"""Depthwise convolutions whose backward pass is quick on a CPU: the same sums, in forms that have a fast kernel.

bfloat16 depthwise layers with a stride or a dilation run their backward pass much slower than plain ones (seen with torch 2.15
on an AMX machine). benchmarks/training_speed.py times whole training steps; it does not single this out.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def speed_up_depthwise(network: nn.Module) -> None:
    """Let every depthwise convolution in `network` with a stride or dilation use `depthwise_conv2d` when it trains on a CPU.

    Weights, names and values stay as they are; evaluation, export and other devices keep the plain kernel.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and _is_slow_depthwise(module):
            module.forward = _TrainingForward(module)  # type: ignore[method-assign,assignment]


def depthwise_conv2d(x: Tensor, weight: Tensor, stride: int, padding: int, dilation: int) -> Tensor:
    """Depthwise convolution (B, C, H, W) * (C, 1, k, k), equal to `F.conv2d(..., groups=C)` up to rounding.

    A stride is a plain convolution, every `stride`-th output kept. A small dilation d is a plain convolution on the d²
    interleaved sub-images. A large dilation has no fast form in bfloat16 and is computed in float32.
    """
    channels = weight.shape[0]
    if dilation == 1:
        return F.conv2d(x, weight, None, 1, padding, 1, channels)[..., ::stride, ::stride]
    if stride == 1 and dilation <= 4:
        return _interleaved(x, weight, padding, dilation)
    with torch.autocast(x.device.type, enabled=False):
        y = F.conv2d(x.float(), weight.float(), None, stride, padding, dilation, channels)
    return y.to(x.dtype)


def _interleaved(x: Tensor, weight: Tensor, padding: int, d: int) -> Tensor:
    batch, channels, height, width = x.shape
    out_h = height + 2 * padding - d * (weight.shape[-2] - 1)
    out_w = width + 2 * padding - d * (weight.shape[-1] - 1)
    x = F.pad(x, (padding, padding + -(width + 2 * padding) % d, padding, padding + -(height + 2 * padding) % d))
    rows, columns = x.shape[-2] // d, x.shape[-1] // d
    x = x.permute(0, 2, 3, 1).reshape(batch, rows, d, columns, d, channels)
    x = x.permute(2, 4, 0, 1, 3, 5).reshape(d * d * batch, rows, columns, channels).permute(0, 3, 1, 2)
    y = F.conv2d(x, weight, None, 1, 0, 1, channels)  # (d·d·B, C, rows − k + 1, columns − k + 1)
    rows, columns = y.shape[-2:]
    y = y.permute(0, 2, 3, 1).reshape(d, d, batch, rows, columns, channels)
    y = y.permute(2, 3, 0, 4, 1, 5).reshape(batch, rows * d, columns * d, channels).permute(0, 3, 1, 2)
    return y[..., :out_h, :out_w]


def _is_slow_depthwise(conv: nn.Conv2d) -> bool:
    square = all(len(set(v)) == 1 for v in (conv.kernel_size, conv.stride, conv.dilation))
    depthwise = conv.groups == conv.in_channels == conv.out_channels and conv.groups > 1
    return square and depthwise and conv.kernel_size[0] > 1 and max(conv.stride[0], conv.dilation[0]) > 1


class _TrainingForward:
    """The forward of one convolution: the quick form in training on a CPU, the module's own everywhere else."""

    def __init__(self, conv: nn.Conv2d) -> None:
        self.conv = conv
        self.same_padding = _pads_like_tensorflow(conv)

    def __call__(self, x: Tensor) -> Tensor:
        conv = self.conv
        if not conv.training or x.device.type != "cpu" or torch.compiler.is_compiling():
            return type(conv).forward(conv, x)
        padding = conv.padding[0]
        if self.same_padding:
            x = _pad_same(x, conv.kernel_size[0], conv.stride[0], conv.dilation[0])
            padding = 0
        y = depthwise_conv2d(x, conv.weight, conv.stride[0], int(padding), conv.dilation[0])
        return y if conv.bias is None else y + conv.bias[:, None, None]


def _pads_like_tensorflow(conv: nn.Conv2d) -> bool:
    from timm.layers import Conv2dSame

    return isinstance(conv, Conv2dSame)


def _pad_same(x: Tensor, kernel: int, stride: int, dilation: int) -> Tensor:
    extra = [max((-(-n // stride) - 1) * stride + (kernel - 1) * dilation + 1 - n, 0) for n in x.shape[-2:]]
    return F.pad(x, (extra[1] // 2, extra[1] - extra[1] // 2, extra[0] // 2, extra[0] - extra[0] // 2))
