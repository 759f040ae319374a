"""Encoder–decoders: SegNet and SegNet-Basic (Badrinarayanan, Kendall, Cipolla 2017, arXiv:1511.00561) and SCNet (Yasrab, Gu,
Zhang 2016). The decoder mirrors the encoder; what it has of the fine levels is where their maxima stood.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from segfield.errors import FileFormatError, SettingError, did_you_mean
from segfield.models.classifier import Classifier
from segfield.models.unpooling import max_pool, max_unpool
from segfield.models.vgg import block_widths, transplant_vgg16

GROUPS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""Convolutions before each of the five pools of VGG-11 … VGG-19 (Simonyan and Zisserman 2015, table 1)."""

ACTIVATIONS: dict[str, Callable[..., nn.Module]] = {"relu": nn.ReLU, "elu": nn.ELU}
CONVOLUTIONS: dict[str, Callable[..., nn.Module]] = {"conv": nn.Conv2d, "transposed": nn.ConvTranspose2d}

FIRST_SHIFT = 0.001  # of every batch norm, in the authors' files

SCNET: dict[str, Any] = {"activation": "elu", "decoder": "transposed"}
"""Options of `EncoderDecoder` that make SCNet. A reconstruction: the paper was not to be had.

From memory, and low: VGG-16 without its fully connected layers, a mirrored decoder of upsampling and deconvolution, ELU.
From the successor of the same first author (ECRU, 2018): the pooling indices used again in the decoder. Chosen here: the
widths (SegNet's, mirrored), 3×3 at stride 1 as the deconvolution, ELU after every layer, batch norm (from scratch it is
needed), the first weights, and a 3×3 convolution as the last layer.
"""


