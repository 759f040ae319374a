"""The bridge: decoders on timm encoders, local weights, bands, sizes, and refusals."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import segmentation_models_pytorch as smp
import timm
import torch
from safetensors.torch import load_file, save_file

from segfield.errors import FileFormatError, SettingError
from segfield.models import build_classifier
from segfield.models.bridge import DECODERS, BridgedClassifier
from segfield.models.classifier import Classifier, TrainingOutput

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


NARROW = (8, 8, 8, 8, 8)
SMALL: dict[str, dict[str, object]] = {
    "deeplab": {"scales": (1.0,)},
    "unet": {"decoder_channels": NARROW},
    "unetplusplus": {"decoder_channels": NARROW},
    "manet": {"decoder_channels": NARROW, "decoder_pab_channels": 8},
    "linknet": {},
    "fpn": {"decoder_pyramid_channels": 32, "decoder_segmentation_channels": 64},
    "pspnet": {"psp_out_channels": 16},
    "deeplabv3": {"decoder_channels": 8},
    "deeplabv3plus": {"decoder_channels": 8},
    "pan": {"decoder_channels": 8},
    "upernet": {"decoder_channels": 8},
    "segformer": {"decoder_segmentation_channels": 8},
    "dpt": {"decoder_intermediate_channels": (8, 8, 8, 8), "decoder_fusion_channels": 8},
}
ENCODERS: dict[str, dict[str, object]] = {
    "test_resnet": {},
    "test_vit": {},
    "swin_tiny_patch4_window7_224": {
        "embed_dim": 8,
        "depths": (1, 1, 1, 1),
        "num_heads": (1, 1, 2, 2),
        "window_size": 2,
    },
}
"""A convolutional network, a plain vision transformer and one with stages, as small as timm has them."""

on_every_encoder = pytest.mark.parametrize("encoder", ENCODERS)


def small(decoder: str, encoder: str) -> Classifier:
    torch.manual_seed(0)
    return build_classifier(
        f"{decoder}:{encoder}", 3, 4, options={**SMALL[decoder], **{**ENCODERS, **ODD, **STAGED}[encoder]}
    )


def test_every_decoder_has_a_small_form() -> None:
    assert set(SMALL) == set(DECODERS)


@on_every_encoder
@pytest.mark.parametrize("decoder", DECODERS)
def test_every_decoder_trains_and_predicts_on_every_kind_of_encoder(decoder: str, encoder: str) -> None:
    network = small(decoder, encoder)
    optimiser = torch.optim.SGD(network.parameters(), lr=1e-3)
    image, labels = torch.randn(2, 3, 64, 96), torch.randint(0, 4, (2, 64, 96))
    network.train()
    for _ in range(2):
        optimiser.zero_grad()
        output = network(image)
        logits = output.logits if isinstance(output, TrainingOutput) else output
        step = 64 // logits.shape[-2]
        torch.nn.functional.cross_entropy(logits, labels[:, ::step, ::step]).backward()
        optimiser.step()
    assert not [key for key, parameter in network.named_parameters() if parameter.grad is None]
    network.eval()
    for size in ((53, 131), (1, 1)):
        with torch.inference_mode():
            predicted = network(torch.randn(1, 3, *size))
        assert predicted.shape == (1, 4, *size) and torch.isfinite(predicted).all()


ODD: dict[str, dict[str, object]] = {
    "test_vit_relpos": {"img_size": 64},
    "vit_tiny_patch16_224": {"patch_size": 14, "embed_dim": 24},
}
"""What sees window by window, and what has the image made larger for its patches."""

STAGED: dict[str, dict[str, object]] = {
    "pvt_v2_b0": {"embed_dims": (8, 8, 8, 8), "depths": (1, 1, 1, 1), "num_heads": (1, 1, 2, 2)}
}
"""A transformer with stages that torch's exporter takes a minute for; for a Swin it takes many."""

PAIRS = [(decoder, encoder) for decoder in DECODERS for encoder in ("test_resnet", "test_vit")]
PAIRS += [("segformer", odd) for odd in ODD] + [("fpn", staged) for staged in STAGED]


@pytest.mark.thorough
@pytest.mark.parametrize(("decoder", "encoder"), PAIRS)
def test_every_decoder_is_exported_with_every_kind_of_encoder(decoder: str, encoder: str, tmp_path: Path) -> None:
    ort = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from segfield.inference.export import export_onnx

    network = small(decoder, encoder).eval()
    session = ort.InferenceSession(str(export_onnx(network, tmp_path / "network.onnx")))
    for size in ((33, 64), (97, 201)):
        image = torch.randn(1, 3, *size)
        with torch.inference_mode():
            expected = network(image)
        found = torch.from_numpy(session.run(None, {"image": image.numpy()})[0])
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_names_of_earlier_segmenter_files_stay() -> None:
    """What segmentation-models-pytorch calls the tensors of its own encoder from timm, which files of older segfields have."""
    theirs = smp.Unet("tu-mobilenetv2_050", encoder_weights=None, classes=5)
    ours = build_classifier("unet:mobilenetv2_050", 3, 5)
    names = [key.removeprefix("network.").replace("upsampling.", "") for key in ours.state_dict()]
    assert names == list(theirs.state_dict())
