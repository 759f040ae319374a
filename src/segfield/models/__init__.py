"""Classifiers by name: image (B, C, H, W) → logits (B, K, H, W) at the image's own size, for any H and W."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

from segfield.errors import SettingError, did_you_mean
from segfield.models.classifier import Classifier
from segfield.models.deeplab_atrous import DeepLab
from segfield.models.deeplab_vgg import DeepLabMSc, DeepLabVGG
from segfield.models.dilation import Dilation
from segfield.models.encoder_decoder import SCNET, EncoderDecoder, SegNetBasic
from segfield.models.farabet import Farabet
from segfield.models.fcn import FCN
from segfield.models.icnet import ICNet
from segfield.models.pretrained import pretrained_tensors
from segfield.models.unet import PaddedUNet, UNet

BRIDGE_MARK = ":"

CLASSIFIERS: dict[str, Callable[..., Classifier]] = {
    "deeplab_largefov": DeepLabVGG,
    "deeplab_4x4": functools.partial(DeepLabVGG, kernel=4, rates=(4,), pool5a=False),
    "deeplab_7x7": functools.partial(DeepLabVGG, kernel=7, rates=(4,), pool5a=False),
    "deeplab_msc_largefov": DeepLabMSc,
    "deeplab_aspp_s": functools.partial(DeepLabVGG, rates=(2, 4, 8, 12), pool5a=False),
    "deeplab_aspp_l": functools.partial(DeepLabVGG, rates=(6, 12, 18, 24), pool5a=False),
    "deeplab_resnet101": DeepLab,
    "dilation_front_end": functools.partial(Dilation, context="none"),
    "dilation7": functools.partial(Dilation, layers=7),
    "dilation8": functools.partial(Dilation, layers=8),
    "dilation10": functools.partial(Dilation, layers=10),
    "farabet": Farabet,
    "fcn32s": functools.partial(FCN, finest=32),
    "fcn16s": functools.partial(FCN, finest=16),
    "fcn8s": FCN,
    "fcn8s_at_once": functools.partial(FCN, at_once=True),
    "icnet": ICNet,
    "scnet": functools.partial(EncoderDecoder, **SCNET),
    "segnet": EncoderDecoder,
    "segnet_basic": SegNetBasic,
    "unet": UNet,
    "unet_padded": PaddedUNet,
}


def build_classifier(
    name: str, bands: int, classes: int, weights: str | None = None, options: Mapping[str, Any] | None = None
) -> Classifier:
    """A classifier by its name, or DECODER:ENCODER, e.g. `deeplabv3plus:mobilenetv2_100` (any timm encoder).

    Args:
        name: a key of `CLASSIFIERS`, or DECODER:ENCODER.
        bands: C, channels of the image.
        classes: K.
        weights: for encoders, None, 'imagenet' (timm's hub) or the path of a safetensors file.
        options: keyword arguments of the network, e.g. {'width': 32}.

    Raises:
        SettingError: if the name, an option or the weights are not known.
    """
    given = dict(options or {})
    try:
        if BRIDGE_MARK in name:
            from segfield.models.bridge import bridged_classifier

            return bridged_classifier(name, bands=bands, classes=classes, weights=weights, **given)
        if name not in CLASSIFIERS:
            from segfield.models.bridge import DECODERS

            known = [*CLASSIFIERS, *(f"{decoder}:ENCODER" for decoder in DECODERS)]
            raise SettingError(f"there is no model '{name}'; {did_you_mean(name, known)}")
        classifier = CLASSIFIERS[name](bands=bands, classes=classes, **given)
    except (TypeError, ValueError) as error:
        raise SettingError(
            f"model '{name}' does not take the options {given}: {_reason(error, CLASSIFIERS.get(name))}"
        ) from error
    if weights is not None:
        _load_pretrained(classifier, name, weights)
    return classifier


def takes_pretrained(name: str) -> bool:
    """Whether the network of this name can begin with ImageNet weights; True for what is not known."""
    network = CLASSIFIERS.get(name)
    while isinstance(network, functools.partial):
        network = network.func
    return network is None or getattr(network, "pretrained", None) is not None


def _load_pretrained(classifier: Classifier, name: str, weights: str) -> None:
    if classifier.pretrained is None:
        raise SettingError(f"model '{name}' has no pretrained encoder; leave out --weights, or use DECODER:ENCODER")
    classifier.load_pretrained(pretrained_tensors(classifier.pretrained, weights))
    if classifier.bands == 3:
        import timm

        published = timm.get_pretrained_cfg(classifier.pretrained)
        classifier.mean, classifier.std = tuple(published.mean), tuple(published.std)


def _reason(error: Exception, network: Callable[..., Classifier] | None) -> str:
    unknown = re.search(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'", str(error))
    if unknown is None:
        return f"{str(error).rstrip('.')}; correct or leave out that option"
    own = [key for key in inspect.signature(network).parameters if key not in ("bands", "classes")] if network else []
    return f"there is no option '{unknown[2]}'; {did_you_mean(unknown[2], own) if own else 'leave it out'}"
