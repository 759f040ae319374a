"""VGG-16 as a trunk: its counts, and its weights as timm's and torchvision's networks compute with them."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from timm.models.vgg import VGG
from torch import Tensor, nn

from segfield.errors import FileFormatError, SettingError
from segfield.models.vgg import BLOCKS, _without_prefix, block_widths, he_initialise, transplant_vgg16, vgg_block
from tests.models.published_weights import stand_in, stand_ins

NARROW = [2, 2, "M", 4, 4, "M", 8, 8, 8, "M", 16, 16, 16, "M", 16, 16, 16, "M"]


def trunk(width: int = 2, bands: int = 3, norm: bool = False) -> list[nn.Module]:
    widths = block_widths(width)
    blocks = [vgg_block(a, b, n, norm=norm) for a, b, (_, n) in zip([bands, *widths], widths, BLOCKS)]
    return [block.eval() for block in blocks]


def features(blocks: list[nn.Module], x: Tensor) -> Tensor:
    for block in blocks:
        x = F.max_pool2d(block(x), 2)
    return x


def narrow_vgg(norm: bool) -> nn.Module:
    """timm's VGG-16 of narrow convolutions, with random biases and statistics."""
    network = VGG(cfg=NARROW, mlp_ratio=1 / 64, norm_layer=nn.BatchNorm2d if norm else None).eval()
    for value in network.state_dict().values():
        if value.ndim == 1:
            nn.init.uniform_(value, 0.1, 0.6)
        elif value.ndim == 4:
            nn.init.normal_(value, std=0.5)
    return network


def test_the_trunk_has_as_many_parameters_as_timms() -> None:
    with torch.device("meta"):
        own, published = trunk(64), timm.create_model("vgg16")
    count = sum(p.numel() for block in own for p in block.parameters())
    assert count == sum(p.numel() for p in published.features.parameters()) == 14_714_688


def test_a_block_pads_dilates_and_normalises_where_it_is_told() -> None:
    block = vgg_block(3, 5, 2, padding=4, first_padding=100, dilation=4, norm=True)
    assert [type(layer) for layer in block] == 2 * [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]
    assert block(torch.randn(2, 3, 9, 10)).shape == (2, 5, 9 + 200 - 8, 10 + 200 - 8)


def test_he_initialisation_keeps_the_variance() -> None:
    block = vgg_block(64, 256, 1)
    nn.init.ones_(block[0].bias)
    he_initialise(block)
    assert block[0].weight.std().item() == pytest.approx(math.sqrt(2 / (9 * 64)), rel=0.02)
    assert not block[0].bias.any()


def test_the_papers_widths() -> None:
    assert block_widths() == [64, 128, 256, 512, 512]
    with pytest.raises(SettingError, match=r"width .* found 0"):
        block_widths(0)


@pytest.mark.parametrize(("weights_norm", "own_norm"), [(False, False), (True, True), (False, True)])
def test_the_filled_trunk_computes_what_timms_does(weights_norm: bool, own_norm: bool) -> None:
    """Convolutions before batch norm have no bias here and one in vgg16_bn; the result is the same."""
    published, blocks = narrow_vgg(weights_norm), trunk(norm=own_norm)
    transplant_vgg16(blocks, published.state_dict())
    image = torch.randn(2, 3, 64, 96)
    with torch.inference_mode():
        expected = published.features(image)
        assert expected.std() > 0.01
        torch.testing.assert_close(features(blocks, image), expected, rtol=1e-3, atol=1e-4 * float(expected.max()))


def test_batch_norm_that_the_trunk_lacks_is_refused() -> None:
    with pytest.raises(FileFormatError, match=r"network has none.*timm's vgg16"):
        transplant_vgg16(trunk(), narrow_vgg(norm=True).state_dict())


