"""Dilated networks: published counts and sizes, the grid their scores lie on, and their stages of training."""

from __future__ import annotations

import math
from typing import Any

import pytest
import timm
import torch
from torch import Tensor

from segfield.errors import FileFormatError, SettingError
from segfield.models import build_classifier
from segfield.models.context import ContextModule, identity_initialise
from segfield.models.dilation import Dilation
from tests.models.published_weights import stand_ins

TINY = {"width": 1, "fc_channels": 4}
PRESETS = ("dilation_front_end", "dilation7", "dilation8", "dilation10")


def tiny(name: str, bands: int = 3, classes: int = 3, **options: Any) -> Dilation:
    torch.manual_seed(0)
    network = build_classifier(name, bands, classes, options=TINY | options)
    assert isinstance(network, Dilation)
    torch.nn.init.normal_(network.front_end.classify.weight)  # scores large enough to compare
    return network


@pytest.mark.parametrize(
    ("name", "classes", "options", "context"),
    [
        ("dilation_front_end", 21, {}, 0),
        ("dilation8", 21, {}, 28_392),
        ("dilation8", 21, {"context": "large"}, 6_803_139),
        ("dilation10", 19, {}, 29_792),
    ],
)
def test_published_parameters_and_crop(name: str, classes: int, options: dict[str, str], context: int) -> None:
    with torch.device("meta"):
        network = build_classifier(name, 3, classes, options=options)
        assert network.valid_logits(torch.zeros(2, 3, 900, 900)).shape == (2, classes, 66, 66)
        assert network.train()(torch.zeros(2, 3, 528, 527)).logits.shape == (2, classes, 66, 66)
    front_end = 134_346_581 - (21 - classes) * (4096 + 1)
    assert sum(p.numel() for p in network.parameters()) == front_end + context


def test_presets_have_their_context() -> None:
    sums = {"dilation_front_end": 0, "dilation7": 17, "dilation8": 33, "dilation10": 129}
    for name, reach in sums.items():
        network = tiny(name)
        assert isinstance(network.context, ContextModule) == (reach > 0)
        assert network.margin == 200 + 8 * reach
    assert tiny("dilation8").context.layers[0].padding == (1, 1)
    assert tiny("dilation8", context="large").context.layers[0].padding == (33, 33)
    assert tiny("dilation8", context_padding="first").context.layers[0].padding == (33, 33)


def test_smallest_crop_gives_one_score() -> None:
    network = tiny("dilation_front_end").eval()
    with torch.inference_mode():
        assert network.valid_logits(torch.randn(1, 3, 380, 388)).shape == (1, 3, 1, 2)


def test_a_score_sees_the_pixels_around_its_own() -> None:
    """Score k belongs to crop row 186 + 8k, where the released training code takes its label, and sees rows 8k to 8k + 379."""
    network = tiny("dilation_front_end", bands=1, classes=1).double().eval()
    for parameter in network.parameters():
        parameter.data = parameter.data.abs()  # no ReLU clips, and no gradient cancels another
    crop = torch.ones(1, 1, 380 + 16, 388, dtype=torch.float64) + 0.01 * torch.rand(1, 1, 396, 388, dtype=torch.float64)
    crop.requires_grad_()
    network.valid_logits(crop)[0, 0, 1, 0].backward()
    rows = crop.grad[0, 0].any(dim=1).nonzero().flatten()
    # max pools pass the gradient to one pixel of four: up to seven rows at each end may be left out
    assert 8 <= rows.min() <= 15
    assert 387 - 7 <= rows.max() <= 387


@pytest.mark.parametrize("name", ["dilation_front_end", "dilation7"])
def test_dense_scores_are_those_of_a_sliding_window(name: str) -> None:
    """The crop shifted by eight pixels gives the scores shifted by one, away from the context module's own border."""
    network = tiny(name).double().eval()
    border = 17 if name == "dilation7" else 0
    rows = 2 * border + 4
    crop = torch.randn(1, 3, 372 + 8 * rows, 380 + 8 * 2 * border, dtype=torch.float64)
    with torch.inference_mode():
        whole, shifted = network.valid_logits(crop), network.valid_logits(crop[..., 8:, :])
    inner = slice(border, whole.shape[-1] - border)
    assert whole[..., inner].std() > 0
    torch.testing.assert_close(
        shifted[..., border : rows - 1 - border, inner], whole[..., border + 1 : rows - border, inner]
    )
    if border == 0:
        window = crop[..., 24 : 24 + 380, :380]
        with torch.inference_mode():
            torch.testing.assert_close(network.valid_logits(window)[..., 0, 0], whole[..., 3, 0])


def test_upsampled_scores_of_a_tile_are_the_images_beyond_the_margin() -> None:
    network = tiny("dilation_front_end").double().eval()
    image = torch.randn(1, 3, 488, 9, dtype=torch.float64)
    with torch.inference_mode():
        whole, lower, upper = network(image), network(image[..., 40:, :]), network(image[..., :450, :])
    torch.testing.assert_close(whole[..., 40 + network.margin :, :], lower[..., network.margin :, :])
    torch.testing.assert_close(whole[..., : 450 - network.margin, :], upper[..., : -network.margin, :])
    assert not torch.isclose(whole[..., 40:140, :], lower[..., :100, :]).all()


