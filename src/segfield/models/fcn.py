"""FCN-32s, 16s and 8s (Long, Shelhamer, Darrell, CVPR 2015; PAMI version arXiv:1605.06211): VGG-16 made convolutional,
its coarse scores upsampled by fixed bilinear kernels and joined with scores of pool4 and pool3.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segfield.errors import SettingError
from segfield.models.classifier import Classifier
from segfield.models.score_layer import ScoreLayer
from segfield.models.vgg import BLOCKS, block_widths, check_fully_connected, he_initialise, transplant_vgg16, vgg_block

PAD = 100
"""Zeros around the image at the first convolution: with them fc6's 7×7 has something to see however small the image."""

POOL4_OFFSET, POOL3_OFFSET = 5, 9
IMAGE_OFFSETS = {32: 19, 16: 27, 8: 31}
"""Where the image begins in the upsampled scores; all five offsets are those that Caffe's coordinate maps give."""

AT_ONCE_SCALES = (0.01, 0.0001)
"""What pool4 and pool3 are multiplied by where all skips are trained at once: it evens out the size of their values."""


class FCN(Classifier):
    """The released networks: 100 zeros around the image, pooling that rounds up, crops 5, 9 and 31 (27, 19).

    At 21 classes FCN-32s has 134,346,581 parameters, FCN-16s 134,357,354, FCN-8s 134,362,751. The bilinear kernels are not
    among them: they are constants, and no tensor of the saved network. Score layers start at zero, all other
    convolutions as He et al.; the paper's start is ImageNet weights. All forms name their layers alike, so that each
    can start from the next coarser one, as the paper trains them.

    Args:
        bands: C.
        classes: K.
        finest: pixels between the finest scores: 32 has no skip, 16 joins pool4, 8 joins pool4 and pool3.
        at_once: scale pool4 by 0.01 and pool3 by 0.0001 before they are scored, for training without stages.
        width: channels of conv1; 64 in the paper.
        fc_channels: channels of fc6 and fc7; 4096 in the paper.
        dropout: probability after fc6 and after fc7.
        norm: batch norm after each of the thirteen convolutions, which training without ImageNet weights needs; the
            pretrained network is then vgg16_bn.
        learn_upsampling: the CVPR version's form: upsampling between skips begins bilinear and is learned, with
            K·K·4·4 parameters a skip; the last one stays bilinear. False is the released networks' form.
    """

    stride = 32
    margin = 256  # a score sees 202 pixels each way, and lies up to 44 from the pixel it counts for: 246
    pretrained = "vgg16"

    def __init__(
        self,
        bands: int,
        classes: int,
        finest: int = 8,
        at_once: bool = False,
        width: int = 64,
        fc_channels: int = 4096,
        dropout: float = 0.5,
        norm: bool = False,
        learn_upsampling: bool = False,
    ) -> None:
        super().__init__(bands, classes)
        if finest not in IMAGE_OFFSETS:
            raise SettingError(f"finest is 32, 16 or 8 pixels between scores; found {finest}")
        check_fully_connected(width, fc_channels)
        if norm:
            self.pretrained = "vgg16_bn"
        self.finest = finest
        self.pool4_scale, self.pool3_scale = AT_ONCE_SCALES if at_once else (1.0, 1.0)
        widths = block_widths(width)
        self.blocks = nn.ModuleList(
            vgg_block(c_in, c_out, convolutions, first_padding=PAD if level == 0 else None, norm=norm)
            for level, (c_in, c_out, (_, convolutions)) in enumerate(zip([bands, *widths], widths, BLOCKS))
        )
        self.pool = nn.MaxPool2d(2, ceil_mode=True)
        self.fc6 = nn.Conv2d(widths[4], fc_channels, 7)
        self.fc7 = nn.Conv2d(fc_channels, fc_channels, 1)
        self.dropout = nn.Dropout(dropout)
        self.score_fr = ScoreLayer(fc_channels, classes)
        self.score_pool4 = nn.Conv2d(widths[3], classes, 1) if finest <= 16 else None
        self.score_pool3 = nn.Conv2d(widths[2], classes, 1) if finest <= 8 else None
        self.upscore2 = _doubling(classes) if learn_upsampling and finest <= 16 else None
        self.upscore_pool4 = _doubling(classes) if learn_upsampling and finest <= 8 else None
        he_initialise(self)
        for score in (self.score_fr, self.score_pool4, self.score_pool3):
            if score is not None:
                nn.init.zeros_(score.weight)

    def forward(self, image: Tensor) -> Tensor:
        pool3, pool4, pool5 = self._pools(image)
        x = self.dropout(F.relu(self.fc6(pool5)))
        x = self.dropout(F.relu(self.fc7(x)))
        scores = self.score_fr(x)  # (B, K, ~H/32, ~W/32)
        if self.score_pool4 is not None:
            scores = _double(scores, self.upscore2)  # ~H/16
            scores = scores + self.score_pool4(self.pool4_scale * _crop(pool4, POOL4_OFFSET, scores))
        if self.score_pool3 is not None:
            scores = _double(scores, self.upscore_pool4)  # ~H/8
            scores = scores + self.score_pool3(self.pool3_scale * _crop(pool3, POOL3_OFFSET, scores))
        return upsample_bilinear(scores, self.finest, IMAGE_OFFSETS[self.finest], *image.shape[-2:])  # (B, K, H, W)

    def _pools(self, x: Tensor) -> list[Tensor]:
        """pool3, pool4 and pool5: (B, c, ⌈(H + 198)/8⌉, …), /16, /32."""
        pools = []
        for block in self.blocks:
            x = self.pool(block(x))
            pools.append(x)
        return pools[2:]

    def encoder_parameters(self) -> list[nn.Parameter]:
        return [p for part in (self.blocks, self.fc6, self.fc7) for p in part.parameters()]

    def load_pretrained(self, tensors: Mapping[str, Tensor]) -> None:
        transplant_vgg16(list(self.blocks), tensors, fc6=self.fc6, fc7=self.fc7)