@pytest.mark.parametrize("bands", [1, 6])
def test_other_bands_respond_alike_to_an_image_repeated_over_them(bands: int) -> None:
    tensors, image = narrow_vgg(norm=False).state_dict(), torch.randn(1, 1, 32, 32)
    rgb, other = trunk(), trunk(bands=bands)
    transplant_vgg16(rgb, tensors)
    transplant_vgg16(other, tensors)
    with torch.inference_mode():
        expected = features(rgb, image.expand(-1, 3, -1, -1))
        torch.testing.assert_close(features(other, image.expand(-1, bands, -1, -1)), expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("library", "fc6", "fc7"),
    [
        (timm.create_model, "pre_logits.fc1", "pre_logits.fc2"),
        (torchvision.models.get_model, "classifier.0", "classifier.3"),
    ],
)
def test_either_librarys_names_are_known(library: Callable[[str], nn.Module], fc6: str, fc7: str) -> None:
    with torch.device("meta"):
        published = library("vgg16")
    tensors = stand_ins(published)
    blocks, first, second = trunk(64), nn.Conv2d(512, 16, 7), nn.Conv2d(16, 16, 1)
    transplant_vgg16(blocks, tensors, fc6=first, fc7=second)
    # 16 of 4096: every 256th
    torch.testing.assert_close(first.weight[3].flatten(), tensors[f"{fc6}.weight"][768].flatten())
    torch.testing.assert_close(second.weight[3].flatten(), tensors[f"{fc7}.weight"][768].flatten()[::256])
    torch.testing.assert_close(second.bias[3], tensors[f"{fc7}.bias"][768])
    torch.testing.assert_close(blocks[4][4].weight, tensors["features.28.weight"])


def test_subsampled_fc6_and_fc7_are_the_full_ones_with_the_rest_zeroed() -> None:
    """LargeFOV's 1024 filters of 3×3 at dilation 12 against 4096 of 7×7 at dilation 4, other taps and channels at zero."""
    tensors = stand_ins(VGG(cfg=NARROW, mlp_ratio=1 / 64).to("meta"))
    kernel6, kernel7 = stand_in(4096, 512, 7, 7), stand_in(4096, 4096, 1, 1)
    tensors |= {"pre_logits.fc1.weight": kernel6, "pre_logits.fc1.bias": stand_in(4096)}
    tensors |= {"pre_logits.fc2.weight": kernel7, "pre_logits.fc2.bias": stand_in(4096)}
    fc6, fc7 = nn.Conv2d(512, 1024, 3, dilation=12), nn.Conv2d(1024, 1024, 1)
    transplant_vgg16(trunk(), tensors, fc6=fc6, fc7=fc7, fc6_taps=(0, 3, 6))
    x = torch.randn(1, 512, 25, 27)
    kept = torch.zeros(7, 7)
    kept[::3, ::3] = 1
    with torch.inference_mode():
        expected6 = F.conv2d(x, kernel6[::4] * kept, tensors["pre_logits.fc1.bias"][::4], dilation=4)  # (1, 1024, 1, 3)
        torch.testing.assert_close(fc6(x), expected6, rtol=1e-3, atol=1e-2)
        spread = torch.zeros(1, 4096, 1, 3)
        spread[:, ::4] = expected6
        expected7 = F.conv2d(spread, kernel7, tensors["pre_logits.fc2.bias"])[:, ::4]
        torch.testing.assert_close(fc7(expected6), expected7, rtol=1e-3, atol=1e-1)


def test_weights_of_another_network_are_refused_in_words() -> None:
    good = dict(narrow_vgg(norm=False).state_dict())
    full6 = good | {"pre_logits.fc1.weight": stand_in(4096, 512, 7, 7), "pre_logits.fc1.bias": stand_in(4096)}
    fewer = {key: value for key, value in good.items() if not key.startswith("features.28.")}
    for tensors, width, fc6, words in (
        (fewer, 2, None, "12 convolutions.*features.N.weight.*13"),
        ({"layer1.0.conv1.weight": torch.zeros(64, 3, 7, 7)}, 2, None, "0 convolutions"),
        ({key: value for key, value in good.items() if key != "features.0.bias"}, 2, None, "lack features.0.bias"),
        (good, 4, None, "features.0 .*leave out.*options"),
        (good, 2, nn.Conv2d(512, 8, 7), "fully connected layer.*pre_logits.fc1 or classifier.0"),
        (full6, 2, nn.Conv2d(512, 1000, 7), "fc6 of the weights"),
    ):
        with pytest.raises(FileFormatError, match=words):
            transplant_vgg16(trunk(width), tensors, fc6=fc6)
    with pytest.raises(FileFormatError, match="fc6 of the weights"):
        transplant_vgg16(trunk(), full6, fc6=nn.Conv2d(512, 4097, 1), fc6_taps=[3])


def test_vgg16_is_found_behind_a_prefix() -> None:
    tensors = {"features.0.weight": torch.ones(1), "classifier.0.weight": torch.zeros(1)}
    behind = {f"encoder.{key}": value for key, value in tensors.items()} | {"decoder.weight": torch.ones(1)}
    assert _without_prefix(behind).keys() == tensors.keys() == _without_prefix(tensors).keys()
