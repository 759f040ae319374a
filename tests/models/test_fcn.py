"""FCN: the published counts, the released nets' geometry computed again, the stages, and VGG-16 inside it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segfield import models
from segfield.errors import SettingError
from segfield.models import build_classifier
from segfield.models.fcn import FCN, IMAGE_OFFSETS, POOL3_OFFSET, POOL4_OFFSET, bilinear_kernel, upsample_bilinear
from tests.models.published_weights import stand_ins

FORMS = ("fcn32s", "fcn16s", "fcn8s", "fcn8s_at_once")


def tiny(name: str, **options: object) -> FCN:
    network = build_classifier(name, 3, 4, options={"width": 4, "fc_channels": 8, **options}).eval()
    assert isinstance(network, FCN)
    return network


def with_scores(network: FCN) -> FCN:
    """Score layers start at zero, and zeros prove nothing."""
    for layer in (network.score_fr, network.score_pool4, network.score_pool3):
        if layer is not None:
            nn.init.normal_(layer.weight)
            nn.init.normal_(layer.bias)
    return network


@pytest.mark.parametrize(
    ("name", "count", "skips"),
    [
        ("fcn32s", 134_346_581, 0),
        ("fcn16s", 134_357_354, 1),
        ("fcn8s", 134_362_751, 2),
        ("fcn8s_at_once", 134_362_751, 2),
    ],
)
def test_parameters_at_21_classes(name: str, count: int, skips: int) -> None:
    """The bilinear kernels are constants; where they are learned there are 21·21·4·4 of them a skip."""
    with torch.device("meta"):
        fixed, learned = (build_classifier(name, 3, 21, options={"learn_upsampling": learn}) for learn in (False, True))
    assert sum(p.numel() for p in fixed.parameters()) == count
    assert sum(value.numel() for value in fixed.state_dict().values()) == count
    assert sum(p.numel() for p in learned.parameters()) == count + skips * 21 * 21 * 16
    # VGG-16 has 138,357,544, of which the last layer has 4,097,000
    assert sum(p.numel() for p in fixed.encoder_parameters()) == 138_357_544 - 4_097_000


def coordinate(layers: list[tuple[str, int, int, int]]) -> tuple[Fraction, Fraction]:
    """Caffe's coordinate map: a pixel x of the image lies at a·x + b of the last layer. Layers: kind, kernel, stride, pad."""
    a, b = Fraction(1), Fraction(0)
    for kind, kernel, stride, pad in layers:
        reach = Fraction(kernel - 1, 2) - pad
        a, b = (a * stride, b * stride + reach) if kind == "up" else (a / stride, (b - reach) / stride)
    return a, b


def test_the_offsets_are_those_of_caffes_coordinate_maps() -> None:
    """A skip is cropped onto the upsampled scores' grid, so coordinates follow the deepest path."""
    pool3, pool4, pool5 = ([("conv", 3, 1, 100), *n * [("pool", 2, 2, 0)]] for n in (3, 4, 5))
    thirty_second = [*pool5, ("conv", 7, 1, 0)]
    sixteenth = [*thirty_second, ("up", 4, 2, 0)]
    eighth = [*sixteenth, ("up", 4, 2, 0)]

    def offset(upsampled: list[tuple[str, int, int, int]], reference: list[tuple[str, int, int, int]]) -> Fraction:
        (a, b), (a_reference, b_reference) = coordinate(upsampled), coordinate(reference)
        assert a == a_reference
        return abs(b - b_reference)

    assert offset(sixteenth, pool4) == POOL4_OFFSET == 5
    assert offset(eighth, pool3) == POOL3_OFFSET == 9
    whole = {
        s: offset([*layers, ("up", 2 * s, s, 0)], [])
        for s, layers in ((32, thirty_second), (16, sixteenth), (8, eighth))
    }
    assert whole == IMAGE_OFFSETS == {32: 19, 16: 27, 8: 31}


def filler(size: int) -> Tensor:
    """Caffe's BilinearFiller, written entry by entry."""
    f = math.ceil(size / 2)
    c = (2 * f - 1 - f % 2) / (2 * f)
    rows = [[(1 - abs(i / f - c)) * (1 - abs(j / f - c)) for j in range(size)] for i in range(size)]
    return torch.tensor(rows)


@pytest.mark.parametrize("size", [4, 16, 32, 64])
def test_the_kernel_is_caffes_filler(size: int) -> None:
    torch.testing.assert_close(bilinear_kernel(size), filler(size))


def transposed(scores: Tensor, factor: int) -> Tensor:
    """Caffe's layer: a whole kernel from every class to every class, zero off the diagonal."""
    classes = scores.shape[1]
    kernel = torch.eye(classes)[:, :, None, None] * filler(2 * factor)
    return F.conv_transpose2d(scores, kernel, stride=factor)


