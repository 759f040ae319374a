"""SegNet, SegNet-Basic and SCNet: the papers' layers and counts, the options, and weights of VGG."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import vgg

from segfield.errors import FileFormatError, SettingError
from segfield.models import build_classifier
from segfield.models.classifier import Classifier
from segfield.models.encoder_decoder import EncoderDecoder, SegNetBasic

LAYERS = {11: "A", 13: "B", 16: "D", 19: "E"}  # columns of table 1 of the VGG paper

SEGNET = [
    *([(3, 64), (64, 64)], [(64, 128), (128, 128)], [(128, 256), (256, 256), (256, 256)]),
    *([(256, 512), (512, 512), (512, 512)], [(512, 512), (512, 512), (512, 512)]),
    *([(512, 512), (512, 512), (512, 512)], [(512, 512), (512, 512), (512, 256)]),
    *([(256, 256), (256, 256), (256, 128)], [(128, 128), (128, 64)], [(64, 64)]),
]


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def published(depth: int, norm: bool = False) -> nn.Sequential:
    """torchvision's convolutions of a VGG, with batch norm statistics as if it had been trained."""
    torch.manual_seed(0)
    features: nn.Sequential = vgg.make_layers(vgg.cfgs[LAYERS[depth]], batch_norm=norm)
    for module in features:
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
            nn.init.normal_(module.bias, std=0.1)  # type: ignore[arg-type]
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()  # type: ignore[union-attr]
            module.running_var.uniform_(1, 2)  # type: ignore[union-attr]
    return features.eval()


def named_as_timm(features: nn.Module) -> dict[str, Tensor]:
    return {f"features.{key}": value for key, value in features.state_dict().items()}


def encoded(network: EncoderDecoder, image: Tensor) -> Tensor:
    for convs in network.encoder:
        image = F.max_pool2d(convs(image), 2)
    return image


def test_segnet_has_the_papers_layers() -> None:
    with torch.device("meta"):
        network = build_classifier("segnet", 3, 11)
    groups = [*network.encoder, *network.decoder]  # type: ignore[misc]
    assert [[(m.in_channels, m.out_channels) for m in g if isinstance(m, nn.Conv2d)] for g in groups] == SEGNET
    kernels = sum(9 * c_in * c_out for group in SEGNET for c_in, c_out in group)
    norms = sum(2 * c_out for group in SEGNET for _, c_out in group)
    assert parameters(network) == kernels + norms + (9 * 64 + 1) * 11 == 29_441_419


def test_segnet_basic_has_the_papers_layers() -> None:
    with torch.device("meta"):
        network = build_classifier("segnet_basic", 3, 11)
    assert parameters(network) == 49 * 64 * (3 + 7 * 64) + 8 * 2 * 64 + (64 + 1) * 11 == 1_416_075
    assert [type(m).__name__ for conv in network.encoder for m in conv] == ["Conv2d", "BatchNorm2d", "ReLU"] * 4  # type: ignore[union-attr]
    assert [type(m).__name__ for conv in network.decoder for m in conv] == ["Conv2d", "BatchNorm2d"] * 4  # type: ignore[union-attr]


def test_scnet_is_transposed_and_has_elu_everywhere() -> None:
    with torch.device("meta"):
        network = build_classifier("scnet", 3, 11)
    assert not any(isinstance(module, nn.ReLU) for module in network.modules())
    assert sum(isinstance(module, nn.ELU) for module in network.modules()) == 13 + 12
    assert sum(isinstance(module, nn.ConvTranspose2d) for module in network.modules()) == 12
    assert parameters(network) == 29_441_419


@pytest.mark.parametrize("depth", LAYERS)
def test_the_encoder_is_that_vgg(depth: int) -> None:
    with torch.device("meta"):
        network = EncoderDecoder(3, 11, depth=depth, norm=False)
        expected = [p.shape for p in vgg.make_layers(vgg.cfgs[LAYERS[depth]]).parameters()]
    assert [p.shape for p in network.encoder_parameters()] == expected
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 2 * (depth - 3)  # as many in the decoder; VGG's number counts its three last layers too


def test_maps_of_odd_size_come_back_at_that_size() -> None:
    network, met = EncoderDecoder(3, 2, width=1).eval(), []
    for convs in network.decoder:
        convs.register_forward_hook(lambda module, inputs, output: met.append(tuple(inputs[0].shape[2:])))
    with torch.inference_mode():
        network(torch.randn(1, 3, 360, 480))
    assert met == [(23, 30), (45, 60), (90, 120), (180, 240), (360, 480)]


@pytest.mark.parametrize("upsampling", ["unpool", "transposed2", "transposed4", "bilinear"])
@pytest.mark.parametrize(
    "options", [{}, {"depth": 11, "decoder": "transposed"}, {"depth": 19, "norm": False, "activation": "elu"}]
)
def test_every_option_takes_any_size(upsampling: str, options: dict[str, Any]) -> None:
    network = EncoderDecoder(2, 3, width=2, upsampling=upsampling, **options).eval()
    for size in ((1, 1), (7, 50), (33, 64)):
        with torch.inference_mode():
            assert network(torch.randn(1, 2, *size)).shape == (1, 3, *size)


