"""DeepLab v2 on any timm encoder made atrous: ASPP straight to the classes, several input scales fused by their maximum.

Chen et al. 2017, arXiv:1606.00915, sections 3.1 and 3.2; the published network is the one on ResNet-101.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from segfield.errors import SettingError
from segfield.models.classifier import Classifier, TrainingOutput, larger, pad_by
from segfield.models.depthwise import speed_up_depthwise
from segfield.models.encoders import check_encoder, load_encoder_tensors
from segfield.models.grid import STRIDE, pad_to_grid, resize_on_grid, to_every_pixel, to_label_grid
from segfield.models.pyramid import MULTIPLE, PyramidEncoder, resampled, up

PATCH_SHIFT = 8
"""Pixels that features of stems which cut patches lie further right and down than the grid: timm's ConvNeXt at stride 8 sees
pixels 8i − 8 … 8i + 23 for its i-th features."""


class DeepLab(Classifier):
    """Encoder at stride 8, then 3×3 convolutions of several dilations from its last features to the classes, summed.

    With ResNet-101 44,048,532 parameters at three bands and 21 classes. Its layer3 and layer4 have dilation 2 and 4 in place
    of strides, the hole algorithm: at every fourth position of each axis the features are those of the network at stride 32.
    timm's ResNet has the stride of a stage in the 3×3 convolution of its first bottleneck; Caffe's, on which the published
    weights were trained, in the 1×1 before it. So that 3×3 has dilation 1 and 2 here, and 2 and 4 there.

    The image is seen at several scales with shared weights; their logits, resized to those of scale 1, are fused by the
    element-wise maximum. In training each scale's logits and the fused ones have a loss; all lie at every eighth pixel. (The
    published training shrinks the labels to each scale's own size instead: at scale 0.75 no whole stride leads there.)

    Names for a recipe's rates: `encoder.*`, `aspp.*`. The paper's are {"aspp.*": 10, "aspp.*.bias": 2}.

    Args:
        bands: C.
        classes: K.
        encoder: timm's name; the features of one without a form of output stride 8 are resampled to it.
        scales: of the image, 1 among them; (1.0,) sees it once, and trains in about half the time.
        rates: dilations of the 3×3 convolutions.
        encoder_options: of timm's network (`drop_path_rate`, `pad_type`, …).

    Raises:
        SettingError: if the encoder is not known or runs at no size, or an option is out of range.
    """

    stride = STRIDE
    pretrained = "resnet101"

    def __init__(
        self,
        bands: int,
        classes: int,
        encoder: str = "resnet101",
        scales: Sequence[float] = (1.0, 0.75, 0.5),
        rates: Sequence[int] = (6, 12, 18, 24),
        **encoder_options: Any,
    ) -> None:
        super().__init__(bands, classes)
        _check(scales, rates)
        self.pretrained = encoder
        self.scales = (1.0, *(float(scale) for scale in scales if scale != 1))
        if len(self.scales) > 1:
            self.stride = 4 * STRIDE  # a shift of 32 is one of whole steps on the grids of ¾ and ½ too
        self.margin = STRIDE * max(rates)
        self.encoder, self.shift = atrous_encoder(encoder, bands, **encoder_options)
        channels = self.encoder.feature_info.channels()[-1]  # type: ignore[operator,union-attr]
        self.aspp = nn.ModuleList(nn.Conv2d(channels, classes, 3, padding=rate, dilation=rate) for rate in rates)
        for convolution in self.aspp:
            nn.init.normal_(convolution.weight, std=0.01)  # type: ignore[arg-type]
            nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
        speed_up_depthwise(self)

    def grid_logits(self, x: Tensor) -> Tensor:
        """(B, C, 8m + 1, 8n + 1) → (B, K, m + 1, n + 1): the network of one scale."""
        rows, columns = ((length - 1) // STRIDE + 1 for length in x.shape[-2:])
        if self.shift:
            after = STRIDE - 1  # what makes 8n + 1 whole patches
            x = pad_by(x, self.shift, after, self.shift, after)
        features = self.encoder(x)[-1][..., :rows, :columns]
        summands: list[Tensor] = [convolution(features) for convolution in self.aspp]
        return functools.reduce(torch.add, summands)

    def scale_logits(self, x: Tensor) -> list[Tensor]:
        """(B, C, 8m + 1, 8n + 1) → (B, K, m + 1, n + 1) for each scale, that of scale 1 first."""
        every: list[Tensor] = []
        for scale in self.scales:
            size = [_scaled(length, scale) for length in x.shape[-2:]]
            logits = self.grid_logits(x if scale == 1 else resize_on_grid(x, *size))
            every.append(logits if scale == 1 else resize_on_grid(logits, *every[0].shape[-2:]))
        return every

    def forward(self, image: Tensor) -> Tensor | TrainingOutput:
        height, width = image.shape[-2:]
        every = self.scale_logits(pad_to_grid(image))
        fused = functools.reduce(torch.maximum, every)
        if not self.training:
            return to_every_pixel(fused, height, width)
        auxiliary = [(1.0, to_label_grid(logits, height, width)) for logits in every if len(every) > 1]
        return TrainingOutput(to_label_grid(fused, height, width), auxiliary)

    def encoder_parameters(self) -> list[nn.Parameter]:
        return list(self.encoder.parameters())

    def load_pretrained(self, tensors: Mapping[str, Tensor]) -> None:
        whole = self.encoder.whole if isinstance(self.encoder, ResampledEncoder) else self.encoder
        self.weights_told = load_encoder_tensors(whole, tensors, self.bands, "the file")


class ResampledEncoder(nn.Module):
    """The last features of an encoder that has no atrous form, resampled to every eighth pixel.

    (B, C, 8m + 1, 8n + 1) → [(B, C', m + 1, n + 1)]: features of the areas of 8×8 pixels around every eighth one.
    """

    def __init__(self, encoder: str, bands: int, **options: Any) -> None:
        super().__init__()
        self.pyramid = PyramidEncoder(encoder, bands, **options)
        self.feature_info = self.pyramid.model.feature_info

    @property
    def whole(self) -> nn.Module:
        return self.pyramid.whole

    def forward(self, x: Tensor) -> list[Tensor]:
        rows, columns = ((length - 1) // STRIDE + 1 for length in x.shape[-2:])
        half = STRIDE // 2
        x = pad_by(x, half, half - 1, half, half - 1)  # to 8(m + 1) pixels, in areas around every eighth
        if self.pyramid.window is None:
            sides = (up(length, MULTIPLE) * MULTIPLE for length in x.shape[-2:])
            height, width = (larger(side, self.pyramid.least) for side in sides)
            x = resampled(x, (height, width))
        return [resampled(self.pyramid.maps(x)[-1], (rows, columns))]


def atrous_encoder(encoder: str, bands: int, **options: Any) -> tuple[nn.Module, int]:
    """A timm encoder whose strides beyond 8 are dilations: image (B, C, H, W) → a list of its last features alone.

    Where timm has no such form of it, its coarser features are resampled instead.

    Returns:
        the encoder, and how many pixels to pad the image at the top and left: 0 where stems pad by half a kernel, 8 where they
        cut patches.

    Raises:
        SettingError: if timm has no such encoder, or it runs at no size.
    """
    import timm

    check_encoder(encoder)
    try:
        network: nn.Module = timm.create_model(
            encoder, features_only=True, output_stride=STRIDE, out_indices=(-1,), in_chans=bands, **options
        )
        found = _features_of_33(network, bands)
        if found in ((5, 5), (4, 4)):
            return network, 0 if found == (5, 5) else PATCH_SHIFT
    except (AssertionError, NotImplementedError, RuntimeError):
        pass
    except TypeError as error:
        if "output_stride" not in str(error):
            raise
    return ResampledEncoder(encoder, bands, **options), 0


@torch.no_grad()
def _features_of_33(network: nn.Module, bands: int) -> tuple[int, ...]:
    """(h, w) of the features of an image of 33×33 pixels."""
    network.eval()
    found = tuple(network(torch.zeros(1, bands, 4 * STRIDE + 1, 4 * STRIDE + 1))[-1].shape[-2:])
    network.train()
    return found


def _scaled(length: int, scale: float) -> int:
    """8n + 1 pixels at a scale, to the nearest length on the grid: 321 → 241 at 0.75, 161 at 0.5."""
    return STRIDE * (((length - 1) // STRIDE * round(100 * scale) + 50) // 100) + 1


def _check(scales: Sequence[float], rates: Sequence[int]) -> None:
    if 1 not in scales or min(scales) < 0.25 or max(scales) > 2:
        raise SettingError(f"scales are 0.25 to 2, 1 among them, e.g. [1, 0.75, 0.5]; found {list(scales)}")
    if not rates or min(rates) < 1:
        raise SettingError(f"rates are dilations, 1 or more, e.g. [6, 12, 18, 24]; found {list(rates)}")
