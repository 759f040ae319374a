"""DeepLab on VGG-16: LargeFOV, 4×4, 7×7 and MSc (Chen et al. 2015, arXiv:1412.7062), ASPP (Chen et al. 2017, arXiv:1606.00915).

Layers, paddings and initial weights as in the authors' released Caffe networks.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segfield.errors import SettingError
from segfield.models.classifier import Classifier, TrainingOutput
from segfield.models.grid import STRIDE, pad_to_grid, to_every_pixel, to_label_grid
from segfield.models.score_layer import ScoreLayer
from segfield.models.vgg import BLOCKS, block_widths, check_fully_connected, he_initialise, transplant_vgg16, vgg_block

POOL_STRIDES = (2, 2, 2, 1, 1)
DILATIONS = (1, 1, 1, 1, 2)
BRANCH_STRIDES = (8, 4, 2, 1, 1)
"""Of MSc's branches from the image and pool1 … pool4, which so all end at stride 8."""

FC6_TAPS = {3: (0, 3, 6), 4: (0, 2, 4, 6), 7: (0, 1, 2, 3, 4, 5, 6)}
"""Rows and columns of VGG-16's 7×7 fc6 that a kernel of 3, 4 or 7 starts from."""

TRUNK_REACH = 121
"""Furthest pixel that a pixel of pool5a depends on."""


