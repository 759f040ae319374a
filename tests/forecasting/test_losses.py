"""Absolute error and gradient difference, against loops and by what must not change them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from segfield.errors import DataError
from segfield.forecasting.losses import forecast_loss, gradient_difference


def maps(seed: int, size: tuple[int, int] = (6, 8)) -> Tensor:
    """(2, 3, 4, H, W) float64."""
    return torch.randn(2, 3, 4, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def by_loops(predicted: Tensor, target: Tensor) -> float:
    """Gradient difference, pair by pair."""
    total = 0.0
    for down, right in ((1, 0), (0, 1)):
        found = []
        for y, x in zip(target.flatten(0, -3).numpy(), predicted.flatten(0, -3).numpy()):
            for i in range(y.shape[0] - down):
                for j in range(y.shape[1] - right):
                    there = (i + down, j + right)
                    found.append(abs(abs(y[there] - y[i, j]) - abs(x[there] - x[i, j])))
        total += float(np.mean(found)) if found else 0
    return total


@pytest.mark.parametrize("size", [(6, 8), (5, 3), (1, 4), (4, 1), (1, 1)])
def test_gradient_difference_is_the_sum_of_the_formula(size: tuple[int, int]) -> None:
    predicted, target = maps(0, size), maps(1, size)
    assert float(gradient_difference(predicted, target)) == pytest.approx(by_loops(predicted, target))


def test_gradient_difference_by_hand() -> None:
    target, predicted = torch.tensor([[0.0, 1.0], [3.0, 2.0]]), torch.tensor([[0.0, 0.0], [1.0, 5.0]])
    down = (abs(3 - 1) + abs(1 - 5)) / 2
    right = (abs(1 - 0) + abs(1 - 4)) / 2
    assert float(gradient_difference(predicted, target)) == down + right


def test_gradient_difference_sees_neither_a_constant_nor_the_sign() -> None:
    predicted, target = maps(0), maps(1)
    assert float(gradient_difference(target, target)) == 0
    assert float(gradient_difference(target + 3, target)) == pytest.approx(0, abs=1e-12)
    assert float(gradient_difference(-target, target)) == 0
    expected = gradient_difference(predicted, target)
    torch.testing.assert_close(gradient_difference(predicted - 7, target + 2), expected)
    assert expected > 0.5


@pytest.mark.parametrize("size", [(6, 8), (5, 7)])
def test_the_loss_adds_both_scales(size: tuple[int, int]) -> None:
    height, width = size
    target, fine, coarse = maps(0, size), maps(1, size), maps(2, ((height + 1) // 2, (width + 1) // 2))
    padded = np.pad(target.numpy(), [(0, 0)] * 3 + [(0, height % 2), (0, width % 2)], mode="edge")
    blocks = padded.reshape(2, 3, 4, (height + 1) // 2, 2, (width + 1) // 2, 2)
    shrunk = torch.from_numpy(blocks.mean(axis=(4, 6)))
    expected = [
        float((scale - truth).abs().mean()) + by_loops(scale, truth)
        for scale, truth in ((coarse, shrunk), (fine, target))
    ]
    assert float(forecast_loss((coarse, fine), target)) == pytest.approx(sum(expected))
    assert float(forecast_loss((fine,), target)) == pytest.approx(expected[1])


def test_a_perfect_forecast_loses_nothing_and_a_constant_costs_its_size() -> None:
    target = maps(0)
    shrunk = target.unflatten(-2, (3, 2)).unflatten(-1, (4, 2)).mean(dim=(-3, -1))
    assert float(forecast_loss((shrunk, target), target)) == pytest.approx(0, abs=1e-12)
    assert float(forecast_loss((shrunk + 0.5, target - 2), target)) == pytest.approx(2.5)


def test_frames_backwards_lose_the_same() -> None:
    target, fine, coarse = maps(0), maps(1), maps(2, (3, 4))
    expected = forecast_loss((coarse, fine), target)
    torch.testing.assert_close(forecast_loss((coarse.flip(1), fine.flip(1)), target.flip(1)), expected)


def test_each_frame_counts_alike() -> None:
    target, fine = maps(0), maps(1)
    alone = [forecast_loss((fine[:, t : t + 1],), target[:, t : t + 1]) for t in range(3)]
    torch.testing.assert_close(forecast_loss((fine,), target), torch.stack(alone).mean())


def test_its_gradient_is_that_of_finite_differences() -> None:
    target, fine, coarse = maps(0, (3, 4)), maps(1, (3, 4)).requires_grad_(), maps(2, (2, 2)).requires_grad_()
    assert torch.autograd.gradcheck(lambda *scales: forecast_loss(scales, target), (coarse, fine))


def test_another_shape_than_the_target_is_refused() -> None:
    for forecast in ((maps(0, (6, 7)),), (maps(0, (4, 4)), maps(0)), (maps(0)[:, :2],)):
        with pytest.raises(DataError, match=r"forecast and target.*as many frames"):
            forecast_loss(forecast, maps(1))
