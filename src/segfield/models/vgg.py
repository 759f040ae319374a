"""VGG-16 (Simonyan and Zisserman 2015, arXiv:1409.1556) as the trunk of the classic networks, and its ImageNet weights.

Each network has its own padding, pooling and dilation; what they share are the thirteen convolutions, and fc6 and fc7 as
convolutions. `transplant_vgg16` copies ImageNet weights into any of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from segfield.errors import FileFormatError

BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""(channels, convolutions) of conv1 … conv5 at width 64."""

FC6_SHAPE = (4096, 512, 7, 7)
FC7_SHAPE = (4096, 4096, 1, 1)


def block_widths(width: int = 64) -> list[int]:
    """Channels of conv1 … conv5 where conv1 has `width`: 64, 128, 256, 512, 512 in the paper."""
    return [channels * width // 64 for channels, _ in BLOCKS]


def vgg_block(
    c_in: int,
    c_out: int,
    convolutions: int,
    *,
    padding: int = 1,
    first_padding: int | None = None,
    dilation: int = 1,
    norm: bool = False,
) -> nn.Sequential:
    """3×3 convolutions with ReLU: (B, c_in, H, W) → (B, c_out, H', W').

    Args:
        c_in, c_out: channels.
        convolutions: how many.
        padding: zeros at each side.
        first_padding: of the first convolution, where it is another (FCN's 100).
        dilation: of every convolution.
        norm: batch norm between convolution and ReLU; what training from scratch needs, and no published form has.
    """
    layers: list[nn.Module] = []
    for number in range(convolutions):
        pad = first_padding if first_padding is not None and number == 0 else padding
        layers.append(nn.Conv2d(c_in, c_out, 3, padding=pad, dilation=dilation, bias=not norm))
        if norm:
            layers.append(nn.BatchNorm2d(c_out))
        layers.append(nn.ReLU(inplace=True))
        c_in = c_out
    return nn.Sequential(*layers)


def he_initialise(network: nn.Module) -> None:
    """N(0, √(2/N)), N incoming connections, for every convolution; biases at zero (He et al. 2015, arXiv:1502.01852)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def transplant_vgg16(
    blocks: Sequence[nn.Module],
    tensors: Mapping[str, Tensor],
    *,
    fc6: nn.Conv2d | None = None,
    fc7: nn.Conv2d | None = None,
    fc6_taps: Sequence[int] | None = None,
) -> None:
    """Copy a VGG-16 classification network into a trunk, its fully connected layers into convolutions.

    Args:
        blocks: what holds the thirteen convolutions, in order; batch norm layers between them are filled where the tensors have
            them (vgg16_bn).
        tensors: by timm's names (`features.0.weight`, `pre_logits.fc1.weight`) or torchvision's (`classifier.0.weight`).
        fc6, fc7: the convolutions that become the first two fully connected layers; None leaves them out. Narrower ones take
            every n-th filter, as DeepLab-LargeFOV's 1024 of 4096.
        fc6_taps: which rows and columns of the 7×7 kernel fc6 takes; all by default. LargeFOV's 3×3 takes 0, 3, 6: at
            dilation 12 they see the pixels that the same taps of 7×7 see at dilation 4.

    Raises:
        FileFormatError: if the tensors are not those of a VGG-16 of this width.
    """
    convolutions = [m for block in blocks for m in block.modules() if isinstance(m, nn.Conv2d)]
    norms = [m for block in blocks for m in block.modules() if isinstance(m, nn.BatchNorm2d)]
    numbers = sorted({int(found[1]) for key in tensors if (found := re.fullmatch(r"features\.(\d+)\.weight", key))})
    with_kernel = [n for n in numbers if tensors[f"features.{n}.weight"].ndim == 4]
    with_scale = [n for n in numbers if tensors[f"features.{n}.weight"].ndim == 1]
    if len(with_kernel) != len(convolutions):
        raise FileFormatError(
            f"the weights have {len(with_kernel)} convolutions named features.N.weight, VGG-16 has {len(convolutions)}; give "
            "the safetensors file of timm's vgg16"
        )
    with torch.no_grad():
        for convolution, n in zip(convolutions, with_kernel):
            _fill(
                convolution.weight,
                _for_bands(tensors[f"features.{n}.weight"], convolution.in_channels),
                f"features.{n}",
            )
            if convolution.bias is not None:
                _fill(convolution.bias, tensors[f"features.{n}.bias"], f"features.{n}")
        for norm, n in zip(norms, with_scale):
            for name in ("weight", "bias", "running_mean", "running_var"):
                _fill(getattr(norm, name), tensors[f"features.{n}.{name}"], f"features.{n}")
        if fc6 is not None:
            kernel, bias = _fully_connected(tensors, ("pre_logits.fc1", "classifier.0"), FC6_SHAPE)
            taps = list(fc6_taps if fc6_taps is not None else range(7))
            filters = slice(None, None, FC6_SHAPE[0] // fc6.out_channels)
            _fill(fc6.weight, kernel[filters][:, :, taps][:, :, :, taps], "fc6")
            _fill(fc6.bias, bias[filters], "fc6")
        if fc7 is not None:
            kernel, bias = _fully_connected(tensors, ("pre_logits.fc2", "classifier.3"), FC7_SHAPE)
            incoming, outgoing = (FC7_SHAPE[0] // channels for channels in (fc7.in_channels, fc7.out_channels))
            _fill(fc7.weight, kernel[::outgoing, ::incoming], "fc7")
            _fill(fc7.bias, bias[::outgoing], "fc7")


def _fully_connected(
    tensors: Mapping[str, Tensor], names: Sequence[str], shape: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Kernel and bias of a fully connected layer, as a convolution's."""
    for name in names:
        if f"{name}.weight" in tensors and tensors[f"{name}.weight"].numel() == torch.Size(shape).numel():
            return tensors[f"{name}.weight"].reshape(*shape), tensors[f"{name}.bias"]
    raise FileFormatError(
        f"the weights lack VGG-16's fully connected layer ({' or '.join(names)}, {'×'.join(map(str, shape))}); give the "
        "safetensors file of timm's vgg16 with its classification head"
    )


def _for_bands(kernel: Tensor, bands: int) -> Tensor:
    """The first kernel for any number of bands (timm's rule: one band sums the colours, more repeat them)."""
    if kernel.shape[1] != 3 or bands == 3:
        return kernel
    from timm.models import adapt_input_conv

    adapted: Tensor = adapt_input_conv(bands, kernel)
    return adapted


def _fill(target: Tensor | None, source: Tensor, name: str) -> None:
    if target is None:
        return
    if target.shape != source.shape:
        raise FileFormatError(
            f"{name} of the weights is {tuple(source.shape)} and of the network {tuple(target.shape)}; ImageNet weights fit "
            "the paper's widths alone: leave out the network's options, or give --weights none"
        )
    target.copy_(source)