class DeepLabVGG(Classifier):
    """VGG-16 that keeps stride 8, a dilated fc6, and bilinear upsampling (section 3 of the 2015 paper).

    By default LargeFOV: 20,505,429 parameters at three bands and 21 classes, 321² → 41² scores. In training the logits are
    those of every eighth pixel. With several rates it is ASPP: a head of its own for each rate, their scores summed (37,877,652
    parameters with four heads). Caffe's ceil mode of pooling does not show, since images are first padded to 8n + 1.

    ImageNet weights fill all but fc8. For fc6 a 3×3 kernel takes taps 0, 3, 6 of each axis and every fourth filter. A 4×4
    kernel takes taps 0, 2, 4, 6, which is a reconstruction: the paper says only that the 7×7 kernel is decimated.

    Names for a recipe's rates: `trunk.*` (conv1 … conv5), `heads.*` (`heads.0.fc6`, fc7, fc8). The paper's rates, ten times as
    high for fc8 and twice for biases, are {"*.fc8.*": 10, "*.bias": 2}.

    Args:
        bands: C.
        classes: K.
        width: channels of conv1; 64 in the paper.
        fc_channels: channels of fc6 and fc7; by default 1024 for a 3×3 kernel and 4096 for others, at width 64.
        dropout: probability after fc6 and fc7.
        norm: batch norm after each convolution but fc8, for training from scratch; not the paper's. ImageNet weights are then
            those of vgg16_bn.
        kernel: of fc6: 3, 4 or 7.
        rates: dilation of fc6, one for each head.
        pool5a: 3×3 average after pool5; in the released LargeFOV.

    Raises:
        SettingError: if an option is out of range.
    """

    stride = STRIDE
    pretrained = "vgg16"

    def __init__(
        self,
        bands: int,
        classes: int,
        width: int = 64,
        fc_channels: int | None = None,
        dropout: float = 0.5,
        norm: bool = False,
        kernel: int = 3,
        rates: Sequence[int] = (12,),
        pool5a: bool = True,
    ) -> None:
        super().__init__(bands, classes)
        fc_channels = (1024 if kernel == 3 else 4096) * width // 64 or 1 if fc_channels is None else fc_channels
        _check(width, fc_channels, kernel, rates)
        widths = block_widths(width)
        self.trunk = nn.ModuleList(
            vgg_block(c_in, c_out, convolutions, padding=dilation, dilation=dilation, norm=norm)
            for c_in, c_out, (_, convolutions), dilation in zip([bands, *widths], widths, BLOCKS, DILATIONS)
        )
        self.pools = nn.ModuleList(nn.MaxPool2d(3, stride, padding=1) for stride in POOL_STRIDES)
        self.pool5a = nn.AvgPool2d(3, 1, padding=1) if pool5a else nn.Identity()
        self.heads = nn.ModuleList(
            Head(widths[-1], fc_channels, classes, kernel, rate, dropout=dropout, norm=norm) for rate in rates
        )
        he_initialise(self)
        for head in self.heads:
            nn.init.normal_(head.fc8.weight, std=0.01)  # type: ignore[arg-type,union-attr]
        self.kernel = kernel
        self.margin = TRUNK_REACH + STRIDE * (max(rates) * (kernel - 1) // 2 + 1)
        if norm:
            self.pretrained = "vgg16_bn"

    def pooled(self, x: Tensor) -> list[Tensor]:
        """(B, C, 8m + 1, 8n + 1) → pool1 … pool5 at strides 2, 4, 8, 8, 8; pool5a in place of pool5."""
        maps = []
        for block, pool in zip(self.trunk, self.pools):
            x = pool(block(x))
            maps.append(x)
        maps[-1] = self.pool5a(x)
        return maps

    def grid_logits(self, x: Tensor) -> Tensor:
        """(B, C, 8m + 1, 8n + 1) → (B, K, m + 1, n + 1): the network of the paper."""
        return self.scores(self.pooled(x)[-1])

    def scores(self, pool5: Tensor) -> Tensor:
        """fc8, summed over the heads."""
        summands: list[Tensor] = [head(pool5) for head in self.heads]
        return functools.reduce(torch.add, summands)

    def forward(self, image: Tensor) -> Tensor | TrainingOutput:
        height, width = image.shape[-2:]
        logits = self.grid_logits(pad_to_grid(image))
        if self.training:
            return TrainingOutput(to_label_grid(logits, height, width), [])
        return to_every_pixel(logits, height, width)

    def encoder_parameters(self) -> list[nn.Parameter]:
        """What ImageNet weights fill: the trunk, fc6 and fc7."""
        heads = [p for name, p in self.heads.named_parameters() if ".fc8." not in name]
        return [*self.trunk.parameters(), *heads]

    def load_pretrained(self, tensors: Mapping[str, Tensor]) -> None:
        for head in self.heads:
            transplant_vgg16(self.trunk, tensors, fc6=head.fc6, fc7=head.fc7, fc6_taps=FC6_TAPS[self.kernel])  # type: ignore[arg-type]


class DeepLabMSc(DeepLabVGG):
    """MSc-LargeFOV: LargeFOV, and scores from the image and pool1 … pool4 added to fc8 (section 4.3, 2015).

    Each of five branches is a 3×3 convolution that ends at stride 8, a 1×1 and a 1×1 to the classes. The paper trains them on
    a LargeFOV that stays as it is: start from its segmenter, with rates {"trunk.*": 0, "heads.*": 0}; what is trained is
    `branches.*`. Where dropout stands in a branch (after both hidden layers) is from memory.

    Args:
        bands, classes, width, fc_channels, dropout, norm: as in LargeFOV; a branch has 2 · width channels, 128 in the paper.
    """

    def __init__(
        self,
        bands: int,
        classes: int,
        width: int = 64,
        fc_channels: int | None = None,
        dropout: float = 0.5,
        norm: bool = False,
    ) -> None:
        super().__init__(bands, classes, width, fc_channels, dropout, norm)
        sources = [bands, *block_widths(width)[:4]]
        self.branches = nn.ModuleList(
            _branch(c_in, 2 * width, classes, stride, dropout=dropout, norm=norm)
            for c_in, stride in zip(sources, BRANCH_STRIDES)
        )

    def grid_logits(self, x: Tensor) -> Tensor:
        *maps, pool5 = self.pooled(x)
        summands: list[Tensor] = [branch(source) for branch, source in zip(self.branches, [x, *maps])]
        return functools.reduce(torch.add, summands, self.scores(pool5))


class Head(nn.Module):
    """pool5 (B, C, h, w) → scores (B, K, h, w): fc6 dilated by `rate`, fc7 and fc8 1×1."""

    def __init__(
        self, c_in: int, fc_channels: int, classes: int, kernel: int, rate: int, *, dropout: float, norm: bool
    ) -> None:
        super().__init__()
        same = rate * (kernel - 1) // 2
        self.fc6 = nn.Conv2d(c_in, fc_channels, kernel, padding=same, dilation=rate, bias=not norm)
        self.norm6 = nn.BatchNorm2d(fc_channels) if norm else nn.Identity()
        self.fc7 = nn.Conv2d(fc_channels, fc_channels, 1, bias=not norm)
        self.norm7 = nn.BatchNorm2d(fc_channels) if norm else nn.Identity()
        self.fc8 = ScoreLayer(fc_channels, classes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, pool5: Tensor) -> Tensor:
        x = self.dropout(F.relu(self.norm6(self.fc6(pool5))))
        x = self.dropout(F.relu(self.norm7(self.fc7(x))))
        return self.fc8(x)  # type: ignore[no-any-return]


def _branch(c_in: int, channels: int, classes: int, stride: int, *, dropout: float, norm: bool) -> nn.Sequential:
    """(B, c_in, H, W) → scores (B, K, ⌈H/stride⌉, ⌈W/stride⌉), starting small so that fc8 decides at first."""
    layers: list[nn.Module] = []
    for c, kernel, step, std in ((c_in, 3, stride, 0.001), (channels, 1, 1, 0.005)):
        convolution = nn.Conv2d(c, channels, kernel, step, padding=kernel // 2, bias=not norm)
        nn.init.normal_(convolution.weight, std=std)
        layers += [
            convolution,
            *([nn.BatchNorm2d(channels)] if norm else []),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
        ]
    classify = nn.Conv2d(channels, classes, 1)
    nn.init.normal_(classify.weight, std=0.01)
    with torch.no_grad():
        for layer in (*layers, classify):
            if isinstance(layer, nn.Conv2d) and layer.bias is not None:
                layer.bias.zero_()
    return nn.Sequential(*layers, classify)


def _check(width: int, fc_channels: int, kernel: int, rates: Sequence[int]) -> None:
    check_fully_connected(width, fc_channels)
    if kernel not in FC6_TAPS:
        raise SettingError(f"kernel is that of fc6: 3, 4 or 7; found {kernel}")
    if not rates or min(rates) < 1 or (kernel == 4 and any(rate % 2 for rate in rates)):
        raise SettingError(
            f"rates are fc6's dilations, one a head, e.g. [6, 12, 18, 24], even for a kernel of 4; found {list(rates)}"
        )
