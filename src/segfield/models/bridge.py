"""DECODER:ENCODER: the bridge to segmentation-models-pytorch's decoders, and DeepLab v2, on any timm encoder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from segfield.errors import SettingError, did_you_mean
from segfield.models.classifier import Classifier, pad_to_multiple
from segfield.models.deeplab_atrous import DeepLab
from segfield.models.depthwise import speed_up_depthwise
from segfield.models.encoders import check_encoder, load_encoder_file
from segfield.models.pretrained import FROM_HUB, first_line, pretrained_tensors, quiet_hub, unfetched

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


class BridgedClassifier(Classifier):
    """A decoder of segmentation-models-pytorch on a timm encoder; pads to multiples of 32 inside, crops after."""

    stride = 32
    margin = 64

    def __init__(self, network: nn.Module, bands: int, classes: int) -> None:
        super().__init__(bands, classes)
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        return self.network(pad_to_multiple(image, self.stride))[..., :height, :width]  # type: ignore[no-any-return]

    def encoder_parameters(self) -> list[nn.Parameter]:
        return list(self.network.encoder.parameters())  # type: ignore[union-attr]


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
    import segmentation_models_pytorch as smp

    from_hub = weights == FROM_HUB
    try:
        with quiet_hub():
            network = smp.create_model(
                decoder,
                encoder_name=f"tu-{encoder}",
                encoder_weights="imagenet" if from_hub else None,
                in_channels=bands,
                classes=classes,
                **options,
            )
    except (OSError, RuntimeError, ValueError, AssertionError) as error:
        if not from_hub or not isinstance(error, OSError | RuntimeError):
            raise SettingError(
                f"'{decoder}:{encoder}' cannot be built: {first_line(error)}; see the network's options"
            ) from error
        raise SettingError(unfetched(encoder, error)) from error
    if weights is not None and not from_hub:
        load_encoder_file(network.encoder.model, Path(weights), bands)
    classifier = BridgedClassifier(network, bands, classes)
    speed_up_depthwise(classifier)
    head = network.segmentation_head
    head[1] = PlanarUpsampling(head[1])
    return classifier
