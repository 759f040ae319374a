"""The quick depthwise forms against the plain convolution: values, gradients, and that they are used where they should."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from timm.layers import Conv2dSame

from segfield.models.depthwise import depthwise_conv2d, speed_up_depthwise

CASES = [(1, 2, 2), (1, 3, 3), (1, 12, 12), (2, 1, 1), (2, 1, 0), (3, 1, 1), (2, 2, 2), (1, 1, 1), (1, 2, 0), (1, 4, 1)]


@pytest.mark.parametrize(("stride", "dilation", "padding"), CASES)
@pytest.mark.parametrize("size", [(17, 12), (24, 31)])
@pytest.mark.parametrize("kernel", [3, 5])
def test_values_and_gradients_equal_the_plain_convolution(
    stride: int, dilation: int, padding: int, size: tuple[int, int], kernel: int
) -> None:
    if min(size) + 2 * padding < dilation * (kernel - 1) + 1:
        pytest.skip("kernel larger than the padded image")
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 6, *size, generator=generator, requires_grad=True)
    weight = torch.randn(6, 1, kernel, kernel, generator=generator, requires_grad=True)
    plain = F.conv2d(x, weight, None, stride, padding, dilation, 6)
    quick = depthwise_conv2d(x, weight, stride, padding, dilation)
    torch.testing.assert_close(quick, plain, atol=1e-5, rtol=1e-5)
    upstream = torch.randn(plain.shape, generator=generator)
    for mine, theirs in zip(
        torch.autograd.grad(quick, (x, weight), upstream), torch.autograd.grad(plain, (x, weight), upstream)
    ):
        torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("layer", [torch.nn.Conv2d, Conv2dSame])
@pytest.mark.parametrize(("stride", "dilation"), [(2, 1), (1, 2)])
def test_patched_layers_keep_values_in_training_and_evaluation(layer: type, stride: int, dilation: int) -> None:
    torch.manual_seed(1)
    conv = layer(
        8, 8, 3, stride=stride, padding=dilation if layer is torch.nn.Conv2d else 0, dilation=dilation, groups=8
    )
    x = torch.randn(2, 8, 19, 22)
    expected = conv(x)
    network = torch.nn.Sequential(conv)
    speed_up_depthwise(network)
    assert "forward" in conv.__dict__
    torch.testing.assert_close(network.train()(x), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(network.eval()(x), expected)
    assert list(network.state_dict()) == ["0.weight", "0.bias"]


def test_other_layers_are_left_alone() -> None:
    network = torch.nn.Sequential(
        torch.nn.Conv2d(8, 8, 3, groups=8), torch.nn.Conv2d(8, 8, 3, stride=2), torch.nn.Conv2d(8, 16, 3, 2, groups=8)
    )
    speed_up_depthwise(network)
    assert not any("forward" in m.__dict__ for m in network.modules())
