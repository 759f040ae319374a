"""Classifiers by name: what a name or an option that is not known answers."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from segfield.errors import SettingError
from segfield.models import CLASSIFIERS, build_classifier
from tests.models.networks import TINY


@pytest.mark.parametrize("name", sorted(CLASSIFIERS))
def test_every_name_builds_a_network_of_those_bands_and_classes(name: str) -> None:
    network = build_classifier(name, 2, 5, options=TINY[name]).eval()
    with torch.inference_mode():
        assert network(torch.zeros(1, 2, 20, 33)).shape == (1, 5, 20, 33)


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("unett", {}, "'unett'.*mean unet"),
        (
            "unet_padded",
            {"widht": 2},
            r"'widht'.*width\? .*dropout, levels, .*width",
        ),
        ("unet", {"levels": 2}, "'levels'.*dropout, width"),
        ("unet_padded", {"width": "two"}, "correct or leave out"),
        ("unet_padded", {"dropout": 3}, "dropout probability.*0 and 1.*3.*correct"),
        ("unet:resnet10t", {"depht": 2}, "'depht'.*leave it out"),
        ("deeplabv3plus:resnet10t", {"encoder_output_stride": 3}, "cannot be built: .*; see the network's options"),
    ],
)
def test_wrong_names_and_options_are_sentences(name: str, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingError, match=sentence):
        build_classifier(name, 3, 2, options=options)


def test_weights_for_a_network_without_an_encoder() -> None:
    with pytest.raises(SettingError, match=r"encoder.*leave out --weights"):
        build_classifier("unet", 3, 2, weights="imagenet")