@pytest.mark.parametrize("size", [(1, 1), (8, 9), (23, 40)])
def test_every_eighth_pixel_has_the_trained_score(size: tuple[int, int]) -> None:
    network = tiny("dilation8", dropout=0.0)
    image = torch.randn(2, 3, *size)
    with torch.no_grad():
        trained = network.train()(image).logits
        logits = network.eval()(image)
    assert trained.shape[2:] == ((size[0] - 1) // 8 + 1, (size[1] - 1) // 8 + 1)
    torch.testing.assert_close(logits[..., ::8, ::8], trained)
    if size[0] > 16:  # between two rows bilinear, after the last its value
        torch.testing.assert_close(logits[..., 2, ::8], 0.75 * trained[..., 0, :] + 0.25 * trained[..., 1, :])
        torch.testing.assert_close(logits[..., 20, ::8], trained[..., 2, :])


def test_forward_is_the_papers_crop_of_the_mirrored_image() -> None:
    network = tiny("dilation8", dropout=0.0).train()
    image = torch.randn(1, 3, 200, 192)
    mirrored = torch.nn.functional.pad(image, (186, 186, 186, 186), mode="reflect")
    with torch.no_grad():
        torch.testing.assert_close(network(image).logits, network.valid_logits(mirrored))


def test_weights_start_as_published() -> None:
    network = build_classifier("dilation8", 3, 5, options={"width": 16, "fc_channels": 512})
    conv4_2, fc6 = network.front_end.blocks[3][2], network.front_end.fc6[0]
    assert conv4_2.weight.std().item() == pytest.approx(math.sqrt(2 / (9 * 128)), rel=0.03)
    assert fc6.weight.std().item() == pytest.approx(math.sqrt(2 / (49 * 128)), rel=0.03)
    assert network.front_end.classify.weight.std().item() == pytest.approx(0.001, rel=0.1)
    assert torch.equal(network.context.layers[4].weight[:, :, 1, 1].diagonal(), torch.ones(5))
    assert network.context.layers[4].weight[:, :, 0, 0].abs().max() < 0.05


def test_the_front_end_alone_starts_the_next_stages() -> None:
    """Trained alone, it fills `front_end.*` of any preset; a context without noise then only clips its scores at zero."""
    trained = tiny("dilation_front_end", norm=True).eval()
    tensors = {key: 1.1 * t for key, t in trained.state_dict().items() if t.is_floating_point()}
    trained.load_state_dict(tensors, strict=False)
    assert all(name.startswith("front_end.") for name in tensors)
    crop = torch.randn(1, 3, 396, 404)
    with torch.inference_mode():
        scores = trained.valid_logits(crop)
    assert scores.min() < 0 < scores.max()
    for name in PRESETS[1:]:
        network = tiny(name, norm=True).eval()
        before = [p.clone() for p in network.context.parameters()]
        network.start_from(tensors)
        assert all(torch.equal(old, new) for old, new in zip(before, network.context.parameters()))
        others = [key for key, _ in network.named_parameters() if not key.startswith("front_end.")]
        assert others
        assert all(key.startswith("context.") for key in others)
        for convolution in network.context.layers[::2]:
            identity_initialise(convolution, groups=3, sigma=0.0)
        with torch.inference_mode():
            torch.testing.assert_close(network.valid_logits(crop), scores.clamp(min=0))


def published(name: str) -> dict[str, Tensor]:
    with torch.device("meta"):
        network = timm.create_model(name)
    return stand_ins(network)


def test_imagenet_weights_fill_the_front_end() -> None:
    network, tensors = build_classifier("dilation8", 3, 4, options={"fc_channels": 8}), published("vgg16")
    kept = [network.front_end.classify.weight.clone(), *(p.clone() for p in network.context.parameters())]
    network.load_pretrained(tensors)
    front_end = network.front_end
    assert network.pretrained == "vgg16"
    assert torch.equal(front_end.blocks[0][0].bias, tensors["features.0.bias"])
    assert torch.equal(front_end.blocks[4][4].weight, tensors["features.28.weight"])  # conv5_3
    assert torch.equal(front_end.fc6[0].weight, tensors["pre_logits.fc1.weight"][::512])
    assert torch.equal(front_end.fc7[0].bias, tensors["pre_logits.fc2.bias"][::512])
    now = [front_end.classify.weight, *network.context.parameters()]
    assert all(torch.equal(old, new) for old, new in zip(kept, now))
    filled = {id(p) for p in network.encoder_parameters()}
    assert len(filled) == 2 * (13 + 2)
    assert not filled & {id(p) for p in now}


def test_with_batch_norm_they_are_those_of_vgg16_bn() -> None:
    network = build_classifier("dilation_front_end", 3, 4, options={"fc_channels": 8, "norm": True})
    assert network.pretrained == "vgg16_bn"
    tensors = published("vgg16_bn")
    network.load_pretrained(tensors)
    convolution, norm = network.front_end.blocks[4][6:8]
    assert torch.equal(convolution.weight, tensors["features.40.weight"])  # conv5_3
    assert torch.equal(norm.weight, tensors["features.41.weight"])


def test_imagenet_weights_of_other_widths_are_refused() -> None:
    with pytest.raises(FileFormatError, match=r"leave out.*options"):
        tiny("dilation8").load_pretrained(published("vgg16"))


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"layers": 9}, "7, 8 or 10 layers"),
        ({"context": "larger"}, "did you mean large"),
        ({"context_padding": "last"}, "context_padding is 'last'"),
        ({"width": 0}, "width"),
        ({"fc_channel": 3}, "fc_channels"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], word: str) -> None:
    with pytest.raises(SettingError, match=word):
        build_classifier("dilation8", 3, 2, options=options)
