"""timm's encoders: their names, and weights of a classification network under the names that features alone have."""

from __future__ import annotations

from typing import Any

import pytest
import segmentation_models_pytorch as smp
import timm
import torch
import torchvision

from segfield.errors import FileFormatError, SettingError
from segfield.models.encoders import check_encoder, load_encoder_tensors
from segfield.models.pyramid import PyramidEncoder


def test_an_encoder_is_known_or_its_neighbours_are_named() -> None:
    check_encoder("resnet18")
    with pytest.raises(SettingError, match=r"encoder 'resnet81'.*mean resnet18"):
        check_encoder("resnet81")


@pytest.mark.parametrize("bands", [1, 3])
def test_a_classification_network_fills_its_features(bands: int) -> None:
    """ConvNeXt's features call their stages `stages_0.` …; the last of them is what the classification network computes."""
    torch.manual_seed(0)
    whole = timm.create_model("convnext_atto", pretrained=False).eval()
    features = timm.create_model("convnext_atto", pretrained=False, features_only=True, in_chans=bands).eval()
    load_encoder_tensors(features, whole.state_dict(), bands, "it")
    image = torch.randn(1, bands, 64, 64)
    with torch.inference_mode():
        expected = whole.stages(whole.stem(image.expand(-1, 3, -1, -1) if bands == 1 else image))
        torch.testing.assert_close(features(image)[-1], expected, rtol=1e-4, atol=1e-4)


def test_another_encoders_weights_are_refused() -> None:
    features = timm.create_model("resnet18", pretrained=False, features_only=True)
    other = timm.create_model("mobilenetv2_050", pretrained=False).state_dict()
    with pytest.raises(FileFormatError, match=r"some file.*another encoder"):
        load_encoder_tensors(features, other, 3, "some file")


def _resnet18() -> torch.nn.Module:
    return timm.create_model("resnet18", pretrained=False, features_only=True)


@pytest.mark.parametrize(
    ("prefix", "whole"),
    [
        ("", lambda: torchvision.models.resnet18(weights=None)),
        ("backbone.", lambda: torch.nn.ModuleDict({"backbone": torchvision.models.resnet18(weights=None)})),
        ("encoder.", lambda: smp.Unet("resnet18", encoder_weights=None)),
        ("encoder.model.", lambda: smp.Unet("tu-resnet18", encoder_weights=None)),
        ("module.encoder.", lambda: torch.nn.ModuleDict({"module": smp.FPN("resnet18", encoder_weights=None)})),
    ],
)
def test_what_stands_before_the_names_is_found(prefix: str, whole: Any) -> None:
    """Files of torchvision, of segmentation-models-pytorch, and of what wraps them, decoder and head included."""
    tensors, encoder = whole().state_dict(), _resnet18()
    told = load_encoder_tensors(encoder, tensors, 3, "a.safetensors")
    own = {key: value for key, value in encoder.state_dict().items() if not key.endswith("num_batches_tracked")}
    assert all(torch.equal(value, tensors[prefix + key]) for key, value in own.items())
    assert f"{len(own)} of the encoder's {len(own)} tensors from a.safetensors" in told
    assert not prefix or prefix in told


def test_a_vision_transformer_takes_its_own_file_under_a_prefix() -> None:
    whole = timm.create_model("test_vit", pretrained=False)
    tensors = {f"backbone.{key}": value for key, value in whole.state_dict().items()}
    encoder = PyramidEncoder("test_vit", 3)
    load_encoder_tensors(encoder.whole, tensors, 3, "vit.safetensors")
    assert all(torch.equal(value, tensors[f"backbone.{key}"]) for key, value in encoder.whole.state_dict().items())


def test_of_two_networks_the_fitting_one_is_taken() -> None:
    wide, fitting = timm.create_model("resnet50"), timm.create_model("resnet18")
    tensors = {f"teacher.{key}": value for key, value in wide.state_dict().items()}
    tensors |= {f"student.{key}": value for key, value in fitting.state_dict().items()}
    encoder = _resnet18()
    assert "student." in load_encoder_tensors(encoder, tensors, 3, "both")
    assert torch.equal(encoder.conv1.weight, fitting.conv1.weight)


@pytest.mark.parametrize("lacking", ["layer4.1.bn2.weight", "conv1.weight"])
def test_few_are_never_loaded_in_silence(lacking: str) -> None:
    tensors = {f"encoder.{key}": value for key, value in timm.create_model("resnet18").state_dict().items()}
    del tensors[f"encoder.{lacking}"]
    with pytest.raises(FileFormatError, match=rf"1 are missing and 0 .*{lacking}"):
        load_encoder_tensors(_resnet18(), tensors, 3, "a file")


def test_other_names_are_refused() -> None:
    theirs = torchvision.models.mobilenet_v3_small(weights=None).state_dict()
    features = timm.create_model("mobilenetv3_small_100", pretrained=False, features_only=True)
    with pytest.raises(FileFormatError, match=r"are missing.*timm's names"):
        load_encoder_tensors(features, theirs, 3, "torchvision's")
