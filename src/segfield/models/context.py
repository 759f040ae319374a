"""The context module of dilated networks: 3×3 convolutions whose dilation doubles, between class scores and class scores.

Yu and Koltun 2016, arXiv:1511.07122, section 3; layer lists as in the authors' released networks.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

CONTEXT_DILATIONS = {
    7: (1, 1, 2, 4, 8, 1),
    8: (1, 1, 2, 4, 8, 16, 1),
    10: (1, 1, 2, 4, 8, 16, 32, 64, 1),
}
"""Dilations of the 3×3 convolutions by number of layers; the last layer is 1×1. 8 is the paper's table 1."""

WIDTHS = ("basic", "large")
PADDINGS = ("every", "first")


class ContextModule(nn.Module):
    """Class scores (B, K, h, w) before softmax → class scores (B, K, h, w).

    The layers start as the identity on scores ≥ 0 plus a little noise (`identity_initialise`); ReLU, after all but the
    last, clips scores below 0. Parameters at K = 21: Basic 28,392, Large 6,803,139, of eight layers.

    Args:
        classes: K.
        layers: 7 (KITTI), 8 (VOC, CamVid) or 10 (Cityscapes).
        widths: basic, K channels throughout; or large, 2K, 2K, 4K, 8K, 16K, 32K, 32K, K. The paper has Large for eight
            layers; for 7 and 10 it goes on by the same rule, twice the largest dilation so far.
        padding: every layer by its dilation with zeros, as the released urban networks; or all of it at the first layer
            (33 for eight layers), the others valid, as the released VOC network. Only values near the border differ.
        sigma: of the noise; a layer of c outputs has sigma·K/c. 0.01 is the released code's; the paper says σ ≪ K/c.
    """

    def __init__(
        self, classes: int, layers: int = 8, widths: str = "basic", padding: str = "every", sigma: float = 0.01
    ) -> None:
        super().__init__()
        dilations = CONTEXT_DILATIONS[layers]
        channels = [classes * multiple for multiple in _multiples(dilations, widths)]
        modules: list[nn.Module] = []
        for number, (c_in, c_out, dilation) in enumerate(zip([classes, *channels], channels, dilations)):
            pad = dilation if padding == "every" else sum(dilations) if number == 0 else 0
            modules += [nn.Conv2d(c_in, c_out, 3, padding=pad, dilation=dilation), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*modules, nn.Conv2d(channels[-1], classes, 1))
        for module in self.layers:
            if isinstance(module, nn.Conv2d):
                identity_initialise(module, classes, sigma * classes / module.out_channels)

    def forward(self, scores: Tensor) -> Tensor:
        return self.layers(scores)  # type: ignore[no-any-return]


@torch.no_grad()
def identity_initialise(convolution: nn.Conv2d, groups: int, sigma: float) -> None:
    """Weights that pass each of `groups` equal runs of channels on as it is (section 3, the form for layers that widen).

    All weights are N(0, σ²) but the centre taps from a channel to those of its own group: groups / outputs. Biases are 0.
    Where every layer's channels are whole multiples of the groups and σ = 0, the layers together are the identity, on values
    ≥ 0 where ReLU stands between them.

    Args:
        convolution: of odd kernel size, its weights (c_out, c_in, k, k).
        groups: runs of consecutive channels that inputs and outputs are split into; the classes.
        sigma: standard deviation of the noise.
    """
    weight = convolution.weight
    c_out, c_in, rows, columns = weight.shape
    nn.init.normal_(weight, std=sigma)
    group_out = torch.arange(c_out, device=weight.device) * groups // c_out
    group_in = torch.arange(c_in, device=weight.device) * groups // c_in
    centre = weight[:, :, rows // 2, columns // 2]  # (c_out, c_in)
    centre.masked_fill_(group_out[:, None] == group_in, groups / c_out)
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)


def _multiples(dilations: Sequence[int], widths: str) -> list[int]:
    """Channels of each 3×3 layer as a multiple of the classes."""
    if widths == "basic":
        return [1] * len(dilations)
    return list(itertools.accumulate((2 * dilation for dilation in dilations), max))
