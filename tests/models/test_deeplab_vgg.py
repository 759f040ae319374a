"""DeepLab on VGG-16: published counts, the layer table written out a second time, the grid, and where weights go."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from segfield.errors import FileFormatError, SettingError
from segfield.models import build_classifier
from segfield.models.classifier import Classifier
from segfield.models.deeplab_vgg import DeepLabMSc, DeepLabVGG

VGG16_WITHOUT_FC8 = 138_357_544 - 4_097_000
MSC_BRANCHES = sum((9 * c + 1) * 128 + 129 * 128 + 129 * 21 for c in (3, 64, 128, 256, 512))
SMALL = {"width": 2, "fc_channels": 4}


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("deeplab_largefov", 20_505_429),  # 20.5 M in the paper
        ("deeplab_aspp_l", 37_877_652),
        ("deeplab_aspp_s", 37_877_652),
        ("deeplab_7x7", VGG16_WITHOUT_FC8 + 4097 * 21),
        ("deeplab_4x4", VGG16_WITHOUT_FC8 + 4097 * 21 - 4096 * 512 * (7 * 7 - 4 * 4)),
        ("deeplab_msc_largefov", 20_505_429 + MSC_BRANCHES),
    ],
)
def test_published_forms_have_their_parameters(name: str, parameters: int) -> None:
    with torch.device("meta"):
        network = build_classifier(name, 3, 21)
        assert sum(p.numel() for p in network.parameters()) == parameters
        logits, auxiliary = network.train()(torch.zeros(1, 3, 321, 321))
    assert logits.shape == (1, 21, 41, 41)
    assert auxiliary == []


def table_5_1(network: Classifier, x: Tensor, fc6: dict[str, int], average: bool) -> Tensor:
    """The Caffe network layer by layer, in Caffe's ceil mode; weights in the order of the layers."""
    weights = iter(network.parameters())
    for convolutions, pool_stride, dilation in ((2, 2, 1), (2, 2, 1), (3, 2, 1), (3, 1, 1), (3, 1, 2)):
        for _ in range(convolutions):
            x = F.relu(F.conv2d(x, next(weights), next(weights), padding=dilation, dilation=dilation))
        x = F.max_pool2d(x, 3, pool_stride, padding=1, ceil_mode=True)
    if average:
        x = F.avg_pool2d(x, 3, 1, padding=1, count_include_pad=True)
    x = F.relu(F.conv2d(x, next(weights), next(weights), **fc6))
    x = F.relu(F.conv2d(x, next(weights), next(weights)))
    return F.conv2d(x, next(weights), next(weights))


@pytest.mark.parametrize(
    ("name", "fc6", "average"),
    [
        ("deeplab_largefov", {"padding": 12, "dilation": 12}, True),
        ("deeplab_4x4", {"padding": 6, "dilation": 4}, False),
        ("deeplab_7x7", {"padding": 12, "dilation": 4}, False),
    ],
)
def test_the_layers_are_those_of_the_table(name: str, fc6: dict[str, int], average: bool) -> None:
    network = build_classifier(name, 3, 5, options={"width": 4, "fc_channels": 8}).eval()
    image = torch.randn(2, 3, 73, 41)
    with torch.inference_mode():
        expected = table_5_1(network, image, fc6, average)
        torch.testing.assert_close(network.grid_logits(image), expected)
        # Caffe's Interp layer: every eighth pixel is a score, what lies between is on the line between two
        whole = network(image)
        torch.testing.assert_close(whole[..., ::8, ::8], expected)
        torch.testing.assert_close(whole[..., 4, 8], (expected[..., 0, 1] + expected[..., 1, 1]) / 2)


