"""timm's encoders: their names, and weights of a classification network under the names that features alone have."""

from __future__ import annotations

import pytest
import timm
import torch

from segfield.errors import FileFormatError, SettingError
from segfield.models.encoders import check_encoder, load_encoder_tensors


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