def test_a_transposed_decoder_is_the_other_written_differently() -> None:
    torch.manual_seed(0)
    network = EncoderDecoder(3, 4, width=2).eval()
    other = EncoderDecoder(3, 4, width=2, decoder="transposed").eval()
    tensors = network.state_dict()
    for key, value in tensors.items():
        if key.startswith("decoder") and value.ndim == 4:
            tensors[key] = value.transpose(0, 1).flip(2, 3)
    other.load_state_dict(tensors)
    image = torch.randn(1, 3, 45, 70)
    with torch.inference_mode():
        torch.testing.assert_close(other(image), network(image), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("depth", "norm"), [(16, False), (16, True), (11, False)])
def test_with_vggs_weights_the_encoder_is_vgg(depth: int, norm: bool) -> None:
    features = published(depth, norm)
    network = EncoderDecoder(3, 2, depth=depth, norm=norm).eval()
    network.load_pretrained(named_as_timm(features))
    image = torch.randn(1, 3, 64, 32)
    with torch.inference_mode():
        torch.testing.assert_close(encoded(network, image), features(image), rtol=1e-3, atol=1e-4)


def test_weights_of_another_depth_are_refused() -> None:
    with pytest.raises(FileFormatError, match=r"8 convolutions .* encoder 13; .* timm's vgg16"):
        EncoderDecoder(3, 2, width=2).load_pretrained(named_as_timm(published(11)))


def test_the_encoder_may_learn_at_its_own_rate() -> None:
    network = EncoderDecoder(3, 2, width=2)
    assert len(network.encoder_parameters()) == 13 * 3
    assert network.classify.weight not in set(network.encoder_parameters())


@pytest.mark.parametrize("network", [EncoderDecoder(3, 11, depth=11, width=32), SegNetBasic(3, 11)])
def test_first_weights_are_msra_and_first_shifts_a_thousandth(network: Classifier) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 10_000:
            incoming = module.in_channels * math.prod(module.kernel_size)
            assert module.weight.std().item() == pytest.approx(math.sqrt(2 / incoming), rel=0.03)
        if isinstance(module, nn.BatchNorm2d):
            assert set(module.weight.tolist()) == {1.0}
            assert module.bias.tolist() == pytest.approx([0.001] * module.num_features)


def test_dropout_falls_on_the_deepest_map_alone() -> None:
    network, met = EncoderDecoder(3, 2, width=2, dropout=0.5), []
    network.dropout.register_forward_hook(lambda module, inputs, output: met.append((inputs[0].shape, output)))
    network(torch.rand(2, 3, 96, 96))
    assert [shape for shape, _ in met] == [(2, 16, 3, 3)]
    assert sum(isinstance(module, nn.Dropout) for module in network.modules()) == 1


def test_segnet_basic_normalises_bytes_by_their_neighbours() -> None:
    """Caffe's formula, band by band: x / (1 + α/n · the sum of squares over n bands around it)^β, n = 5."""
    network, met = SegNetBasic(7, 2, width=2).eval(), []
    network.encoder[0].register_forward_hook(lambda module, inputs, output: met.append(inputs[0]))
    image = torch.rand(1, 7, 4, 6)
    scaled = (image - torch.tensor(network.mean).view(-1, 1, 1)) / torch.tensor(network.std).view(-1, 1, 1)
    torch.testing.assert_close(scaled, 255 * image)
    network(scaled)
    for band in range(7):
        around = scaled[:, max(0, band - 2) : band + 3].square().sum(dim=1)
        torch.testing.assert_close(met[0][:, band], scaled[:, band] / (1 + 1e-4 / 5 * around) ** 0.75)
    assert (met[0] < 0.8 * scaled).any()  # at this scale it does something


def test_segnet_basic_sees_no_further_than_its_margin() -> None:
    torch.manual_seed(0)
    network = SegNetBasic(1, 2, width=2).eval()
    image = 255 * torch.rand(1, 1, 480, 40)
    with torch.inference_mode():
        whole, lower = network(image), network(image[..., 160:, :])
    margin = network.margin
    torch.testing.assert_close(whole[..., 160 + margin :, :], lower[..., margin:, :], atol=1e-3, rtol=1e-3)
    assert not torch.allclose(whole[..., 160 : 160 + margin, :], lower[..., :margin, :], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"depth": 15}, "11, 13, 16, 19; found 15"),
        ({"activation": "rellu"}, "did you mean relu"),
        ({"upsampling": "unpol"}, "did you mean unpool"),
        ({"decoder": "deconv"}, "did you mean conv"),
        ({"width": 0}, "width"),
        ({"dropout": 2.0}, "dropout"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        build_classifier("segnet", 3, 2, options=options)
    with pytest.raises(SettingError, match="width"):
        build_classifier("segnet_basic", 3, 2, options={"width": 0})
