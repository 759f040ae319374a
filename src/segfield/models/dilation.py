"""Dilated networks: a VGG-16 front end that keeps stride 8, alone or with a context module on its scores.

Yu and Koltun 2016, arXiv:1511.07122; layers and padding as in the authors' released networks Dilation7, 8 and 10.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn

from segfield.errors import SettingError, did_you_mean
from segfield.models.classifier import Classifier, TrainingOutput, pad_by
from segfield.models.context import CONTEXT_DILATIONS, PADDINGS, WIDTHS, ContextModule
from segfield.models.grid import STRIDE, to_every_pixel
from segfield.models.score_layer import ScoreLayer
from segfield.models.vgg import BLOCKS, block_widths, check_fully_connected, he_initialise, transplant_vgg16, vgg_block

BORDER = 186
"""Pixels the front end takes away on each side; as many are mirrored around the image."""

REACH = 200
"""Furthest pixel that upsampled scores depend on: a score sees 186 pixels before its own and 193 after, and stands for 7 more
on each side.
"""


class Dilation(Classifier):
    """VGG-16 without padding, pool4 and pool5 taken out and dilation in their place, then a context module (sections 4, 5).

    134,346,581 parameters at three bands, 21 classes and no context. Logits lie at every eighth pixel from the first; in
    evaluation they are upsampled ×8. The released networks put the same bilinear interpolation on softmax probabilities
    (VOC, CamVid, KITTI) or, half a grid step further on, on logits (a fixed 16×16 filter, Cityscapes); here it is always
    on logits, at the pixels they were trained for. The paper trains in stages: the front end, then the context module
    with `front_end.*` frozen, then both.

    Args:
        bands: C.
        classes: K.
        layers: of the context module: 7 (KITTI), 8 (VOC, CamVid) or 10 (Cityscapes).
        context: none, basic (the released urban networks) or large (the released VOC network).
        context_padding: every (layer by its dilation) or first (all of it at the first layer); by default as released, first
            for large and every for basic.
        width: channels of conv1; 64 in the paper.
        fc_channels: channels of fc6 and fc7; 4096 in the paper.
        dropout: probability after fc6 and fc7.
        norm: batch norm after each convolution of the front end but its last, for training from scratch; not the paper's.
            ImageNet weights are then those of vgg16_bn.

    Raises:
        SettingError: if an option is out of range.
    """

    stride = STRIDE
    pretrained = "vgg16"

    def __init__(
        self,
        bands: int,
        classes: int,
        layers: int = 8,
        context: str = "basic",
        context_padding: str | None = None,
        width: int = 64,
        fc_channels: int = 4096,
        dropout: float = 0.5,
        norm: bool = False,
    ) -> None:
        super().__init__(bands, classes)
        padding = context_padding or ("first" if context == "large" else "every")
        _check_context(layers, context, padding)
        check_fully_connected(width, fc_channels)
        self.front_end = FrontEnd(bands, classes, width, fc_channels, dropout, norm)
        self.margin = REACH
        self.context: nn.Module = nn.Identity()
        if context != "none":
            self.context = ContextModule(classes, layers, widths=context, padding=padding)
            self.margin += STRIDE * sum(CONTEXT_DILATIONS[layers])
        if norm:
            self.pretrained = "vgg16_bn"

    def valid_logits(self, x: Tensor) -> Tensor:
        """(B, C, n, m), n and m ≡ 4 (mod 8) and ≥ 380 → (B, K, (n − 372)/8, (m − 372)/8): the paper's crops, 900² → 66².

        The crop includes the border of 186 pixels that has no labels of its own.
        """
        return self.context(self.front_end(x))  # type: ignore[no-any-return]

    def forward(self, image: Tensor) -> Tensor | TrainingOutput:
        height, width = image.shape[-2:]
        extra_h, extra_w = -height % STRIDE, -width % STRIDE  # so that the last scores stand for what is left
        padded = pad_by(image, BORDER, BORDER + extra_w, BORDER, BORDER + extra_h)
        logits = self.valid_logits(padded)  # (B, K, ⌈H/8⌉, ⌈W/8⌉)
        if self.training:
            return TrainingOutput(logits, [])
        last_kept = F.pad(logits, (0, 1, 0, 1), mode="replicate")  # past the last score, its value
        return to_every_pixel(last_kept, height, width)

    def encoder_parameters(self) -> list[nn.Parameter]:
        return [p for name, p in self.front_end.named_parameters() if not name.startswith("classify.")]

    def load_pretrained(self, tensors: Mapping[str, Tensor]) -> None:
        fc6, fc7 = self.front_end.fc6[0], self.front_end.fc7[0]
        transplant_vgg16(self.front_end.blocks, tensors, fc6=fc6, fc7=fc7)  # type: ignore[arg-type]


class FrontEnd(nn.Module):
    """(B, C, n, m) → scores (B, K, (n − 372)/8, (m − 372)/8); output (i, j) belongs to input pixel (186 + 8i, 186 + 8j).

    conv1 to conv3 as VGG-16, each with its pool; conv4, and conv5 at dilation 2, without pools; fc6 7×7 at dilation 4.
    Weights start as He et al. 2015 has them, those of the last layer as N(0, 0.001²).
    """

    POOLED = 3

    def __init__(self, bands: int, classes: int, width: int, fc_channels: int, dropout: float, norm: bool) -> None:
        super().__init__()
        widths = block_widths(width)
        self.blocks = nn.ModuleList(
            vgg_block(c_in, c_out, convolutions, padding=0, dilation=2 if number == 4 else 1, norm=norm)
            for number, (c_in, c_out, (_, convolutions)) in enumerate(zip([bands, *widths], widths, BLOCKS))
        )
        self.pool = nn.MaxPool2d(2)
        self.fc6 = _fully_connected(widths[-1], fc_channels, kernel=7, dilation=4, dropout=dropout, norm=norm)
        self.fc7 = _fully_connected(fc_channels, fc_channels, kernel=1, dilation=1, dropout=dropout, norm=norm)
        self.classify = ScoreLayer(fc_channels, classes)
        he_initialise(self)
        nn.init.normal_(self.classify.weight, std=0.001)

    def forward(self, x: Tensor) -> Tensor:
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number < self.POOLED:
                x = self.pool(x)
        return self.classify(self.fc7(self.fc6(x)))  # type: ignore[no-any-return]


def _fully_connected(c_in: int, c_out: int, *, kernel: int, dilation: int, dropout: float, norm: bool) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(c_in, c_out, kernel, dilation=dilation, bias=not norm)]
    if norm:
        layers.append(nn.BatchNorm2d(c_out))
    return nn.Sequential(*layers, nn.ReLU(inplace=True), nn.Dropout(dropout))


def _check_context(layers: int, context: str, padding: str) -> None:
    if layers not in CONTEXT_DILATIONS:
        raise SettingError(f"a context module has 7, 8 or 10 layers; {layers} were asked for")
    for name, value, known in (("context", context, ("none", *WIDTHS)), ("context_padding", padding, PADDINGS)):
        if value not in known:
            raise SettingError(f"{name} is '{value}'; {did_you_mean(value, known)}")
