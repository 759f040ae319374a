"""VGG-16 (Simonyan and Zisserman 2015, arXiv:1409.1556) as the trunk of the classic networks, and its ImageNet weights.

Each network has its own padding, pooling and dilation; what they share are the thirteen convolutions, and fc6 and fc7 as
convolutions. `transplant_vgg16` copies ImageNet weights into any of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from segfield.errors import FileFormatError, SettingError

BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""(channels, convolutions) of conv1 … conv5 at width 64."""

GIVE_VGG16 = "give the safetensors file of timm's vgg16"

FC6_SHAPE = (4096, 512, 7, 7)
FC7_SHAPE = (4096, 4096, 1, 1)


def block_widths(width: int = 64) -> list[int]:
    """Channels of conv1 … conv5 where conv1 has `width`: 64, 128, 256, 512, 512 in the paper.

    Raises:
        SettingError: if the width is below 1.
    """
    if width < 1:
        raise SettingError(f"width is the channels of the first level, 1 or more; found {width}")
    return [channels * width // 64 for channels, _ in BLOCKS]


def check_fully_connected(width: int, fc_channels: int) -> None:
    """Raises SettingError unless a network with fc6 and fc7 as convolutions can be of this size."""
    if not 1 <= width <= 512 or not 1 <= fc_channels <= 65536:
        raise SettingError(f"width is 1 to 512 and fc_channels 1 to 65536; found {width} and {fc_channels}")


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
        blocks: what holds the thirteen convolutions, in order. Batch norm layers after them are filled where the tensors
            have them (vgg16_bn), and else left as they start. Either way the trunk then computes, in evaluation mode,
            what the classification network does, also where its convolutions have no bias.
        tensors: by timm's names (`features.0.weight`, `pre_logits.fc1.weight`) or torchvision's (`classifier.0.weight`), behind
            any prefix.
        fc6, fc7: the convolutions that become the first two fully connected layers; None leaves them out. Narrower ones take
            every n-th filter, as DeepLab-LargeFOV's 1024 of 4096.
        fc6_taps: which rows and columns of the 7×7 kernel fc6 takes; all by default. LargeFOV's 3×3 takes 0, 3, 6: at
            dilation 12 they see the pixels that the same taps of 7×7 see at dilation 4.

    Raises:
        FileFormatError: if the tensors are not those of a VGG-16 of this width, or have batch norm that the trunk lacks.
    """
    layers = _with_norms(blocks)
    tensors = _without_prefix(tensors)
    numbers = sorted({int(found[1]) for key in tensors if (found := re.fullmatch(r"features\.(\d+)\.weight", key))})
    numbers = [n for n in numbers if tensors[f"features.{n}.weight"].ndim == 4]
    if len(numbers) != len(layers):
        raise FileFormatError(
            f"the weights have {len(numbers)} convolutions named features.N.weight, VGG-16 has {len(layers)}; {GIVE_VGG16}"
        )
    if f"features.{numbers[0] + 1}.running_mean" in tensors and layers[0][1] is None:
        raise FileFormatError(
            "the weights have batch norm (vgg16_bn) and the network has none; give those of timm's vgg16, or build the "
            "network with batch norm"
        )
    with torch.no_grad():
        for (convolution, norm), n in zip(layers, numbers):
            _fill_convolution(convolution, norm, tensors, n)
        if fc6 is not None:
            kernel, bias = _fully_connected(tensors, ("pre_logits.fc1", "classifier.0"), FC6_SHAPE)
            step = _step(FC6_SHAPE[0], fc6.out_channels)
            kernel, bias = kernel[::step], bias[::step]
            if fc6_taps is not None:
                kernel = kernel[:, :, list(fc6_taps)][:, :, :, list(fc6_taps)]
            _fill(fc6.weight, kernel, "fc6")
            _fill(fc6.bias, bias, "fc6")
        if fc7 is not None:
            kernel, bias = _fully_connected(tensors, ("pre_logits.fc2", "classifier.3"), FC7_SHAPE)
            outgoing, incoming = _step(FC7_SHAPE[0], fc7.out_channels), _step(FC7_SHAPE[1], fc7.in_channels)
            _fill(fc7.weight, kernel[::outgoing, ::incoming], "fc7")
            _fill(fc7.bias, bias[::outgoing], "fc7")


def _without_prefix(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Without what stands before every name where VGG-16 is a part of a file: `encoder.features.0.weight`."""
    first = "features.0.weight"
    prefixes = sorted({name.removesuffix(first) for name in tensors if name.endswith("." + first)})
    if first in tensors or len(prefixes) != 1:
        return tensors
    return {name.removeprefix(prefixes[0]): value for name, value in tensors.items() if name.startswith(prefixes[0])}


def _with_norms(blocks: Sequence[nn.Module]) -> list[tuple[nn.Conv2d, nn.BatchNorm2d | None]]:
    """Every convolution, in order, with the batch norm that follows it."""
    layers: list[tuple[nn.Conv2d, nn.BatchNorm2d | None]] = []
    for module in (module for block in blocks for module in block.modules()):
        if isinstance(module, nn.Conv2d):
            layers.append((module, None))
        elif isinstance(module, nn.BatchNorm2d):
            layers[-1] = (layers[-1][0], module)
    return layers


def _fill_convolution(
    convolution: nn.Conv2d, norm: nn.BatchNorm2d | None, tensors: Mapping[str, Tensor], number: int
) -> None:
    """From features.N and, where the tensors have it, the batch norm features.N+1."""
    name, norm_name = f"features.{number}", f"features.{number + 1}"
    bias = _tensor(tensors, f"{name}.bias")
    _fill(convolution.weight, _for_bands(_tensor(tensors, f"{name}.weight"), convolution.in_channels), name)
    _fill(convolution.bias, bias, name)
    if norm is None:
        return
    mean = torch.zeros_like(bias)
    if f"{norm_name}.running_mean" in tensors:
        mean = tensors[f"{norm_name}.running_mean"]
        for part in ("weight", "bias", "running_var"):
            _fill(getattr(norm, part), _tensor(tensors, f"{norm_name}.{part}"), norm_name)
    if convolution.bias is None:
        mean = mean - bias  # what the norm subtracts: the bias that is not added before it need not be taken off
    _fill(norm.running_mean, mean, norm_name)


def _step(published: int, wanted: int) -> int:
    """Every how many-th filter to take; a number that does not divide the published one fails by its shape later."""
    return max(1, published // wanted)


def _fully_connected(
    tensors: Mapping[str, Tensor], names: Sequence[str], shape: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Kernel and bias of a fully connected layer, as a convolution's."""
    for name in names:
        if f"{name}.weight" in tensors and tensors[f"{name}.weight"].numel() == torch.Size(shape).numel():
            return tensors[f"{name}.weight"].reshape(*shape), _tensor(tensors, f"{name}.bias")
    raise FileFormatError(
        f"the weights lack VGG-16's fully connected layer ({' or '.join(names)}, {'×'.join(map(str, shape))}); "
        f"{GIVE_VGG16} with its classification head"
    )


def _tensor(tensors: Mapping[str, Tensor], key: str) -> Tensor:
    if key not in tensors:
        raise FileFormatError(f"the weights lack {key}; {GIVE_VGG16}")
    return tensors[key]


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
