"""The two-scale forecasters: layers and parameters by hand, the whole once more from its weights, reach by gradients."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segfield.errors import DataError, SettingError
from segfield.forecasting.networks import VARIANTS, ForecastingNetwork, enlarge, shrink

SIZES = [(8, 12), (7, 10), (5, 9), (1, 6), (1, 1)]

# channels read and given of a frame, by the paper's table at five classes
TABLE = {"x2x": (3, 3), "s2s": (5, 5), "xs2x": (8, 3), "xs2s": (8, 5), "xs2xs": (8, 8), "s2s_dil": (5, 5)}


def four(read: int, given: int, outer: int) -> int:
    """Weights and biases of read → 128 → 256 → 128 → given maps, outer × outer at both ends, 3×3 between."""
    ends = 128 * (read * outer**2 + 1) + given * (128 * outer**2 + 1)
    return ends + 256 * (128 * 9 + 1) + 128 * (256 * 9 + 1)


def count(network: nn.Module | None) -> int:
    assert network is not None
    return sum(p.numel() for p in network.parameters())


def test_parameters_are_those_of_the_authors_layers() -> None:
    with torch.device("meta"):
        scores, images = ForecastingNetwork("s2s", 19), ForecastingNetwork("x2x", 19)
    assert four(76, 19, 3) == count(scores.coarse) == 699_795
    assert four(95, 19, 5) == count(scores.fine) == 955_155
    assert count(scores) == 1_654_950
    assert count(images) == four(12, 3, 3) + four(15, 3, 5) == 1_255_558


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("frames", "ahead", "scales"), [(4, 1, 2), (3, 2, 2), (2, 3, 1)])
def test_channels_are_those_of_the_table(variant: str, frames: int, ahead: int, scales: int) -> None:
    read, given = TABLE[variant]
    with torch.device("meta"):
        network = ForecastingNetwork(variant, 5, frames, ahead, scales)
        forecast = network(torch.zeros(2, frames, read, 10, 7))
    whole, half = (2, ahead, given, 10, 7), (2, ahead, given, 5, 4)
    assert [scale.shape for scale in forecast] == [half, whole][2 - scales :]
    expected = four(frames * read, ahead * given, 3)
    if scales == 2:
        expected += four(frames * read + ahead * given, ahead * given, 5)
    assert count(network) == expected


def layers(maps: Tensor, weights: list[Tensor], dilation: int) -> Tensor:
    for number in range(4):
        weight, bias = weights[2 * number : 2 * number + 2]
        rate = dilation if number in (1, 2) else 1
        maps = F.conv2d(
            F.relu(maps) if number else maps, weight, bias, padding=rate * (weight.shape[-1] // 2), dilation=rate
        )
    return maps


def halved(frames: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Each 2×2 block's mean, after the last row or column of an odd size is repeated."""
    height, width = frames.shape[-2:]
    padded = np.pad(frames, [(0, 0)] * (frames.ndim - 2) + [(0, height % 2), (0, width % 2)], mode="edge")
    return (padded[..., ::2, ::2] + padded[..., 1::2, ::2] + padded[..., ::2, 1::2] + padded[..., 1::2, 1::2]) / 4


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_network_once_more_from_its_weights(variant: str, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    network = ForecastingNetwork(variant, 5, frames=3, ahead=2).double()
    read, given = TABLE[variant]
    past = torch.randn(2, 3, read, *size, dtype=torch.float64)
    weights, dilation = list(network.parameters()), 2 if variant == "s2s_dil" else 1
    end = torch.tanh if variant in ("x2x", "xs2x") else torch.clone
    with torch.inference_mode():
        coarse = end(layers(torch.from_numpy(halved(past.numpy())).flatten(1, 2), weights[:8], dilation))
        guess = coarse.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)[..., : size[0], : size[1]]
        fine = end(guess + layers(torch.cat((past.flatten(1, 2), guess), dim=1), weights[8:], dilation))
        found = network(past)
    torch.testing.assert_close(found[0].flatten(1, 2), coarse)
    torch.testing.assert_close(found[1].flatten(1, 2), fine)
    assert found[1].shape == (2, 2, given, *size)


@pytest.mark.parametrize("variant", ["x2x", "s2s_dil"])
def test_one_scale_is_four_small_convolutions(variant: str) -> None:
    network = ForecastingNetwork(variant, 5, frames=2, scales=1).double()
    past = torch.randn(1, 2, TABLE[variant][0], 6, 7, dtype=torch.float64)
    weights, dilation = list(network.parameters()), 2 if variant == "s2s_dil" else 1
    assert {tuple(weight.shape[-2:]) for weight in weights[::2]} == {(3, 3)}
    expected = layers(past.flatten(1, 2), weights, dilation)
    with torch.inference_mode():
        (found,) = network(past)
    torch.testing.assert_close(found[:, 0], expected.tanh() if variant == "x2x" else expected)


@pytest.mark.parametrize(("variant", "coarse", "fine"), [("s2s", 1 + 1 + 1 + 1, 2 + 1 + 1 + 2), ("s2s_dil", 6, 8)])
def test_dilation_widens_the_view_at_both_scales(variant: str, coarse: int, fine: int) -> None:
    torch.manual_seed(0)
    network = ForecastingNetwork(variant, 2, frames=1)
    for scale, reach in ((network.coarse, coarse), (network.fine, fine)):
        assert scale is not None
        maps = torch.randn(1, scale[0].in_channels, 25, 25, requires_grad=True)
        scale(maps)[..., 12, 12].sum().backward()
        assert maps.grad is not None
        rows = maps.grad[0].abs().sum(dim=(0, 2)).nonzero()
        assert (int(rows.min()), int(rows.max())) == (12 - reach, 12 + reach)


def test_first_weights_are_lua_torchs() -> None:
    for layer in ForecastingNetwork("s2s", 3).modules():
        if isinstance(layer, nn.Conv2d):
            bound = (layer.in_channels * layer.kernel_size[0] ** 2) ** -0.5
            assert 0.99 * bound < float(layer.weight.detach().abs().max()) <= bound
            assert 0 < float(layer.bias.detach().abs().max()) <= bound


@pytest.mark.parametrize("size", SIZES)
def test_shrinking_takes_means_and_enlarging_repeats(size: tuple[int, int]) -> None:
    frames = torch.randn(2, 3, 4, *size, dtype=torch.float64)
    small = shrink(frames)
    np.testing.assert_allclose(small.numpy(), halved(frames.numpy()))
    large = enlarge(small.flatten(1, 2), *size).numpy()
    rows, columns = np.indices(size)
    np.testing.assert_array_equal(large, small.flatten(1, 2).numpy()[..., rows // 2, columns // 2])


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("s2x", 3), "no forecaster 's2x'; did you mean"),
        (("s2s", 0), "1 or more classes.*found 0"),
        (("s2s", 3, 0), "found 3, 0, 1 and 2"),
        (("s2s", 3, 4, 0), "found 3, 4, 0 and 2"),
        (("s2s", 3, 4, 1, 3), "1 or 2 scales.*and 3"),
    ],
)
def test_impossible_networks_are_refused(arguments: tuple[str, int], word: str) -> None:
    with pytest.raises(SettingError, match=word):
        ForecastingNetwork(*arguments)


@pytest.mark.parametrize("shape", [(4, 5, 8, 8), (1, 3, 5, 8, 8), (1, 4, 6, 8, 8)])
def test_other_frames_than_it_reads_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"s2s reads \(B, 4, 5, H, W\)"):
        ForecastingNetwork("s2s", 5)(torch.zeros(shape))