class EncoderDecoder(Classifier):
    """A VGG without its fully connected layers, and its mirror image. As it stands, SegNet (section 3).

    Each group of 3×3 convolutions with batch norm and activation ends in a 2×2 pool that keeps the indices of its maxima;
    the decoder puts its values back at these, from the deepest pool to the first, and convolves them dense: 512, 512, 512 |
    512, 512, 256 | 256, 256, 128 | 128, 64 | 64 and the scores. 29,441,419 parameters at 3 bands and 11 classes; the
    authors' Caffe files have 7,936 more, biases that their batch norm cancels. Maps of odd size keep it: 360×480 goes
    through 45×60, 23×30 and 12×15. Weights start as He et al. 2015 has them (MSRA); batch norm at scale 1, shift 0.001.

    Args:
        bands: C.
        classes: K.
        depth: of the encoder: VGG-11, 13, 16 or 19.
        activation: 'relu' or 'elu'.
        upsampling: 'unpool' at the indices; 'transposed2', a transposed convolution 2×2 of stride 2; 'transposed4', one
            of 4×4, stride 2, padding 1; or 'bilinear'.
        decoder: 'conv', or 'transposed': 3×3 at stride 1, which differs in how the weights are written alone.
        norm: batch norm after every convolution but the last.
        width: channels of the first level.
        dropout: probability after the deepest pool; 0.5 in the paper's benchmark (section 4).
    """

    stride = 32
    margin = 96  # about half of what conv5_3 sees; the decoder sees some 90 more, faintly
    pretrained = "vgg16"

    def __init__(
        self,
        bands: int,
        classes: int,
        depth: int = 16,
        activation: str = "relu",
        upsampling: str = "unpool",
        decoder: str = "conv",
        norm: bool = True,
        width: int = 64,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(bands, classes)
        if depth not in GROUPS:
            raise SettingError(f"depth is that of a VGG, {', '.join(map(str, GROUPS))}; found {depth}")
        activate = _chosen("activation", activation, ACTIVATIONS)
        upsample = _chosen("upsampling", upsampling, UPSAMPLINGS)
        convolve = _chosen("decoder", decoder, CONVOLUTIONS)
        widths, counts = block_widths(width), GROUPS[depth]
        self.pretrained = f"vgg{depth}"
        self.encoder = nn.ModuleList(
            _group(nn.Conv2d, c_in, [c] * count, 3, activate, norm)
            for c_in, c, count in zip([bands, *widths], widths, counts)
        )
        self.dropout = nn.Dropout(dropout)
        # as many convolutions each way, the last of a level to the channels of the next; the first level's is `classify`
        last = [[], *([c] for c in widths)]
        mirrored = [[c] * (count - 1) + c_out for c, count, c_out in zip(widths, counts, last)]
        self.upsampling = nn.ModuleList(upsample(c) for c in widths[::-1])
        self.decoder = nn.ModuleList(
            _group(convolve, c_in, channels, 3, activate, norm) for c_in, channels in zip(widths[::-1], mirrored[::-1])
        )
        self.classify = nn.Conv2d(widths[0], classes, 3, padding=1)
        _initialise(self)

    def forward(self, image: Tensor) -> Tensor:
        x, pools = image, []
        for convs in self.encoder:
            x = convs(x)
            size = x.shape[-2:]
            x, indices = max_pool(x)
            pools.append((indices, size))
        x = self.dropout(x)
        for upsample, convs in zip(self.upsampling, self.decoder):
            x = convs(upsample(x, *pools.pop()))
        return self.classify(x)  # type: ignore[no-any-return]

    def encoder_parameters(self) -> list[nn.Parameter]:
        return list(self.encoder.parameters())

    def load_pretrained(self, tensors: Mapping[str, Tensor]) -> None:
        given = sum(key.startswith("features.") and value.ndim == 4 for key, value in tensors.items())
        wanted = sum(isinstance(module, nn.Conv2d) for module in self.encoder.modules())
        if given != wanted:
            raise FileFormatError(
                f"the weights have {given} convolutions named features.N.weight and the encoder {wanted}; give the safetensors "
                f"file of timm's {self.pretrained}"
            )
        transplant_vgg16(list(self.encoder), tensors)


class SegNetBasic(Classifier):
    """SegNet-Basic (section 3.1): four levels of one 7×7 convolution each way, 64 channels throughout, no ReLU in the decoder.

    Local response normalisation of the image (over 5 bands, α = 1e-4, β = 0.75), as the authors' files have it, which give
    it values of 0 … 255: `mean` and `std` ask for those, since on values around 1 it would do nothing. 1,416,075
    parameters at 3 bands and 11 classes; the authors' files have 512 more, biases that batch norm cancels. First weights as
    in `EncoderDecoder`.

    Args:
        bands: C.
        classes: K.
        width: channels of every level.
    """

    LEVELS = 4
    stride = 16
    margin = 112  # no value depends on more than 105 pixels each way

    def __init__(self, bands: int, classes: int, width: int = 64) -> None:
        super().__init__(bands, classes)
        if width < 1:
            raise SettingError(f"width is the channels of every level, 1 or more; found {width}")
        self.mean, self.std = (0.0,) * bands, (1 / 255,) * bands
        self.encoder = nn.ModuleList(
            _group(nn.Conv2d, width if level else bands, [width], 7, nn.ReLU) for level in range(self.LEVELS)
        )
        self.decoder = nn.ModuleList(_group(nn.Conv2d, width, [width], 7, None) for _ in range(self.LEVELS))
        self.classify = nn.Conv2d(width, classes, 1)
        _initialise(self)

    def forward(self, image: Tensor) -> Tensor:
        x = F.local_response_norm(image, 5, alpha=1e-4, beta=0.75, k=1.0)
        pools = []
        for conv in self.encoder:
            x = conv(x)
            size = x.shape[-2:]
            x, indices = max_pool(x)
            pools.append((indices, size))
        for conv in self.decoder:
            x = conv(max_unpool(x, *pools.pop()))
        return self.classify(x)  # type: ignore[no-any-return]


class Unpool(nn.Module):
    """(B, C, ⌈H/2⌉, ⌈W/2⌉) → (B, C, H, W): values at the indices of the maxima, zeros between them."""

    def forward(self, x: Tensor, indices: Tensor, size: tuple[int, int]) -> Tensor:
        return max_unpool(x, indices, size)


class Double(nn.Module):
    """(B, C, ⌈H/2⌉, ⌈W/2⌉) → (B, C, H, W) by something that doubles the size; the indices are not used."""

    def __init__(self, doubling: nn.Module) -> None:
        super().__init__()
        self.doubling = doubling

    def forward(self, x: Tensor, indices: Tensor, size: tuple[int, int]) -> Tensor:
        return self.doubling(x)[..., : size[0], : size[1]]  # type: ignore[no-any-return]


UPSAMPLINGS: dict[str, Callable[[int], nn.Module]] = {
    "unpool": lambda channels: Unpool(),
    "transposed2": lambda channels: Double(nn.ConvTranspose2d(channels, channels, 2, stride=2)),
    "transposed4": lambda channels: Double(nn.ConvTranspose2d(channels, channels, 4, stride=2, padding=1)),
    "bilinear": lambda channels: Double(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)),
}


def _group(
    convolve: Callable[..., nn.Module],
    c_in: int,
    widths: Sequence[int],
    kernel: int,
    activate: Callable[..., nn.Module] | None,
    norm: bool = True,
) -> nn.Sequential:
    """Convolutions of the same kernel that keep the size, each with batch norm and activation."""
    layers: list[nn.Module] = []
    for c_out in widths:
        layers.append(convolve(c_in, c_out, kernel, padding=kernel // 2, bias=not norm))
        if norm:
            layers.append(nn.BatchNorm2d(c_out))
        if activate is not None:
            layers.append(activate(inplace=True))
        c_in = c_out
    return nn.Sequential(*layers)


def _initialise(network: nn.Module) -> None:
    """N(0, √(2/N)), N incoming connections, for every convolution; biases at zero; batch norm at scale 1, shift 0.001."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            incoming = module.in_channels * math.prod(module.kernel_size)
            if isinstance(module, nn.ConvTranspose2d):
                incoming //= math.prod(module.stride)  # each output pixel meets one tap in so many
            nn.init.normal_(module.weight, std=math.sqrt(2 / incoming))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.constant_(module.bias, FIRST_SHIFT)


def _chosen(option: str, value: str, known: Mapping[str, Callable[..., nn.Module]]) -> Callable[..., nn.Module]:
    if value not in known:
        raise SettingError(f"there is no {option} '{value}'; {did_you_mean(value, known)}")
    return known[value]
