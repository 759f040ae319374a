"""DECODER:ENCODER: the bridge to segmentation-models-pytorch's decoders, and DeepLab v2, on any timm encoder."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from segfield.errors import SettingError, did_you_mean
from segfield.models.classifier import Classifier, pad_to_multiple
from segfield.models.deeplab_atrous import DeepLab
from segfield.models.depthwise import speed_up_depthwise
from segfield.models.dpt import DPTNetwork
from segfield.models.encoders import check_encoder, load_encoder_file
from segfield.models.pretrained import FROM_HUB, first_line, pretrained_tensors, quiet_hub, unfetched
from segfield.models.pyramid import MULTIPLE, PyramidEncoder

DECODERS = (
    "deeplab",
    "unet",
    "unetplusplus",
    "manet",
    "linknet",
    "fpn",
    "pspnet",
    "deeplabv3",
    "deeplabv3plus",
    "pan",
    "upernet",
    "segformer",
    "dpt",
)
"""segmentation-models-pytorch's, but for deeplab, which is models/deeplab_atrous.py."""

PAN_LEAST = 8
"""Of the coarsest features' pixels a side: pan halves them three times."""

OLD_OPTIONS = ("decoder_use_batchnorm", "psp_use_batchnorm", "upscale_mode")
"""Former names of segmentation-models-pytorch's options, which it still takes."""

OWN_ENCODER = "segfield"
"""The name under which segmentation-models-pytorch finds our encoder while a model is assembled."""


class BridgedClassifier(Classifier):
    """A decoder on a timm encoder; pads to multiples of 32, and to what the network needs at least, inside, crops after.

    Args:
        network: with `encoder`, a `PyramidEncoder`.
        bands, classes: C and K.

    Attributes:
        least: pixels a side that network and decoder need.
    """

    stride = MULTIPLE
    margin = 64

    def __init__(self, network: nn.Module, bands: int, classes: int) -> None:
        super().__init__(bands, classes)
        self.network = network
        self.least = self.encoder.least
        if self.encoder.window is not None:
            self.stride = math.lcm(*self.encoder.window)  # tiles are to meet the same windows

    @property
    def encoder(self) -> PyramidEncoder:
        encoder: PyramidEncoder = self.network.encoder  # type: ignore[assignment]
        return encoder

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        padded = pad_to_multiple(image, MULTIPLE, self.least)
        return self.network(padded)[..., :height, :width]  # type: ignore[no-any-return]

    def encoder_parameters(self) -> list[nn.Parameter]:
        return list(self.encoder.parameters())


class PlanarUpsampling(nn.Module):
    """The decoder's last upsampling, on logits laid out class by class: quicker for it and for the loss (channels-last is
    for convolutions, and the logits of K classes are the largest tensor of a step).
    """

    def __init__(self, upsampling: nn.Module) -> None:
        super().__init__()
        self.upsampling = upsampling

    def forward(self, logits: Tensor) -> Tensor:
        return self.upsampling(logits.contiguous())  # type: ignore[no-any-return]


def bridged_classifier(name: str, bands: int, classes: int, weights: str | None = None, **options: Any) -> Classifier:
    """Build DECODER:ENCODER.

    Args:
        name: e.g. `deeplabv3plus:mobilenetv2_100`.
        bands: C; the first convolution's weights are adapted where it is not 3 (timm's rule: summed or repeated).
        classes: K.
        weights: None, 'imagenet' (fetched by timm), or the path of a safetensors file of the encoder.
        options: of the decoder (`decoder_channels`, `encoder_output_stride`, …) or the encoder (`pad_type`, …).

    Raises:
        SettingError: for an unknown decoder or encoder, or weights that cannot be had.
    """
    import timm

    decoder, _, encoder = name.partition(":")
    if decoder not in DECODERS:
        raise SettingError(f"there is no decoder '{decoder}'; {did_you_mean(decoder, DECODERS)}")
    check_encoder(encoder)
    classifier: Classifier
    if decoder == "deeplab":
        classifier = DeepLab(bands, classes, encoder, **options)
        if weights is not None:
            classifier.load_pretrained(pretrained_tensors(encoder, weights))
    else:
        classifier = _from_library(decoder, encoder, bands, classes, weights, options)
    if weights is not None and bands == 3:
        published = timm.get_pretrained_cfg(encoder)
        classifier.mean, classifier.std = tuple(published.mean), tuple(published.std)
    return classifier


def _from_library(
    decoder: str, encoder: str, bands: int, classes: int, weights: str | None, options: Mapping[str, Any]
) -> BridgedClassifier:
    from_hub = weights == FROM_HUB
    own, encoders = _split(decoder, options)
    build = functools.partial(PyramidEncoder, encoder, bands, pretrained=from_hub, **encoders)
    try:
        with quiet_hub():
            network = (
                DPTNetwork(build(), classes, **own) if decoder == "dpt" else _assemble(decoder, build, classes, own)
            )
    except (OSError, RuntimeError, ValueError, AssertionError) as error:
        if not from_hub or not isinstance(error, OSError | RuntimeError):
            raise SettingError(
                f"'{decoder}:{encoder}' cannot be built: {first_line(error)}; see the network's options"
            ) from error
        raise SettingError(unfetched(encoder, error)) from error
    classifier = BridgedClassifier(network, bands, classes)
    if decoder == "pan":
        classifier.least = max(classifier.least, PAN_LEAST * classifier.encoder.output_stride)
    if weights is not None and not from_hub:
        classifier.weights_told = load_encoder_file(classifier.encoder.whole, Path(weights), bands)
    speed_up_depthwise(classifier)
    head: Any = network.segmentation_head
    head[1] = PlanarUpsampling(head[1])
    return classifier


def _split(decoder: str, options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The decoder's options, and those left for the encoder."""
    import segmentation_models_pytorch as smp

    kind = DPTNetwork if decoder == "dpt" else smp.MODEL_ARCHITECTURES_MAPPING[decoder]
    known = inspect.signature(kind.__init__).parameters
    for taken in ("depth", "output_stride", "pretrained"):
        if taken in options:
            raise SettingError(
                f"there is no option '{taken}'; give encoder_{taken} where the decoder takes it, or --weights"
            )
    own = {key: value for key, value in options.items() if key in known or key in OLD_OPTIONS}
    return own, {key: value for key, value in options.items() if key not in own}


def _assemble(decoder: str, encoder: Callable[..., nn.Module], classes: int, options: Mapping[str, Any]) -> nn.Module:
    """A model of segmentation-models-pytorch on an encoder of ours, by the table in which it looks encoders up."""
    import segmentation_models_pytorch as smp

    smp.encoders.encoders[OWN_ENCODER] = {"encoder": encoder, "params": {}, "pretrained_settings": {}}
    try:
        network: nn.Module = smp.create_model(
            decoder, encoder_name=OWN_ENCODER, encoder_weights=None, classes=classes, **options
        )
        return network
    finally:
        del smp.encoders.encoders[OWN_ENCODER]
