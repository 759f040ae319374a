"""U-Net: the paper's counts and geometry, and what every classifier promises."""

from __future__ import annotations

import math

import pytest
import torch

from segfield.errors import SettingError
from segfield.models import build_classifier
from segfield.models.unet import PaddedUNet, UNet


def test_paper_form_has_the_papers_parameters() -> None:
    network = UNet(bands=1, classes=2)
    assert sum(p.numel() for p in network.parameters()) == 31_030_658
    convolutions = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.ConvTranspose2d)]
    assert len(convolutions) == 23  # section 2: "in total the network has 23 convolutional layers"


@pytest.mark.parametrize(("size", "expected"), [(572, 388), (188, 4), (252, 68)])
def test_valid_form_shrinks_by_184(size: int, expected: int) -> None:
    network = UNet(bands=1, classes=2, width=4).eval()
    with torch.inference_mode():
        assert network.valid_logits(torch.zeros(1, 1, size, size)).shape == (1, 2, expected, expected)


@pytest.mark.parametrize("name", ["unet", "unet_padded"])
@pytest.mark.parametrize("size", [(1, 1), (1, 70), (45, 33), (64, 64), (130, 7)])
@pytest.mark.parametrize("bands", [1, 5])
def test_any_size_in_same_size_out(name: str, size: tuple[int, int], bands: int) -> None:
    network = build_classifier(name, bands, 3, options={"width": 2}).eval()
    with torch.inference_mode():
        assert network(torch.randn(2, bands, *size)).shape == (2, 3, *size)


def test_forward_is_the_valid_network_on_the_mirrored_image() -> None:
    network = UNet(bands=1, classes=2, width=2).eval()
    image = torch.randn(1, 1, 116, 100)
    mirrored = torch.nn.functional.pad(image, (92, 92, 92, 92), mode="reflect")
    with torch.inference_mode():
        torch.testing.assert_close(network(image), network.valid_logits(mirrored))


def test_the_interior_of_the_valid_form_does_not_depend_on_padding() -> None:
    network = UNet(bands=1, classes=2, width=2).eval()
    image = torch.randn(1, 1, 284, 284)
    with torch.inference_mode():
        whole = network(image)
        valid = network.valid_logits(image)
    # 284 − 184 = 100: the centre of the padded run sees the same pixels, on the same grid (92 is not a multiple of 16,
    # so the two runs only agree where the image was padded by a multiple of it: here they must differ somewhere)
    assert valid.shape[-1] == 100
    assert not torch.equal(whole[..., 92:192, 92:192], valid)


def test_with_symmetric_kernels_the_valid_form_turns_with_its_image() -> None:
    """Skips are cropped evenly: cut at another place than the centre, one side would be joined to the other's neighbours."""
    network = UNet(bands=1, classes=2, width=2).double().eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
                weight = module.weight.abs()  # with an image above 0, no ReLU is ever silent
                weight = weight + weight.flip(-1)
                module.weight.copy_((weight + weight.flip(-2)) / 4)
        image = torch.rand(1, 1, 188, 204, dtype=torch.float64)
        logits = network.valid_logits(image)
        torch.testing.assert_close(network.valid_logits(image.flip(-1, -2)), logits.flip(-1, -2))
        assert logits.std() > 1e-6 * logits.mean()


def test_weights_start_at_he_normal() -> None:
    network = UNet(bands=1, classes=2)
    conv = network.down[2][2]  # 256 → 256, 3×3
    assert conv.weight.std().item() == pytest.approx(math.sqrt(2 / (9 * 256)), rel=0.02)
    assert conv.bias.abs().max().item() == 0


def test_padded_form_is_seamless_on_its_stride() -> None:
    network = PaddedUNet(bands=1, classes=2, width=2).eval()
    image = torch.randn(1, 1, 480, 64)
    with torch.inference_mode():
        whole, lower = network(image), network(image[..., 160:, :])
    # below the margin, a crop that starts on the stride grid gives the same logits
    torch.testing.assert_close(
        whole[..., 160 + network.margin :, :], lower[..., network.margin :, :], atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize("stride", [2, 4])
@pytest.mark.parametrize("size", [(1, 1), (64, 48), (45, 33)])
def test_coarse_scores_are_of_every_sth_pixel_and_cost_less(stride: int, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    network = PaddedUNet(bands=3, classes=4, width=2, levels=2, scores_stride=stride)
    plain = PaddedUNet(bands=3, classes=4, width=2, levels=2)
    assert [p.shape for p in network.parameters()] == [p.shape for p in plain.parameters()]
    image = torch.randn(2, 3, *size)
    coarse = network.train()(image)
    assert coarse.shape == (2, 4, -(-size[0] // stride), -(-size[1] // stride))
    with torch.inference_mode():
        network.eval()
        fine = network(image)
        network.training = True  # only how it answers: batch norm stays as it is
        coarse = network(image)
    assert fine.shape == (2, 4, *size)
    torch.testing.assert_close(fine[..., ::stride, ::stride], coarse)


def test_coarse_scores_are_seamless_on_their_stride() -> None:
    network = PaddedUNet(bands=1, classes=2, width=2, levels=3, scores_stride=4).eval()
    image = torch.randn(1, 1, 480, 64)
    with torch.inference_mode():
        whole, lower = network(image), network(image[..., 160:, :])
    assert 160 % network.stride == 0
    torch.testing.assert_close(
        whole[..., 160 + network.margin :, :], lower[..., network.margin :, :], atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"width": 0}, "width"),
        ({"levels": 9}, "levels"),
        ({"wdith": 3}, "wdith"),
        ({"scores_stride": 3}, "scores_stride"),
    ],
)
def test_wrong_options_are_named(options: dict[str, int], word: str) -> None:
    with pytest.raises(SettingError, match=word):
        build_classifier("unet_padded", 3, 2, options=options)


def test_unknown_model_says_what_was_meant() -> None:
    with pytest.raises(SettingError, match=r"did you mean unet_padded"):
        build_classifier("unet_paded", 3, 2)


def test_weights_for_a_network_without_encoder_are_refused() -> None:
    with pytest.raises(SettingError, match="no pretrained encoder"):
        build_classifier("unet", 3, 2, weights="imagenet")