def test_training_logits_lie_where_the_labels_are_taken_at_every_size() -> None:
    network = DeepLabVGG(1, 2, width=1, fc_channels=1, dropout=0).train()
    for height in range(1, 90):
        image = torch.randn(1, 1, height, 98 - height)
        rows, columns = network(image).logits.shape[2:]
        strides = [-(-fine // coarse) for fine, coarse in zip(image.shape[2:], (rows, columns))]
        assert strides in ([8, 8], [1, 1])
        assert (rows, columns) == tuple((n - 1) // s + 1 for n, s in zip(image.shape[2:], strides))


def test_training_and_evaluation_agree_on_the_grid() -> None:
    network = DeepLabVGG(1, 2, dropout=0, **SMALL)
    image = torch.randn(1, 1, 70, 61)
    coarse = network.train()(image).logits
    torch.testing.assert_close(network.eval()(image)[..., ::8, ::8], coarse)


def test_aspp_is_the_sum_of_four_networks_of_one_rate() -> None:
    rates = (6, 12, 18, 24)
    together = build_classifier("deeplab_aspp_l", 3, 4, options=SMALL).eval()
    image = torch.randn(1, 3, 65, 65)
    total = torch.zeros(())
    for number, rate in enumerate(rates):
        one = DeepLabVGG(3, 4, rates=(rate,), pool5a=False, **SMALL).eval()
        own = {
            key.replace(f"heads.{number}.", "heads.0."): value
            for key, value in together.state_dict().items()
            if key.startswith(("trunk.", f"heads.{number}."))
        }
        one.load_state_dict(own)
        total = total + one(image)
    torch.testing.assert_close(together(image), total)


def test_msc_starts_from_largefov_and_adds_to_it() -> None:
    base = DeepLabVGG(3, 4, width=4, fc_channels=4).eval()
    network = DeepLabMSc(3, 4, width=4, fc_channels=4).eval()
    network.start_from(base.state_dict())
    image = torch.randn(1, 3, 41, 57)
    added = network(image) - base(image)
    assert added.abs().max() > 0
    with torch.no_grad():
        for branch in network.branches:
            branch[-1].weight.zero_()
    torch.testing.assert_close(network(image), base(image))


@pytest.mark.parametrize("name", ["deeplab_largefov", "deeplab_aspp_l", "deeplab_msc_largefov"])
def test_parameter_names_serve_patterns_of_rates(name: str) -> None:
    network = build_classifier(name, 3, 4, options={**SMALL, "norm": True})
    names = [key for key, _ in network.named_parameters()]
    fc8 = [key for key in names if fnmatchcase(key, "*.fc8.*")]
    assert len(fc8) == 2 * len(network.heads)
    encoder = {id(p) for p in network.encoder_parameters()}
    outside = {key for key, p in network.named_parameters() if id(p) not in encoder}
    trained = {key for key in names if not fnmatchcase(key, "trunk.*") and not fnmatchcase(key, "heads.*")}
    assert outside == trained | set(fc8)
    assert all(key.startswith("branches.") for key in trained)
    assert bool(trained) == (name == "deeplab_msc_largefov")


def test_score_layers_start_small() -> None:
    network = DeepLabMSc(3, 21)
    stds = [network.heads[0].fc8.weight, *(network.branches[4][n].weight for n in (0, 3, 6))]
    assert [w.std().item() for w in stds] == pytest.approx([0.01, 0.001, 0.005, 0.01], rel=0.05)
    assert not any(network.branches[4][n].bias.any() for n in (0, 3, 6))


def vgg16() -> dict[str, Tensor]:
    """Tensors by timm's names that take no memory: each one number, seen in every place."""
    tensors: dict[str, Tensor] = {}
    channels = 3
    for n, c in zip((0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28), (64,) * 2 + (128,) * 2 + (256,) * 3 + (512,) * 6):
        tensors[f"features.{n}.weight"] = torch.tensor(float(n)).expand(c, channels, 3, 3)
        tensors[f"features.{n}.bias"] = torch.tensor(n + 0.5).expand(c)
        channels = c
    tensors["pre_logits.fc1.weight"] = torch.arange(49.0).reshape(1, 1, 7, 7).expand(4096, 512, 7, 7)
    tensors["pre_logits.fc1.bias"] = torch.arange(4096.0)
    tensors["pre_logits.fc2.weight"] = torch.arange(4096.0)[:, None, None, None].expand(4096, 4096, 1, 1)
    tensors["pre_logits.fc2.bias"] = torch.arange(4096.0)
    return tensors


@pytest.mark.parametrize(("name", "first_row"), [("deeplab_largefov", [0.0, 3, 6]), ("deeplab_4x4", [0.0, 2, 4, 6])])
def test_imagenet_weights_are_decimated(name: str, first_row: list[float]) -> None:
    network = build_classifier(name, 3, 2, options={"fc_channels": 1024})
    network.load_pretrained(vgg16())
    head = network.heads[0]
    assert head.fc6.weight[5, 6, 0].tolist() == first_row
    assert head.fc6.weight[5, 6, :, 0].tolist() == [7 * tap for tap in first_row]
    assert head.fc6.bias.tolist() == list(range(0, 4096, 4))
    assert head.fc7.weight[7].unique().item() == 28
    assert network.trunk[4][4].bias.unique().item() == 28.5


def test_every_aspp_head_starts_as_largefov_does() -> None:
    network = build_classifier("deeplab_aspp_s", 5, 2)
    network.load_pretrained(vgg16())
    for head in network.heads:
        assert head.fc6.weight[0, 0].flatten().tolist() == [0, 3, 6, 21, 24, 27, 42, 45, 48]
    assert network.trunk[0][2].weight.unique().item() == 2
    assert not torch.equal(network.heads[0].fc8.weight, network.heads[1].fc8.weight)


def test_narrow_networks_refuse_imagenet_weights() -> None:
    with pytest.raises(FileFormatError, match="ImageNet weights fit"):
        DeepLabVGG(3, 2, width=32).load_pretrained(vgg16())


def test_a_tile_is_seamless_beyond_its_margin() -> None:
    network = DeepLabVGG(1, 2, **SMALL).eval()
    image = torch.randn(1, 1, 481, 49)
    with torch.inference_mode():
        whole, lower = network(image), network(image[..., 160:, :])
    assert network.margin < 320
    torch.testing.assert_close(whole[..., 160 + network.margin :, :], lower[..., network.margin :, :])
    assert not torch.allclose(whole[..., 160:240, :], lower[..., :80, :])


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"width": 0}, "width is 1 to 512"),
        ({"kernel": 5}, "3, 4 or 7; found 5"),
        ({"rates": []}, "one a head"),
        ({"kernel": 4, "rates": [3]}, "even for a kernel of 4"),
        ({"dropuot": 0.1}, "did you mean dropout"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], word: str) -> None:
    with pytest.raises(SettingError, match=word):
        build_classifier("deeplab_largefov", 3, 2, options=options)
