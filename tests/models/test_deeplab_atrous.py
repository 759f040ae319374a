"""DeepLab v2: counts, the hole algorithm against the network at stride 32, several scales, encoders and their weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

from segfield.errors import FileFormatError, SettingError
from segfield.models import build_classifier
from segfield.models.deeplab_atrous import DeepLab, ResampledEncoder, atrous_encoder

RESNET101_WITHOUT_FC = 44_549_160 - 2_049_000
SMALL: dict[str, Any] = {"encoder": "resnet18", "layers": (1, 1, 1, 1), "channels": (4, 4, 8, 8)}


def test_the_published_form_has_its_parameters_and_size() -> None:
    with torch.device("meta"):
        network = build_classifier("deeplab_resnet101", 3, 21).train()
        logits, auxiliary = network(torch.zeros(2, 3, 321, 321))
    assert sum(p.numel() for p in network.parameters()) == RESNET101_WITHOUT_FC + 4 * (9 * 2048 + 1) * 21
    assert logits.shape == (2, 21, 41, 41)
    assert [(weight, tuple(one.shape)) for weight, one in auxiliary] == [(1.0, (2, 21, 41, 41))] * 3


@pytest.mark.parametrize("encoder", ["resnet18", "resnet26", "mobilenetv2_050", "efficientnet_lite0"])
def test_the_hole_algorithm_gives_the_features_of_stride_32_and_those_between(encoder: str) -> None:
    torch.manual_seed(0)
    options = {"pad_type": ""} if encoder.startswith("eff") else {}
    coarse = timm.create_model(encoder, features_only=True, out_indices=(-1,), **options).eval()
    fine = atrous_encoder(encoder, 3, **options)[0].eval()
    fine.load_state_dict(coarse.state_dict())
    image = torch.randn(1, 3, 97, 129)
    with torch.inference_mode():
        expected, given = coarse(image)[0], fine(image)[0]
    assert expected.shape[2:] == (4, 5)
    assert given.shape[2:] == (13, 17)
    torch.testing.assert_close(given[..., ::4, ::4], expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


def test_scales_are_fused_by_their_maximum() -> None:
    network = DeepLab(3, 4, **SMALL).eval()
    image = torch.randn(1, 3, 321, 161)
    with torch.inference_mode():
        every = []
        for size in ((321, 161), (241, 121), (161, 81)):  # those of Caffe's Interp at ¾ and ½
            seen = F.interpolate(image, size, mode="bilinear", align_corners=True)
            logits = sum(convolution(network.encoder(seen)[0]) for convolution in network.aspp)
            every.append(F.interpolate(logits, (41, 21), mode="bilinear", align_corners=True))
        expected = torch.stack(every).amax(0)
        torch.testing.assert_close(network(image)[..., ::8, ::8], expected)
    network.train()
    for module in network.modules():  # statistics as in evaluation
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    output = network(image)
    torch.testing.assert_close(output.logits, expected)
    for (weight, logits), own in zip(output.auxiliary, every, strict=True):
        assert weight == 1
        torch.testing.assert_close(logits, own)


def test_one_scale_has_one_loss_and_the_same_weights() -> None:
    several, one = DeepLab(3, 4, **SMALL), DeepLab(3, 4, scales=[1], **SMALL)
    one.load_state_dict(several.state_dict())
    image = torch.randn(2, 3, 65, 65)
    torch.testing.assert_close(one.eval()(image)[..., ::8, ::8], several.eval().scale_logits(image)[0])
    assert one.train()(image).auxiliary == []
    assert (one.stride, several.stride) == (8, 32)


@pytest.mark.parametrize("name", ["mobilenetv2_035", "efficientnet_b0", "convnext_atto", "regnety_002"])
@pytest.mark.parametrize("size", [(1, 1), (40, 75)])
def test_many_encoders_at_any_size(name: str, size: tuple[int, int]) -> None:
    network = build_classifier(f"deeplab:{name}", 2, 3, options={"scales": [1.0]}).eval()
    with torch.inference_mode():
        assert network(torch.randn(1, 2, *size)).shape == (1, 3, *size)
    inside = {id(p) for p in network.encoder_parameters()}
    assert all((id(p) in inside) == key.startswith("encoder.") for key, p in network.named_parameters())


@pytest.mark.parametrize("encoder", ["resnet18", "mobilenetv2_050", "convnext_atto", "inception_next_atto"])
def test_scores_look_around_their_own_pixel(encoder: str) -> None:
    """With kernels and an image that are the same when turned round, what moves the middle features is the middle pixels."""
    torch.manual_seed(0)
    network = DeepLab(1, 2, encoder, scales=(1.0,)).eval()
    network.aspp = nn.ModuleList([nn.Identity()])
    for parameter in network.encoder.parameters():
        if parameter.ndim == 4:
            parameter.data = (parameter.data + parameter.data.flip(2, 3)) / 2
    positions = torch.arange(113.0)
    bowl = ((positions - 56) / 56).square()
    image = (1 + bowl + bowl[:, None])[None, None].requires_grad_()
    network.grid_logits(image)[..., 7, 7].square().sum().backward()
    assert image.grad is not None
    weight = image.grad[0, 0].square()
    centre = [(weight.sum(1 - axis) * positions).sum().item() / weight.sum().item() for axis in (0, 1)]
    assert centre == pytest.approx([56, 56], abs=3)  # half a stride would be 4


def test_tensorflow_padding_is_symmetric_on_the_grid() -> None:
    same, plain = (
        build_classifier("deeplab:mobilenetv2_035", 3, 2, options={"pad_type": pad}).eval() for pad in ("same", "")
    )
    plain.load_state_dict(same.state_dict())
    image = torch.randn(1, 3, 60, 45)
    with torch.inference_mode():
        torch.testing.assert_close(same(image), plain(image))


@pytest.mark.parametrize(("encoder", "options"), [("vgg11", {}), ("test_vit", {}), ("test_mambaout", {})])
def test_features_of_encoders_without_an_atrous_form_are_resampled(encoder: str, options: dict[str, Any]) -> None:
    network, shift = atrous_encoder(encoder, 3, **options)
    assert isinstance(network, ResampledEncoder) and shift == 0
    with torch.inference_mode():
        assert network.eval()(torch.randn(1, 3, 33, 73))[0].shape[-2:] == (5, 10)


def test_resampled_features_lie_around_every_eighth_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is at the middle of the image is there too in the features, and mirrored images have mirrored features."""
    network = ResampledEncoder("test_vit", 1).eval()
    monkeypatch.setattr(network.pyramid, "maps", lambda x: [F.avg_pool2d(x, 4)])
    image = torch.randn(1, 1, 129, 129)
    with torch.inference_mode():
        (features,), (mirrored,) = network(image), network(image.flip(-1))
    assert features.shape == (1, 1, 17, 17)
    ramp = torch.linspace(0, 128, 129).expand(1, 1, 129, 129)
    torch.testing.assert_close(network(ramp)[0][0, 0, 8, 8], torch.tensor(64.0), atol=0.6, rtol=0)
    assert torch.corrcoef(torch.stack([features.flip(-1).flatten(), mirrored.flatten()]))[0, 1] > 0.5


