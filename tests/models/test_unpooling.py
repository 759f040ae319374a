"""Unpooling: equal to torch's in values and gradients, at odd sizes, where maxima tie, and when traced."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from segfield.models.unpooling import max_pool, max_unpool

SIZES = [(8, 10), (7, 9), (45, 60), (1, 1), (1, 9), (9, 1), (2, 1), (1, 2)]


def of_few_values(*shape: int) -> Tensor:
    """Whole numbers of −1 … 1, so that most windows hold their maximum more than once."""
    return torch.randint(-1, 2, shape, generator=torch.Generator().manual_seed(0)).float()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_values_and_gradient_are_torchs(size: tuple[int, int], layout: torch.memory_format) -> None:
    image = of_few_values(2, 3, *size).to(memory_format=layout)
    weights = torch.randn(2, 3, *size).to(memory_format=layout)
    unpooled, gradient = value_and_gradient(there_and_back, image, weights)
    expected, expected_gradient = value_and_gradient(torchs_there_and_back, image, weights)
    assert torch.equal(unpooled, expected)
    assert torch.equal(gradient, expected_gradient)


def there_and_back(x: Tensor) -> Tensor:
    maxima, indices = max_pool(x)
    return max_unpool(3 * maxima + 1, indices, (x.shape[2], x.shape[3]))


def torchs_there_and_back(x: Tensor) -> Tensor:
    maxima, indices = F.max_pool2d(x, 2, ceil_mode=True, return_indices=True)
    return F.max_unpool2d(3 * maxima + 1, indices, 2, output_size=x.shape[2:])


def value_and_gradient(form: Callable[[Tensor], Tensor], image: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    x = image.clone().requires_grad_()
    y = form(x)
    (gradient,) = torch.autograd.grad((y * weights).sum(), x)
    return y.detach(), gradient


def test_bfloat16_is_only_moved() -> None:
    x = torch.randn(1, 64, 9, 13).bfloat16().to(memory_format=torch.channels_last)
    maxima, indices = max_pool(x)
    with torch.autocast("cpu", torch.bfloat16):
        unpooled = max_unpool(maxima, indices, (9, 13))
    assert unpooled.dtype == torch.bfloat16
    assert torch.equal(F.max_pool2d(unpooled.relu(), 2, ceil_mode=True), maxima.relu())
    assert torch.equal(unpooled[unpooled != 0], x[unpooled != 0])


def test_the_first_of_equals_is_kept() -> None:
    maxima, indices = max_pool(torch.ones(1, 1, 4, 5))
    assert indices.tolist() == [[[[0, 2, 4], [10, 12, 14]]]]
    assert max_unpool(maxima, indices, (4, 5)).flatten().nonzero().flatten().tolist() == [0, 2, 4, 10, 12, 14]


def test_sizes_are_those_of_the_paper() -> None:
    """360×480 through five pools, rounded up as Caffe rounds: the authors' files name 45×60 and 23×30."""
    x, sizes = torch.zeros(1, 1, 360, 480), []
    for _ in range(5):
        x, _ = max_pool(x)
        sizes.append(tuple(x.shape[-2:]))
    assert sizes == [(180, 240), (90, 120), (45, 60), (23, 30), (12, 15)]


def test_traced_it_is_the_same_in_values_and_gradient() -> None:
    traced = torch.compile(there_and_back, backend="aot_eager", fullgraph=True)
    image, weights = of_few_values(2, 3, 7, 9), torch.randn(2, 3, 7, 9)
    plain, whole = (value_and_gradient(form, image, weights) for form in (there_and_back, traced))
    assert torch.equal(plain[0], whole[0])
    assert torch.equal(plain[1], whole[1])


def test_the_gradient_of_the_gradient() -> None:
    x = torch.randn(1, 2, 3, 5, dtype=torch.float64, requires_grad=True)
    indices = max_pool(torch.randn(1, 2, 5, 9))[1]
    assert torch.autograd.gradcheck(lambda x: max_unpool(x, indices, (5, 9)), x)
    assert torch.autograd.gradgradcheck(lambda x: max_unpool(x, indices, (5, 9)).pow(3), x)
