"""The bridge: decoders on timm encoders, local weights, bands, sizes, and refusals."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from segfield.errors import FileFormatError, SettingError
from segfield.models import build_classifier
from segfield.models.bridge import BridgedClassifier

NAME = "deeplabv3plus:mobilenetv2_100"


@pytest.fixture(scope="module")
def encoder_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A timm encoder's own state, as timm saves it: classifier and head included."""
    path = tmp_path_factory.mktemp("weights") / "encoder.safetensors"
    torch.manual_seed(3)
    save_file(timm.create_model("mobilenetv2_100", pretrained=False).state_dict(), path)
    return path


def test_local_weights_arrive_in_the_encoder(encoder_file: Path) -> None:
    network = build_classifier(NAME, 3, 4, str(encoder_file))
    stored = load_file(encoder_file)
    own = network.network.encoder.model.state_dict()
    assert torch.equal(own["conv_stem.weight"], stored["conv_stem.weight"])
    assert all(torch.equal(own[key], stored[key]) for key in own)
    assert network.mean == pytest.approx((0.485, 0.456, 0.406))
    assert network.std == pytest.approx((0.229, 0.224, 0.225))


def test_without_weights_the_scaling_is_left_to_the_data() -> None:
    assert build_classifier(NAME, 3, 4).mean is None


def test_first_convolution_is_adapted_to_the_bands(encoder_file: Path) -> None:
    network = build_classifier(NAME, 1, 4, str(encoder_file))
    stored = load_file(encoder_file)["conv_stem.weight"]
    own = network.network.encoder.model.conv_stem.weight
    torch.testing.assert_close(own, stored.sum(dim=1, keepdim=True))  # grey as R = G = B gives the same response


@pytest.mark.parametrize("size", [(1, 1), (33, 65), (64, 96)])
@pytest.mark.parametrize("bands", [1, 3, 7])
def test_any_size_and_bands(size: tuple[int, int], bands: int) -> None:
    network = build_classifier("unet:mobilenetv2_050", bands, 5).eval()
    with torch.inference_mode():
        assert network(torch.randn(2, bands, *size)).shape == (2, 5, *size)


def test_encoder_parameters_are_the_encoders() -> None:
    network = build_classifier(NAME, 3, 4)
    assert isinstance(network, BridgedClassifier)
    inside = {id(p) for p in network.encoder_parameters()}
    names = {name for name, p in network.named_parameters() if id(p) in inside}
    assert names
    assert all(name.startswith("network.encoder.") for name in names)
    assert len(inside) < len(list(network.parameters()))


def test_options_reach_the_encoder() -> None:
    same = build_classifier(NAME, 3, 4, options={"pad_type": "same"})
    plain = build_classifier(NAME, 3, 4)
    kinds = [type(n.network.encoder.model.conv_stem).__name__ for n in (same, plain)]
    assert kinds == ["Conv2dSame", "Conv2d"]


@pytest.mark.parametrize(
    ("name", "weights", "match"),
    [
        ("deeplabv3pluss:resnet18", None, r"did you mean deeplabv3plus"),
        ("unet:mobilenetv2_10", None, "timm has no encoder"),
        (NAME, "missing.safetensors", "no weights file"),
    ],
)
def test_unknown_parts_are_named(name: str, weights: str | None, match: str) -> None:
    with pytest.raises(SettingError, match=match):
        build_classifier(name, 3, 2, weights)


def test_pickled_weights_are_refused_unread(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path(tmp_path / "ran").touch, ())  # type: ignore[return-value]

    path = tmp_path / "weights.pth"
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(SettingError, match="can run code"):
        build_classifier(NAME, 3, 2, str(path))
    assert not (tmp_path / "ran").exists()


def test_weights_of_another_encoder_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file(timm.create_model("resnet18", pretrained=False).state_dict(), path)
    with pytest.raises(FileFormatError, match="another encoder"):
        build_classifier(NAME, 3, 2, str(path))


def test_truncated_weights_are_refused(tmp_path: Path, encoder_file: Path) -> None:
    path = tmp_path / "cut.safetensors"
    path.write_bytes(encoder_file.read_bytes()[:100_000])
    with pytest.raises(FileFormatError, match="not a whole safetensors file"):
        build_classifier(NAME, 3, 2, str(path))


@pytest.mark.shared
def test_the_real_imagenet_encoder_sees_edges(shared_data: Path) -> None:
    path = shared_data / "weights" / "mobilenetv2_100.imagenet.safetensors"
    network = build_classifier(NAME, 3, 11, str(path), {"pad_type": "same"})
    stored = load_file(path)
    own = network.network.encoder.model.state_dict()
    assert all(torch.equal(own[key], stored[key]) for key in own)
    assert sum(p.numel() for p in network.parameters()) == 2_714_203