def test_encoders_that_are_not_known_are_named() -> None:
    for name, options in (("deeplab:resnet188", {}), ("deeplab_resnet101", {"encoder": "resnet188"})):
        with pytest.raises(SettingError, match="encoder 'resnet188'"):
            build_classifier(name, 3, 2, options=options)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"scales": [0.5]}, "1 among them"),
        ({"scales": [1, 0.1]}, "0.25 to 2"),
        ({"rates": [0]}, "1 or more"),
        ({"no_such_thing": 1}, "no option 'no_such_thing'"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], match: str) -> None:
    with pytest.raises(SettingError, match=match):
        build_classifier("deeplab:resnet10t", 3, 2, options=options)


@pytest.mark.parametrize("encoder", ["mobilenetv2_035", "convnext_atto"])
def test_local_weights_arrive_in_the_encoder(encoder: str, tmp_path: Path) -> None:
    torch.manual_seed(3)
    published = timm.create_model(encoder, pretrained=False)
    save_file(published.state_dict(), tmp_path / "encoder.safetensors")
    network = build_classifier(f"deeplab:{encoder}", 3, 4, str(tmp_path / "encoder.safetensors"))
    stored = sorted(p.sum().item() for p in published.parameters())
    assert {p.sum().item() for p in network.encoder.parameters()} <= set(stored)
    assert network.mean == pytest.approx((0.485, 0.456, 0.406))
    grey = build_classifier(f"deeplab:{encoder}", 1, 4, str(tmp_path / "encoder.safetensors"))
    first, stored_first = next(grey.encoder.parameters()), next(published.parameters())
    torch.testing.assert_close(first, stored_first.sum(dim=1, keepdim=True))
    assert grey.mean is None
    with pytest.raises(FileFormatError, match="another encoder"):
        build_classifier("deeplab:resnet10t", 3, 4, str(tmp_path / "encoder.safetensors"))


@pytest.mark.shared
def test_the_real_imagenet_encoder_keeps_its_features(shared_data: Path) -> None:
    path = shared_data / "weights" / "mobilenetv2_100.imagenet.safetensors"
    network = build_classifier("deeplab:mobilenetv2_100", 3, 11, str(path), {"pad_type": "same"}).eval()
    published = timm.create_model("mobilenetv2_100", features_only=True, out_indices=(4,), pad_type="same").eval()
    published.load_state_dict(load_file(path), strict=False)
    image = torch.rand(1, 3, 129, 97)
    with torch.inference_mode():
        torch.testing.assert_close(network.encoder(image)[0][..., ::4, ::4], published(image)[0], rtol=1e-3, atol=1e-3)