@pytest.mark.parametrize(
    ("factor", "offset", "shape", "size"),
    [(2, 0, (3, 5), (8, 12)), (8, 31, (9, 12), (40, 65)), (32, 19, (1, 3), (45, 90))],
)
def test_the_matrix_form_is_the_transposed_convolution(
    factor: int, offset: int, shape: tuple[int, int], size: tuple[int, int]
) -> None:
    scores = torch.randn(2, 3, *shape)
    expected = transposed(scores, factor)[..., offset : offset + size[0], offset : offset + size[1]]
    assert expected.shape[2:] == size
    torch.testing.assert_close(upsample_bilinear(scores, factor, offset, *size), expected)


def caffe_pool(x: Tensor) -> Tensor:
    """Pooling 2/2 that rounds up: a last odd row or column is pooled alone."""
    return F.max_pool2d(F.pad(x, (0, x.shape[-1] % 2, 0, x.shape[-2] % 2), value=-math.inf), 2)


def released_network(w: Mapping[str, Tensor], image: Tensor, finest: int) -> Tensor:
    """The released nets, layer by layer as their prototxts list them."""
    x, pools = F.pad(image, (99, 99, 99, 99)), []
    for block, count in enumerate((2, 2, 3, 3, 3)):
        for layer in range(0, 2 * count, 2):
            x = F.relu(F.conv2d(x, w[f"blocks.{block}.{layer}.weight"], w[f"blocks.{block}.{layer}.bias"], padding=1))
        x = caffe_pool(x)
        pools.append(x)
    x = F.relu(F.conv2d(x, w["fc6.weight"], w["fc6.bias"]))
    x = F.relu(F.conv2d(x, w["fc7.weight"], w["fc7.bias"]))
    scores = F.conv2d(x, w["score_fr.weight"], w["score_fr.bias"])
    for pool, offset, name in ((pools[3], 5, "score_pool4"), (pools[2], 9, "score_pool3"))[
        : {32: 0, 16: 1, 8: 2}[finest]
    ]:
        scores = transposed(scores, 2)
        skip = F.conv2d(pool, w[f"{name}.weight"], w[f"{name}.bias"])
        scores = scores + skip[:, :, offset : offset + scores.shape[2], offset : offset + scores.shape[3]]
    offset = {32: 19, 16: 27, 8: 31}[finest]
    return transposed(scores, finest)[:, :, offset : offset + image.shape[2], offset : offset + image.shape[3]]


@pytest.mark.parametrize("size", [(1, 1), (64, 96), (75, 33)])
@pytest.mark.parametrize(("name", "finest"), [("fcn32s", 32), ("fcn16s", 16), ("fcn8s", 8)])
@pytest.mark.parametrize("learned", [False, True])
def test_forward_is_the_released_network(name: str, finest: int, size: tuple[int, int], learned: bool) -> None:
    """Learned upsampling begins bilinear, so that both forms are the same network at first."""
    network, image = with_scores(tiny(name, learn_upsampling=learned)), torch.randn(2, 3, *size)
    with torch.inference_mode():
        logits = network(image)
        expected = released_network(network.state_dict(), image, finest)
    assert expected.shape == (2, 4, *size)
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_every_size_modulo_the_stride_comes_out_as_it_went_in() -> None:
    network = tiny("fcn8s", width=1, fc_channels=1)
    with torch.inference_mode():
        for height in range(2, 35):
            assert network(torch.zeros(1, 3, height, 67 - height)).shape == (1, 4, height, 67 - height)


@pytest.mark.parametrize("name", ["fcn32s", "fcn16s", "fcn8s"])
def test_a_tile_on_the_stride_is_right_beyond_the_margin(name: str) -> None:
    """In float64: what a score sees at the very edge of its 404 pixels moves it little."""
    network, image = with_scores(tiny(name)).double(), torch.randn(1, 3, 640, 10, dtype=torch.float64)
    beyond, short = network.margin, network.margin - 2 * network.stride
    with torch.inference_mode():
        whole, tile = network(image)[..., 320:, :], network(image[..., 320:, :])
    assert (tile - whole)[..., beyond:, :].abs().max() < 1e-10
    assert (tile - whole)[..., short:beyond, :].abs().max() > 1e-7


