"""The context module: the paper's table 1, the released nets' layers, and the identity it starts as."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from segfield.models.context import ContextModule, identity_initialise


def convolutions(module: nn.Module) -> list[nn.Conv2d]:
    return [m for m in module.modules() if isinstance(m, nn.Conv2d)]


@pytest.mark.parametrize(
    ("classes", "layers", "widths", "expected"),
    [(21, 8, "basic", 28_392), (21, 8, "large", 6_803_139), (19, 10, "basic", 29_792)],
)
def test_parameters(classes: int, layers: int, widths: str, expected: int) -> None:
    with torch.device("meta"):
        module = ContextModule(classes, layers, widths)
    assert sum(p.numel() for p in module.parameters()) == expected


def test_large_is_the_released_voc_network() -> None:
    """ct_conv1_1 … ct_final of its deploy file: outputs, dilation, padding."""
    with torch.device("meta"):
        layers = convolutions(ContextModule(21, 8, "large", "first"))
    assert [c.out_channels for c in layers] == [42, 42, 84, 168, 336, 672, 672, 21]
    assert [c.dilation[0] for c in layers] == [1, 1, 2, 4, 8, 16, 1, 1]
    assert [c.padding[0] for c in layers] == [33, 0, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("layers", "dilations"),
    [(7, [1, 1, 2, 4, 8, 1, 1]), (8, [1, 1, 2, 4, 8, 16, 1, 1]), (10, [1, 1, 2, 4, 8, 16, 32, 64, 1, 1])],
)
def test_urban_networks_are_the_released_ones(layers: int, dilations: list[int]) -> None:
    """ctx_conv1_1 … ctx_final of the KITTI, CamVid and Cityscapes deploy files."""
    own = convolutions(ContextModule(3, layers))
    assert [c.dilation[0] for c in own] == dilations
    assert [c.padding[0] for c in own] == [*dilations[:-1], 0]
    assert [c.kernel_size[0] for c in own] == [3] * (layers - 1) + [1]
    assert {c.out_channels for c in own} == {3}


def test_every_layer_has_the_receptive_field_of_table_1() -> None:
    module = ContextModule(1, 8, padding="first").double()
    for parameter in module.parameters():
        parameter.data.fill_(1.0)  # no ReLU clips, and no gradient cancels another
    for number, field in zip(range(1, 17, 2), [3, 5, 9, 17, 33, 65, 67, 67]):
        scores = torch.ones(1, 1, 73, 73, dtype=torch.float64, requires_grad=True)
        after = module.layers[:number](scores)
        after[0, 0, after.shape[2] // 2, after.shape[3] // 2].backward()
        seen = scores.grad[0, 0] != 0
        assert seen.any(dim=1).sum() == seen.any(dim=0).sum() == field
        assert seen.sum() == field**2


@pytest.mark.parametrize(("layers", "field"), [(7, 35), (10, 259)])
def test_other_modules_see_one_and_two_sums_of_dilations(layers: int, field: int) -> None:
    module = ContextModule(1, layers)
    for parameter in module.parameters():
        parameter.data.fill_(0.1)
    scores = torch.ones(1, 1, 9, 301, requires_grad=True)
    module(scores)[0, 0, 4, 150].backward()
    assert (scores.grad[0, 0] != 0).any(dim=0).sum() == field


@pytest.mark.parametrize("layers", [7, 8, 10])
@pytest.mark.parametrize("padding", ["every", "first"])
@pytest.mark.parametrize("widths", ["basic", "large"])
def test_without_noise_it_is_the_identity_on_scores_above_zero(layers: int, padding: str, widths: str) -> None:
    """Whole scores: powers of two divide and add up without rounding, so equal is meant."""
    module = ContextModule(3, layers, widths, padding, sigma=0.0)
    scores = torch.randint(0, 100, (2, 3, 13, 9)).float()
    with torch.inference_mode():
        assert torch.equal(module(scores), scores)
        assert torch.equal(module(scores - 50), (scores - 50).clamp(min=0))


def test_weights_start_as_identity_and_noise() -> None:
    """Section 3, pair by pair: the centre tap between a·C/c_in and b·C/c_out of one whole part is C/c_out, all else noise."""
    torch.manual_seed(0)
    classes, c_in, c_out, sigma = 5, 10, 20, 0.03
    convolution = nn.Conv2d(c_in, c_out, 3)
    identity_initialise(convolution, classes, sigma)
    weight = convolution.weight.detach().clone()
    for b in range(c_out):
        for a in range(c_in):
            if a * classes // c_in == b * classes // c_out:
                assert weight[b, a, 1, 1] == 0.25
                weight[b, a, 1, 1] = torch.nan
    noise = weight[~weight.isnan()]
    assert noise.numel() == c_in * c_out * 9 - classes * 2 * 4
    assert noise.std().item() == pytest.approx(sigma, rel=0.05)
    assert noise.mean().item() == pytest.approx(0, abs=0.003)
    assert not convolution.bias.any()


def test_noise_is_small_beside_every_layers_identity() -> None:
    """0.01 divided by the multiple of the channels, as the released code has it."""
    for convolution, multiple in zip(convolutions(ContextModule(4, 8, "large")), [2, 2, 4, 8, 16, 32, 32, 1]):
        centre = convolution.weight[..., convolution.kernel_size[0] // 2, convolution.kernel_size[1] // 2]
        passing = centre == 1 / multiple
        assert (passing.sum(dim=1) == convolution.in_channels // 4).all()
        noise = convolution.weight[:, :, 0, 0] if multiple > 1 else centre[~passing]
        assert noise.std().item() == pytest.approx(0.01 / multiple, rel=0.4)


def test_paddings_differ_at_the_border_alone() -> None:
    torch.manual_seed(0)
    every = ContextModule(2, 8, padding="every").double()
    first = ContextModule(2, 8, padding="first").double()
    for parameter in every.parameters():
        parameter.data = torch.rand_like(parameter) * 0.3  # biases too: behind them the two kinds of zeros differ
    first.load_state_dict(every.state_dict())
    scores = torch.rand(1, 2, 80, 90, dtype=torch.float64)
    with torch.inference_mode():
        by_layer, once = every(scores), first(scores)
    assert by_layer.shape == once.shape == scores.shape
    torch.testing.assert_close(by_layer[..., 33:-33, 33:-33], once[..., 33:-33, 33:-33])
    assert not torch.isclose(by_layer[..., 0, :], once[..., 0, :]).any()
