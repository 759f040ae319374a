"""U-Net (Ronneberger, Fischer, Brox 2015, arXiv:1505.04597): the paper's valid form, and a padded form with batch norm."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from segfield.errors import SettingError
from segfield.models.classifier import Classifier, pad_by, pad_to_multiple
from segfield.models.grid import from_label_grid


class UNet(Classifier):
    """The paper's network: five levels, 64 to 1024 channels, two 3×3 valid convolutions a level, 572² → 388².

    31,030,658 parameters at one band and two classes. `valid_logits` is the network of the paper; `forward` mirrors the
    image at its border (the paper's overlap-tile strategy), so that logits come at the image's size. Weights start as
    N(0, √(2/N)), N incoming connections (section 3); dropout 0.5 at the end of the contracting path (its place, after
    the fourth and fifth level, is from a later re-implementation, not the paper).

    Args:
        bands: C.
        classes: K.
        width: channels of the first level; 64 in the paper.
        dropout: probability at the end of the contracting path.
    """

    stride = 16
    margin = 96  # 92 in the paper, up to the next multiple of the stride

    def __init__(self, bands: int, classes: int, width: int = 64, dropout: float = 0.5) -> None:
        super().__init__(bands, classes)
        widths = _level_widths(width)
        self.down = nn.ModuleList(
            _conv_pair(c_in, c_out, padding=0, norm=False) for c_in, c_out in zip([bands, *widths], widths)
        )
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout(dropout)
        self.up = nn.ModuleList(nn.ConvTranspose2d(c, c // 2, 2, stride=2) for c in widths[:0:-1])
        self.merge = nn.ModuleList(_conv_pair(c, c // 2, padding=0, norm=False) for c in widths[:0:-1])
        self.classify = nn.Conv2d(widths[0], classes, 1)
        self.apply(_he_normal)

    def valid_logits(self, x: Tensor) -> Tensor:
        """(B, C, n, m), n and m ≡ 12 (mod 16) and ≥ 188 → (B, K, n − 184, m − 184): section 2 of the paper."""
        skips = []
        for level, convs in enumerate(self.down):
            x = convs(self.pool(x) if level else x)
            if level >= len(self.down) - 2:
                x = self.dropout(x)
            skips.append(x)
        skips.pop()
        for up, merge in zip(self.up, self.merge):
            x = up(x)
            x = merge(torch.cat([_crop_centre(skips.pop(), x.shape[-2], x.shape[-1]), x], dim=1))
        return self.classify(x)  # type: ignore[no-any-return]

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        # 92 of context on each side, then up to the next admissible size, output = input − 184 ≡ 4 (mod 16)
        extra_h, extra_w = (4 - height) % 16, (4 - width) % 16
        padded = pad_by(image, 92, 92 + extra_w, 92, 92 + extra_h)
        return self.valid_logits(padded)[..., :height, :width]


_FIRST_STRIDES = {1: (1, 1), 2: (2, 1), 4: (2, 2)}
"""Strides of the first two convolutions by the stride of the logits."""


class PaddedUNet(Classifier):
    """U-Net with 3×3 convolutions padded by one and batch norm after each: the form most practitioners train today.

    Args:
        bands: C.
        classes: K.
        width: channels of the first level.
        levels: resolutions, 2 to 6; each level halves the size and doubles the channels.
        dropout: probability in the deepest level.
        scores_stride: 1, 2 or 4: logits are of every s-th pixel from the first, because the first convolutions stride; a step
            costs about a quarter at 2. They are interpolated to the image's size, so thin things and edges are left to a refiner.
    """

    margin = 96

    def __init__(
        self,
        bands: int,
        classes: int,
        width: int = 32,
        levels: int = 5,
        dropout: float = 0.0,
        scores_stride: int = 1,
    ) -> None:
        super().__init__(bands, classes)
        if not 2 <= levels <= 6:
            raise SettingError(f"unet_padded has 2 to 6 levels; {levels} were asked for")
        if scores_stride not in _FIRST_STRIDES:
            raise SettingError(f"unet_padded has a scores_stride of 1, 2 or 4; {scores_stride} was asked for")
        widths = _level_widths(width, levels)
        self.scores_stride = scores_stride
        self.stride = scores_stride * 2 ** (levels - 1)
        self.down = nn.ModuleList(
            _conv_pair(c_in, c_out, padding=1, norm=True) for c_in, c_out in zip([bands, *widths], widths)
        )
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout(dropout)
        self.up = nn.ModuleList(nn.ConvTranspose2d(c, c // 2, 2, stride=2) for c in widths[:0:-1])
        self.merge = nn.ModuleList(_conv_pair(c, c // 2, padding=1, norm=True) for c in widths[:0:-1])
        first = [layer for layer in self.down[0].modules() if isinstance(layer, nn.Conv2d)]
        for conv, stride in zip(first, _FIRST_STRIDES[scores_stride]):
            conv.stride = (stride, stride)
        self.classify = nn.Conv2d(widths[0], classes, 1)
        self.apply(_he_normal)

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        x = pad_to_multiple(image, self.stride)
        skips = []
        for level, convs in enumerate(self.down):
            x = convs(self.pool(x) if level else x)
            skips.append(x)
        x = self.dropout(skips.pop())
        for up, merge in zip(self.up, self.merge):
            x = merge(torch.cat([skips.pop(), up(x)], dim=1))
        s = self.scores_stride
        logits: Tensor = self.classify(x)[..., : (height - 1) // s + 1, : (width - 1) // s + 1]  # (B, K, ⌈H/s⌉, ⌈W/s⌉)
        return logits if self.training else from_label_grid(logits, height, width)


def _level_widths(width: int, levels: int = 5) -> list[int]:
    if not 1 <= width <= 512:
        raise SettingError(f"width is the channels of the first level, 1 to 512; found {width}")
    return [width * 2**level for level in range(levels)]


def _conv_pair(c_in: int, c_out: int, padding: int, norm: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    for c in (c_in, c_out):
        layers.append(nn.Conv2d(c, c_out, 3, padding=padding, bias=not norm))
        if norm:
            layers.append(nn.BatchNorm2d(c_out))
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def _crop_centre(x: Tensor, height: int, width: int) -> Tensor:
    top, left = (x.shape[-2] - height) // 2, (x.shape[-1] - width) // 2
    return x[..., top : top + height, left : left + width]


def _he_normal(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        incoming = module.in_channels * math.prod(module.kernel_size)
        if isinstance(module, nn.ConvTranspose2d):
            incoming //= math.prod(module.stride)  # each output pixel of a 2×2, stride 2 layer meets one tap
        nn.init.normal_(module.weight, std=math.sqrt(2 / incoming))
        if module.bias is not None:
            nn.init.zeros_(module.bias)