def test_at_once_scales_the_pools_before_they_are_scored() -> None:
    plain, at_once = with_scores(tiny("fcn8s")), tiny("fcn8s_at_once")
    at_once.start_from(plain.state_dict())
    with torch.no_grad():
        plain.score_pool4.weight *= 0.01
        plain.score_pool3.weight *= 0.0001
        image = torch.randn(1, 3, 40, 50)
        torch.testing.assert_close(at_once(image), plain(image), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", FORMS)
def test_a_fresh_network_scores_zero_on_a_he_trunk(name: str) -> None:
    network = tiny(name, width=32, norm=name == "fcn8s")
    assert not network(torch.randn(1, 3, 20, 20)).any()
    assert network.blocks[3][0].weight.std().item() == pytest.approx(math.sqrt(2 / (9 * 128)), rel=0.03)
    assert network.fc6.weight.std().item() == pytest.approx(math.sqrt(2 / (49 * 256)), rel=0.03)


def between(size: int, step: int, centre: float) -> Tensor:
    """Pixels at least a quarter of a step from every score's centre, at centre + step·i."""
    phase = (torch.arange(size) - centre) / step % 1
    return (phase >= 0.25) & (phase <= 0.75)


@pytest.mark.parametrize(
    ("coarse", "fine", "step", "centre"), [("fcn32s", "fcn16s", 32, 12.5), ("fcn16s", "fcn8s", 16, 4.5)]
)
def test_a_stage_begins_where_the_coarser_one_ended(coarse: str, fine: str, step: int, centre: float) -> None:
    """Bilinear by 2 and then by s rounds the corner of bilinear by 2s at each score, and is equal between them."""
    torch.manual_seed(0)
    trained, network = with_scores(tiny(coarse)), tiny(fine)
    network.start_from(trained.state_dict())
    image = torch.randn(1, 3, 150, 131)
    with torch.inference_mode():
        before, after = trained(image), network(image)
    down, across = between(150, step, centre), between(131, step, centre)
    torch.testing.assert_close(
        after[..., down, :][..., across], before[..., down, :][..., across], rtol=1e-4, atol=1e-4
    )
    assert (after - before).abs().mean() < 0.1 * before.std()
    assert down.sum() > 60


def test_a_stage_with_other_classes_takes_the_trunk_and_learned_upsampling_what_was_learned() -> None:
    sixteen = with_scores(tiny("fcn16s", learn_upsampling=True))
    nn.init.normal_(sixteen.upscore2.weight)
    eight, other = (
        tiny("fcn8s", learn_upsampling=True),
        build_classifier("fcn8s", 3, 7, options={"width": 4, "fc_channels": 8}),
    )
    for network in (eight, other):
        network.start_from(sixteen.state_dict())
        assert torch.equal(network.fc7.weight, sixteen.fc7.weight)
    assert torch.equal(eight.upscore2.weight, sixteen.upscore2.weight)
    assert not other.score_fr.weight.any()
    with pytest.raises(SettingError, match="none of the weights"):
        eight.start_from({"stranger": torch.ones(1)})


def test_vgg16_is_taken_whole_with_its_scaling(monkeypatch: pytest.MonkeyPatch) -> None:
    with torch.device("meta"):
        published = timm.create_model("vgg16")
    tensors = stand_ins(published)
    asked: list[tuple[str, str]] = []
    monkeypatch.setattr(models, "pretrained_tensors", lambda *given: asked.append(given) or tensors)
    network = build_classifier("fcn32s", 3, 2, weights="vgg.safetensors", options={"fc_channels": 16})
    assert asked == [("vgg16", "vgg.safetensors")]
    assert torch.equal(network.blocks[4][4].weight, tensors["features.28.weight"])
    assert torch.equal(network.fc6.weight, tensors["pre_logits.fc1.weight"][::256])
    assert torch.equal(network.fc7.bias, tensors["pre_logits.fc2.bias"][::256])
    assert network.mean == pytest.approx((0.485, 0.456, 0.406))
    assert FCN(3, 2, width=2, fc_channels=2, norm=True).pretrained == "vgg16_bn"


@pytest.mark.thorough
def test_a_transplanted_network_computes_what_timms_classifier_does() -> None:
    """224² without the padding of 100: fc6 then sees timm's 7×7 whole, and gives its one vector."""
    published = timm.create_model("vgg16", pretrained=False).eval()
    with torch.device("meta"):
        network = FCN(3, 2, finest=32).eval()
    network.to_empty(device="cpu")
    network.load_pretrained(published.state_dict())
    network.blocks[0][0].padding = (1, 1)
    heard: list[Tensor] = []
    network.score_fr.register_forward_pre_hook(lambda _, given: heard.append(given[0]))
    image = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        expected = published.forward_head(published.forward_features(image), pre_logits=True)
        network(image)
    assert heard[0].shape == (1, 4096, 1, 1)
    assert expected.std() > 1e-3
    torch.testing.assert_close(heard[0].flatten(), expected.flatten(), rtol=1e-3, atol=1e-4 * float(expected.max()))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"finest": 4}, "finest is 32, 16 or 8"),
        ({"width": 0}, "width"),
        ({"fc_channels": 0}, "fc_channels"),
        ({"dropout": 2, "width": 2, "fc_channels": 2}, "dropout"),
        ({"widht": 4}, "did you mean width"),
    ],
)
def test_wrong_options_are_named(options: dict[str, object], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        build_classifier("fcn8s", 3, 2, options=options)
