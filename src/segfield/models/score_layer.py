"""The 1×1 convolution from many channels to class scores, in a form that is safe to train in bfloat16 on a CPU."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class ScoreLayer(nn.Conv2d):
    """(B, channels, h, w) → scores (B, K, h, w): a 1×1 convolution whose bias is added after it.

    Names, shapes and sums are `nn.Conv2d`'s. With the bias inside, the kernel for its gradient writes past the end of it
    where two threads share the 4096 channels of VGG's fc7 and there are fewer than 16 classes (bfloat16 on AMX, seen with torch
    2.14): the process ends with `corrupted size vs. prev_size`, or goes on with a damaged heap.

    Args:
        channels: of the input.
        classes: K.
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__(channels, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        bias: Tensor = self.bias  # type: ignore[assignment]
        return F.conv2d(x, self.weight) + bias[:, None, None]
