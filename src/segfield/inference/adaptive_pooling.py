"""Adaptive average pooling for the exporter: matrix products that follow the size of the image.

torch's exporter unrolls the windows of the one size that it traces, so that a file fails, or averages other pixels, at every
other. Each window's mean is linear along either axis: a matrix of ⌊i·n / bins⌋ … ⌈(i + 1)·n / bins⌉ − 1, made at run time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

FLOAT = 1
"""ONNX's number of float32 (TensorProto.FLOAT)."""


def pooling_translations() -> dict[Any, Any]:
    """For torch.onnx.export's `custom_translation_table`: adaptive average pooling, and resizing by area, to a fixed size."""
    aten = torch.ops.aten
    return {aten.adaptive_avg_pool2d.default: pooled, aten._adaptive_avg_pool2d.default: pooled}


def pooled(image: Any, output_size: Sequence[int]) -> Any:
    """(B, C, H, W) → (B, C, h, w), as ONNX operators."""
    onnx = _operators()
    rows, columns = (averaging(onnx.Shape(image, start=axis, end=axis + 1), output_size[axis - 2]) for axis in (2, 3))
    return onnx.MatMul(onnx.MatMul(rows, image), onnx.Transpose(columns, perm=[1, 0]))


def averaging(size: Any, bins: int) -> Any:
    """The size n of one axis, (1,) → (bins, n): each row the mean over one window."""
    onnx = _operators()

    def windows(first: int, rounded_up: int) -> Any:
        """(bins, 1): the borders of the windows from number `first` on, rounded down or up."""
        numbers = onnx.Constant(value_ints=list(range(first, first + bins)))
        border = onnx.Add(onnx.Mul(numbers, size), onnx.Constant(value_int=rounded_up))
        return onnx.Unsqueeze(onnx.Div(border, onnx.Constant(value_int=bins)), onnx.Constant(value_ints=[1]))

    starts, ends = windows(0, 0), windows(1, bins - 1)
    pixels = onnx.Range(onnx.Constant(value_int=0), onnx.Squeeze(size), onnx.Constant(value_int=1))
    inside = onnx.And(onnx.GreaterOrEqual(pixels, starts), onnx.Less(pixels, ends))
    return onnx.Div(onnx.Cast(inside, to=FLOAT), onnx.Cast(onnx.Sub(ends, starts), to=FLOAT))


def _operators() -> Any:
    """onnxscript is needed by an export alone; its types tell integers from floats where ONNX does not."""
    from onnxscript import opset18

    return opset18