def upsample_bilinear(scores: Tensor, factor: int, offset: int, height: int, width: int) -> Tensor:
    """Caffe's transposed convolution with bilinear kernels of 2s at stride s, cropped: (B, K, h, w) → (B, K, height, width).

    Beyond the outermost scores there are zeros. Each pixel lies between two rows and two columns of scores, so the
    layer is a product with a matrix on each side: the same numbers, in half the time of the convolution.

    Args:
        scores: (B, K, h, w).
        factor: s, even.
        offset: rows and columns of the (h + 1)·s by (w + 1)·s result that are cut off before the first one kept.
        height, width: of what is kept, in pixels.
    """
    down = _bilinear_weights(scores.shape[-2], factor, offset, height, scores)
    across = _bilinear_weights(scores.shape[-1], factor, offset, width, scores)
    return down @ (scores @ across.T)


def _bilinear_weights(scores: int, factor: int, offset: int, size: int, like: Tensor) -> Tensor:
    """(size, scores): what each score counts for at each pixel, 1 − distance/s down to 0."""
    pixels = torch.arange(size, device=like.device) + (offset + 0.5 - factor)
    centres = torch.arange(scores, device=like.device) * factor
    return (1 - (pixels[:, None] - centres).abs() / factor).clamp(min=0).to(like.dtype)


def bilinear_kernel(size: int) -> Tensor:
    """(size, size), Caffe's bilinear filler: f = ⌊(size + 1)/2⌋, weight (1 − |i − c|/f)(1 − |j − c|/f), c the centre."""
    reach = (size + 1) // 2
    weights = 1 - (torch.arange(size) - (size - 1) / 2).abs() / reach
    return weights[:, None] * weights


def _doubling(classes: int) -> nn.ConvTranspose2d:
    """Upsampling by two that is learned: bilinear within each class at first, nothing between classes."""
    layer = nn.ConvTranspose2d(classes, classes, 4, stride=2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(classes)[:, :, None, None] * bilinear_kernel(4))
    return layer


def _double(scores: Tensor, learned: nn.Module | None) -> Tensor:
    """(B, K, h, w) → (B, K, 2h + 2, 2w + 2)."""
    if learned is not None:
        return learned(scores)  # type: ignore[no-any-return]
    height, width = scores.shape[-2:]
    return upsample_bilinear(scores, 2, 0, 2 * height + 2, 2 * width + 2)


def _crop(x: Tensor, offset: int, like: Tensor) -> Tensor:
    """The part of (B, C, H, W) that begins at `offset` and has the size of `like`."""
    height, width = like.shape[-2:]
    return x[..., offset : offset + height, offset : offset + width]
