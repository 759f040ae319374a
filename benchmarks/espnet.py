"""ESPNet (Mehta et al. 2018, p = 2, q = 8) as its authors' CamVid weights need it: someone else's classifier for crf_helps.

Written from the layer facts of the paper and of the weight file, whose tensor names the attributes carry. The weights are a
pickle: they are read with `weights_only`, here and nowhere in the package.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

CLASSES, VOID = 12, 11
DILATIONS = (1, 2, 4, 8, 16)


class ESPNet(nn.Module):
    """(B, 3, H, W) scaled BGR → (B, 12, H, W) logits, the last one void's; H and W are multiples of 8."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.level3_C = Bare(131, CLASSES, 1)
        self.br = norm(CLASSES)
        self.up_l3 = nn.Sequential(doubling())
        self.combine_l2_l3 = nn.Sequential(NormAct(2 * CLASSES), Pyramid(2 * CLASSES, CLASSES, residual=False))
        self.up_l2 = nn.Sequential(doubling(), NormAct(CLASSES))
        self.conv = ConvNormAct(19 + CLASSES, CLASSES)
        self.classifier = doubling()

    def forward(self, image: Tensor) -> Tensor:
        half, quarter, eighth = self.encoder(image)
        scores = self.up_l3(self.br(eighth))
        scores = self.up_l2(self.combine_l2_l3(torch.cat([self.level3_C(quarter), scores], 1)))
        logits: Tensor = self.classifier(self.conv(torch.cat([scores, half], 1)))
        return logits


class Encoder(nn.Module):
    """Features at 1/2 (19 channels) and 1/4 (131), and scores at 1/8; the shrunk image joins the first two."""

    def __init__(self) -> None:
        super().__init__()
        self.level1 = ConvNormAct(3, 16, stride=2)
        self.b1 = NormAct(19)
        self.level2_0 = PyramidDown(19, 64)
        self.level2 = nn.ModuleList(Pyramid(64, 64) for _ in range(2))
        self.b2 = NormAct(131)
        self.level3_0 = PyramidDown(131, 128)
        self.level3 = nn.ModuleList(Pyramid(128, 128) for _ in range(8))
        self.b3 = NormAct(256)
        self.classifier = Bare(256, CLASSES, 1)
        self.shrink = nn.AvgPool2d(3, stride=2, padding=1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        small = self.shrink(image)
        half = self.b1(torch.cat([self.level1(image), small], 1))
        first = x = self.level2_0(half)
        for block in self.level2:
            x = block(x)
        quarter = self.b2(torch.cat([x, first, self.shrink(small)], 1))
        first = x = self.level3_0(quarter)
        for block in self.level3:
            x = block(x)
        return half, quarter, self.classifier(self.b3(torch.cat([first, x], 1)))


class Branches(nn.Module):
    """Reduce, five dilated branches, and their running sums side by side (from the second on): no gridding."""

    def __init__(self, channels: int, out: int, size: int, stride: int) -> None:
        super().__init__()
        width = out // 5
        self.c1 = Bare(channels, width, size, stride)
        for dilation in DILATIONS:
            wide = out - 4 * width if dilation == 1 else width
            self.add_module(f"d{dilation}", Bare(width, wide, 3, dilation=dilation))

    def spread(self, x: Tensor) -> Tensor:
        x = self.c1(x)
        first, *rest = (self.get_submodule(f"d{dilation}")(x) for dilation in DILATIONS)
        sums = [rest[0]]
        for branch in rest[1:]:
            sums.append(sums[-1] + branch)
        return torch.cat([first, *sums], 1)


class Pyramid(Branches):
    """The ESP block, with or without its input added."""

    def __init__(self, channels: int, out: int, residual: bool = True) -> None:
        super().__init__(channels, out, size=1, stride=1)
        self.bn = NormAct(out)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        spread = self.spread(x)
        return self.bn(x + spread if self.residual else spread)  # type: ignore[no-any-return]


class PyramidDown(Branches):
    """The ESP block at half the size."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__(channels, out, size=3, stride=2)
        self.bn = norm(out)
        self.act = nn.PReLU(out)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.bn(self.spread(x)))  # type: ignore[no-any-return]


class Bare(nn.Module):
    """A convolution without bias, at its input's size over the stride."""

    def __init__(self, channels: int, out: int, size: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        padding = size // 2 * dilation
        self.conv = nn.Conv2d(channels, out, size, stride, padding, dilation, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)  # type: ignore[no-any-return]


class NormAct(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bn = norm(channels)
        self.act = nn.PReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.bn(x))  # type: ignore[no-any-return]


class ConvNormAct(NormAct):
    def __init__(self, channels: int, out: int, stride: int = 1) -> None:
        super().__init__(out)
        self.conv = nn.Conv2d(channels, out, 3, stride, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.conv(x))


def norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


def doubling() -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(CLASSES, CLASSES, 2, stride=2, bias=False)


def load_espnet(path: Path) -> ESPNet:
    """The network with the authors' CamVid weights, every tensor of the file in its place."""
    network = ESPNet()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True), strict=True)
    return network.eval()


def scaled(image: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """(B, 3, H, W) RGB 0..255 → what the network was trained on: BGR, standardised, then over 255 once more.

    Args:
        mean, std: (3,) RGB statistics of the training images, as the authors measured theirs.
    """
    x = (image.float() - mean.view(-1, 1, 1)) / std.view(-1, 1, 1)
    return x.flip(1) / 255
