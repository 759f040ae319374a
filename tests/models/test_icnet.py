"""ICNet: the authors' counts, sizes and pooling windows, the order of its layers, and pruning a wider one."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segfield.errors import SettingError
from segfield.models import build_classifier
from segfield.models.classifier import TrainingOutput
from segfield.models.icnet import ICNet, averaging, pool_window, pyramid_pooling
from segfield.models.unet import PaddedUNet

PUBLISHED_SIZE = (1025, 2049)
PUBLISHED_WINDOWS = {  # bins: (kernel, stride) at 33×65, in the authors' file
    1: ((33, 65), (33, 65)),
    2: ((17, 33), (16, 32)),
    3: ((13, 25), (10, 20)),
    6: ((8, 15), (5, 10)),
}


def tiny(width: float = 1 / 32, classes: int = 4, bands: int = 3, seed: int = 0) -> ICNet:
    """A small ICNet in evaluation mode, with batch norm as after a training."""
    torch.manual_seed(seed)
    network = ICNet(bands, classes, width=width).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.3, 0.8)
            nn.init.normal_(module.bias, std=0.3)
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return network


def training_output(network: ICNet, image: Tensor) -> TrainingOutput:
    """What it gives in training, but with the statistics that batch norm keeps."""
    network.train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    with torch.no_grad():
        output = network(image)
    network.eval()
    assert isinstance(output, TrainingOutput)
    return output


def _children(module: nn.Module) -> list[str]:
    return [name for name, _ in module.named_children()]


def test_parameters_and_multiply_adds_are_those_of_the_authors_file() -> None:
    """Counted over every Convolution and BN of icnet_cityscapes_bnnomerge.prototxt; the guides are not in it."""
    multiply_adds = {}

    def count(name: str, conv: nn.Conv2d, output: Tensor) -> None:
        multiply_adds[name] = conv.weight.numel() * output.shape[-2] * output.shape[-1]

    with torch.device("meta"):
        network = ICNet(bands=3, classes=19).eval()
        for name, module in network.named_modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_hook(lambda m, _, output, name=name: count(name, m, output))
        network(torch.empty(1, 3, *PUBLISHED_SIZE))
    assert sum(p.numel() for name, p in network.named_parameters() if not name.startswith("guide")) == 6_699_987
    # at 1/8 here, at 1/4 there: the classifier commutes with bilinear resizing
    assert multiply_adds.pop("classify") == 19 * 128 * 129 * 257
    assert sum(multiply_adds.values()) == 29_811_584_064 - 19 * 128 * 257 * 513


def test_sizes_at_the_published_input() -> None:
    sizes = {}
    with torch.device("meta"):
        network = ICNet(bands=3, classes=19, width=1 / 32).train()
        for name in ("conv5", "conv5_4", "fuse_half", "fuse_full"):
            network.get_submodule(name).register_forward_hook(
                lambda _, __, output, name=name: sizes.update({name: tuple(output.shape[-2:])})
            )
        output = network(torch.empty(1, 3, *PUBLISHED_SIZE))
    assert sizes == {"conv5": (33, 65), "conv5_4": (33, 65), "fuse_half": (65, 129), "fuse_full": (129, 257)}
    assert output.logits.shape == (1, 19, 257, 513)
    assert [(weight, logits.shape) for weight, logits in output.auxiliary] == [
        (0.16, (1, 19, 65, 129)),
        (0.4, (1, 19, 129, 257)),
    ]


def test_full_width_has_the_trunk_of_pspnet50() -> None:
    with torch.device("meta"):
        network = ICNet(bands=3, classes=19, width=1)
    stages = (network.conv2, network.conv3, network.conv4, network.conv5)
    assert [stage[-1].middle.conv.out_channels for stage in stages] == [64, 128, 256, 512]
    assert [stage[-1].increase.conv.out_channels for stage in stages] == [256, 512, 1024, 2048]


def test_dilations_and_relus_are_where_the_authors_file_has_them() -> None:
    with torch.device("meta"):
        network = ICNet(bands=3, classes=19)
    dilations: dict[str, set[int]] = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
            dilations.setdefault(name.split(".")[0], set()).add(module.dilation[0])
            assert module.padding == module.dilation
    plain = {name: {1} for name in ("conv1", "conv2", "conv3_1", "conv3", "full")}
    assert dilations == {**plain, "conv4": {2}, "conv5": {4}, "fuse_half": {2}, "fuse_full": {2}}
    # batch norm stands alone where a sum follows, and the ReLU comes after the sum
    alone = {
        name.rpartition(".")[2] for name, module in network.named_modules() if _children(module) == ["conv", "norm"]
    }
    assert alone == {"increase", "project", "low", "high"}
    assert sum(_children(module) == ["conv", "norm", "relu"] for module in network.modules()) == 3 + 2 * 16 + 1 + 3


def test_pyramid_is_the_sum_of_the_published_pools() -> None:
    x = torch.randn(2, 3, 33, 65)
    expected = x.clone()
    for kernel, stride in PUBLISHED_WINDOWS.values():
        pooled = F.avg_pool2d(x, kernel, stride)
        expected += F.interpolate(pooled, size=(33, 65), mode="bilinear", align_corners=True)
    torch.testing.assert_close(pyramid_pooling(x), expected)


@pytest.mark.parametrize("bins", PUBLISHED_WINDOWS)
def test_windows_reach_from_the_first_pixel_to_the_last(bins: int) -> None:
    for size in range(1, 100):
        kernel, stride = pool_window(size, bins)
        assert 0 <= stride <= kernel
        assert (bins - 1) * stride + kernel == size
        matrix = averaging(size, bins)
        torch.testing.assert_close(matrix.sum(1), torch.ones(bins))
        assert (matrix.sum(0) > 0).all()  # no pixel is left out
        if size % 6 == 0:
            assert kernel == stride == size // bins  # even parts, as PSPNet pools 60 and 90 pixels


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (7, 1)])
def test_pyramid_of_one_value_is_five_times_it(size: tuple[int, int]) -> None:
    x = torch.full((1, 2, *size), 3.0)
    torch.testing.assert_close(pyramid_pooling(x), 5 * x)


def test_layers_in_the_papers_order_give_the_same() -> None:
    """Bilinear halving, doubling before the classifier, then ×4: what the network does in a cheaper order."""

    def resized(x: Tensor, height: int, width: int) -> Tensor:
        return F.interpolate(x, size=(height, width), mode="bilinear", align_corners=True)

    network, image = tiny(), torch.randn(2, 3, 97, 161)
    with torch.no_grad():
        half = network.conv3_1(network.conv2(network.conv1(resized(image, 49, 81))))
        coarse = network.conv5_4(pyramid_pooling(network.conv5(network.conv4(network.conv3(resized(half, 4, 6))))))
        doubled = resized(coarse, 7, 11)
        middle = F.relu(network.fuse_half.low(doubled) + network.fuse_half.high(half))
        doubled_again = resized(middle, 13, 21)
        fine = F.relu(network.fuse_full.low(doubled_again) + network.fuse_full.high(network.full(image)))
        to_quarter = network.classify(resized(fine, 25, 41))
        torch.testing.assert_close(network(image), resized(to_quarter, 97, 161), rtol=1e-4, atol=1e-5)
    output = training_output(network, image)
    guides = [network.guide_coarse(doubled), network.guide_middle(doubled_again)]
    torch.testing.assert_close(output.logits, to_quarter, rtol=1e-4, atol=1e-5)
    for (_, logits), expected in zip(output.auxiliary, guides):
        torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [(45, 70), (64, 64), (33, 100)])
def test_training_logits_are_those_of_every_fourth_pixel(size: tuple[int, int]) -> None:
    network, image = tiny(), torch.randn(1, 3, *size)
    output = training_output(network, image)
    with torch.no_grad():
        torch.testing.assert_close(output.logits, network(image)[..., ::4, ::4], rtol=1e-4, atol=1e-5)
    for step, (_, logits) in zip((16, 8), output.auxiliary):
        assert logits.shape[-2:] == (math.ceil(size[0] / step), math.ceil(size[1] / step))


def test_other_sizes_are_mirrored_up_to_the_next_of_its_own() -> None:
    network, image = tiny(), torch.randn(1, 3, 60, 97)
    mirrored = F.pad(image, (0, 0, 0, 5), mode="reflect")
    with torch.no_grad():
        torch.testing.assert_close(network(image), network(mirrored)[..., :60, :])


def test_weights_start_as_msra() -> None:
    network = ICNet(bands=3, classes=19)
    for conv in (network.conv5[1].middle.conv, network.fuse_half.low.conv, network.conv5_4.conv):
        incoming = conv.weight[0].numel()
        assert conv.weight.std().item() == pytest.approx(math.sqrt(2 / incoming), rel=0.02)
    assert not network.classify.bias.any()


def test_a_wider_one_is_cut_to_the_shapes_of_the_narrow_one() -> None:
    wide, narrow = tiny(1 / 16), tiny(1 / 32, seed=1)
    before = {name: tensor.clone() for name, tensor in narrow.state_dict().items()}
    narrow.start_from(wide.state_dict())
    after = narrow.state_dict()
    learned = [name for name in after if not name.endswith("num_batches_tracked")]
    assert all(not torch.equal(after[name], before[name]) for name in learned if before[name].any())
    # the first convolution reads the image, so what stays of it are whole kernels of the wide one: the largest
    norms = wide.conv1[0].conv.weight.abs().sum((1, 2, 3))
    kept = norms.topk(2).indices.sort().values
    torch.testing.assert_close(narrow.conv1[0].conv.weight, wide.conv1[0].conv.weight[kept], rtol=0, atol=0)
    torch.testing.assert_close(narrow.full.state_dict(), wide.full.state_dict(), rtol=0, atol=0)


def test_removing_kernels_of_zeros_changes_nothing() -> None:
    wide, narrow, image = tiny(1 / 16), tiny(1 / 32, seed=1), torch.randn(1, 3, 65, 97)
    tensors = wide.state_dict()
    for shared in wide.prunable_channels():
        channels = len(tensors[f"{shared.producers[0].convolution}.weight"])
        gone = torch.randperm(channels)[: channels // 2]
        for producer in shared.producers:
            tensors[f"{producer.convolution}.weight"][gone] = 0
            tensors[f"{producer.norm}.bias"][gone] = 0
            tensors[f"{producer.norm}.running_mean"][gone] = 0
    narrow.start_from(tensors)
    expected, given = training_output(wide, image), training_output(narrow, image)
    assert expected.logits.std() > 0.01
    torch.testing.assert_close(given.logits, expected.logits, rtol=1e-4, atol=1e-4)
    for (_, logits), (_, whole) in zip(given.auxiliary, expected.auxiliary):
        torch.testing.assert_close(logits, whole, rtol=1e-4, atol=1e-4)


def test_the_same_width_is_copied() -> None:
    first, second, image = tiny(), tiny(seed=1), torch.randn(1, 3, 33, 40)
    second.start_from(first.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(second(image), first(image), rtol=0, atol=0)


def test_other_classes_and_bands_take_over_all_but_their_ends() -> None:
    first, second = tiny(1 / 16), tiny(1 / 32, classes=7, bands=1, seed=1)
    own = {name: tensor.clone() for name, tensor in second.state_dict().items()}
    second.start_from(first.state_dict())
    changed = second.state_dict()
    ends = ("conv1.0.conv", "full.0.conv", "classify", "guide_coarse", "guide_middle")
    assert all(torch.equal(changed[f"{name}.weight"], own[f"{name}.weight"]) for name in ends)
    convolutions = [name for name, tensor in own.items() if tensor.ndim == 4 and not name.startswith(ends)]
    assert not any(torch.equal(changed[name], own[name]) for name in convolutions)


def test_a_narrower_or_another_network_is_refused() -> None:
    with pytest.raises(SettingError, match="at least as wide"):
        tiny(1 / 16).start_from(tiny(1 / 32).state_dict())
    with pytest.raises(SettingError, match="no conv1"):
        tiny().start_from(PaddedUNet(3, 4, width=2).state_dict())


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"width": 0}, "width"),
        ({"guidance": [0.4]}, "guidance"),
        ({"guidance": [0.4, -1]}, "guidance"),
        ({"norm_momentum": 0}, "norm_momentum"),
        ({"widht": 1}, "did you mean width"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], word: str) -> None:
    with pytest.raises(SettingError, match=word):
        build_classifier("icnet", 3, 2, options=options)


def test_guidance_and_norm_momentum_are_what_was_given() -> None:
    network = build_classifier("icnet", 3, 2, options={"width": 1 / 64, "guidance": [0.3, 0.2], "norm_momentum": 0.5})
    norm = network.get_submodule("conv1.0.norm")
    image = torch.randn(2, 3, 33, 33)
    output = network.train()(image)
    assert [weight for weight, _ in output.auxiliary] == [0.3, 0.2]
    with torch.no_grad():
        seen = network.get_submodule("conv1.0.conv")(image[..., ::2, ::2]).mean((0, 2, 3))
    torch.testing.assert_close(norm.running_mean, seen / 2)  # from zero, half of the way
