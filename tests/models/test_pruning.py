"""Pruning: the largest kernels stay, in order, and kernels of zeros leave no trace in what the network computes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from segfield.errors import SettingError
from segfield.models.pruning import Producer, SharedChannels, largest_kernels, prune

CHANNELS = SharedChannels((Producer("0", "1"),), ("3",))


def chain(middle: int) -> nn.Sequential:
    """Convolution, batch norm, ReLU, convolution, with statistics as after a training."""
    network = nn.Sequential(
        nn.Conv2d(2, middle, 3, padding=1), nn.BatchNorm2d(middle), nn.ReLU(), nn.Conv2d(middle, 3, 3, padding=1)
    )
    nn.init.uniform_(network[1].weight, 0.5, 2)
    nn.init.normal_(network[1].bias)
    nn.init.normal_(network[1].running_mean)
    nn.init.uniform_(network[1].running_var, 0.5, 2)
    return network.eval()


class SumOfTwo(nn.Module):
    """Two convolutions whose outputs are added, and one that reads the sum: the smallest residual stage."""

    def __init__(self, middle: int) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(2, middle, 1), nn.Conv2d(2, middle, 3, padding=1)
        self.last = nn.Conv2d(middle, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.left(x) + self.right(x)))


@pytest.mark.parametrize("count", [1, 4, 10])
def test_the_largest_kernels_stay_in_their_order(count: int) -> None:
    weights = [torch.randn(10, 3, 3, 3), torch.randn(10, 5, 1, 1)]
    norms = sum(np.abs(weight.numpy().astype(np.float64)).sum(axis=(1, 2, 3)) for weight in weights)
    assert largest_kernels(weights, count).tolist() == sorted(np.argsort(-norms)[:count].tolist())


def test_signs_do_not_cancel_and_all_convolutions_of_a_sum_count() -> None:
    cancelling = torch.tensor([[3.0, -3.0], [1.0, 1.0], [0.0, 0.0]])[:, :, None, None]
    assert largest_kernels([cancelling], 1).tolist() == [0]
    other = torch.tensor([[0.0], [0.0], [7.0]])[:, :, None, None]
    assert largest_kernels([cancelling, other], 1).tolist() == [2]


def test_every_tensor_that_knows_a_channel_is_cut_and_no_other() -> None:
    tensors = chain(4).state_dict()
    with torch.no_grad():
        tensors["0.weight"][[0, 2]] *= 0.01
    given = {name: tensor.clone() for name, tensor in tensors.items()}
    pruned = prune(tensors, [CHANNELS], [2])
    for name in ("0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var"):
        torch.testing.assert_close(pruned[name], given[name][[1, 3]], rtol=0, atol=0)
    torch.testing.assert_close(pruned["3.weight"], given["3.weight"][:, [1, 3]], rtol=0, atol=0)
    torch.testing.assert_close(pruned["3.bias"], given["3.bias"], rtol=0, atol=0)
    assert all(torch.equal(tensors[name], given[name]) for name in given)  # what was given is not changed


def test_kernels_of_zeros_with_no_shift_leave_no_trace() -> None:
    wide, narrow, image = chain(6), chain(4), torch.randn(2, 2, 9, 7)
    with torch.no_grad():
        for tensor in (wide[0].weight, wide[0].bias, wide[1].bias, wide[1].running_mean):
            tensor[[1, 4]] = 0
    narrow.load_state_dict(prune(wide.state_dict(), [CHANNELS], [4]))
    torch.testing.assert_close(narrow(image), wide(image), rtol=1e-5, atol=1e-6)


def test_convolutions_that_are_added_lose_the_same_channels() -> None:
    wide, narrow, image = SumOfTwo(5), SumOfTwo(3), torch.randn(1, 2, 6, 6)
    with torch.no_grad():
        for convolution in (wide.left, wide.right):
            convolution.weight[[0, 3]] = 0
            convolution.bias[[0, 3]] = 0
    channels = SharedChannels((Producer("left"), Producer("right")), ("last",))
    narrow.load_state_dict(prune(wide.state_dict(), [channels], [3]))
    torch.testing.assert_close(narrow(image), wide(image), rtol=1e-5, atol=1e-6)


def test_the_order_of_the_sets_does_not_matter() -> None:
    tensors = {f"{n}.weight": torch.randn(c_out, c_in, 3, 3) for n, c_in, c_out in ((0, 2, 6), (1, 6, 5), (2, 5, 4))}
    sets = [SharedChannels((Producer(str(n)),), (str(n + 1),)) for n in (0, 1)]
    forwards, backwards = prune(tensors, sets, [3, 2]), prune(tensors, sets[::-1], [2, 3])
    assert [tuple(tensor.shape[:2]) for tensor in forwards.values()] == [(3, 2), (2, 3), (4, 2)]
    assert all(torch.equal(forwards[name], backwards[name]) for name in tensors)


def test_kernels_cannot_be_made() -> None:
    with pytest.raises(SettingError, match=r"4 channels.*5 are to stay"):
        prune(chain(4).state_dict(), [CHANNELS], [5])


@pytest.mark.parametrize("lost", ["0.weight", "3.weight"])
def test_weights_of_another_network_are_named(lost: str) -> None:
    tensors = {name: tensor for name, tensor in chain(4).state_dict().items() if name != lost}
    with pytest.raises(SettingError, match=lost):
        prune(tensors, [CHANNELS], [2])
