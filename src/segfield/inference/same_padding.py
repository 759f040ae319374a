"""'same' convolutions for the exporter: one ONNX operator each.

timm pads them by a formula of the image's size. Nested through the layers of a network for any size, its symbols keep torch's
exporter at work for minutes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers import Conv2dSame
from timm.layers.conv2d_same import conv2d_same
from torch import Tensor, nn


@torch.library.custom_op("segfield::same_convolution", mutates_args=())
def same_convolution(image: Tensor, weight: Tensor, bias: Tensor | None, stride: Sequence[int], groups: int) -> Tensor:
    """(B, C, H, W) * (C', C / groups, h, w) → (B, C', ⌈H / stride⌉, ⌈W / stride⌉), padded as TensorFlow's 'SAME'."""
    return conv2d_same(image, weight, bias, tuple(stride), (0, 0), (1, 1), groups)  # type: ignore[no-any-return]


@same_convolution.register_fake
def _shape(image: Tensor, weight: Tensor, bias: Tensor | None, stride: Sequence[int], groups: int) -> Tensor:
    height, width = ((length + step - 1) // step for length, step in zip(image.shape[2:], stride))
    return image.new_empty(image.shape[0], weight.shape[0], height, width)


def translations() -> dict[Any, Any]:
    """For torch.onnx.export's `custom_translation_table`."""
    from onnxscript import opset18

    def convolution(image: Any, weight: Any, bias: Any, stride: Sequence[int], groups: int) -> Any:
        return opset18.Conv(image, weight, bias, auto_pad="SAME_UPPER", strides=stride, group=groups)

    return {torch.ops.segfield.same_convolution.default: convolution}


@contextlib.contextmanager
def same_as_operators(network: nn.Module) -> Iterator[None]:
    """While entered, the 'same' convolutions of a network say their sizes simply; their values are as before."""
    changed = {module: vars(module).get("forward") for module in network.modules() if isinstance(module, Conv2dSame)}
    for module in changed:
        module.forward = _Simple(module)
    try:
        yield
    finally:
        for module, before in changed.items():
            if before is None:
                del module.forward
            else:
                module.forward = before


class _Simple:
    def __init__(self, conv: nn.Conv2d) -> None:
        self.conv = conv

    def __call__(self, x: Tensor) -> Tensor:
        conv = self.conv
        padding = [(length - 1) * step for length, step in zip(conv.kernel_size, conv.dilation)]
        if set(conv.stride) == {1} and not any(total % 2 for total in padding):  # as much on every side
            around = [total // 2 for total in padding]
            return F.conv2d(x, conv.weight, conv.bias, 1, around, conv.dilation, conv.groups)
        found: Tensor
        if set(conv.dilation) == {1}:
            found = same_convolution(x, conv.weight, conv.bias, conv.stride, conv.groups)
        else:
            found = type(conv).forward(conv, x)
        return found
