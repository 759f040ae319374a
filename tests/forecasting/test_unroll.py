"""Unrolled forecasts against the network called by hand, their gradients against finite differences."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from segfield.errors import SettingError
from segfield.forecasting.networks import VARIANTS, ForecastingNetwork
from segfield.forecasting.unroll import feeds_itself, unroll


def network(variant: str = "s2s", frames: int = 3, ahead: int = 1, scales: int = 2) -> ForecastingNetwork:
    """Of two classes, in float64, with random weights that let what is read come through."""
    torch.manual_seed(0)
    return ForecastingNetwork(variant, 2, frames, ahead, scales).double()


def frames_for(forecaster: ForecastingNetwork, size: tuple[int, int] = (5, 6)) -> Tensor:
    return torch.randn(2, forecaster.frames, forecaster.channels_read, *size, dtype=torch.float64)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("scales", [1, 2])
@pytest.mark.parametrize("ahead", [1, 2])
def test_one_call_is_the_network_itself(variant: str, scales: int, ahead: int) -> None:
    """With M = 1, autoregressive and batch forecasts are the same."""
    forecaster = network(variant, ahead=ahead, scales=scales)
    past = frames_for(forecaster)
    with torch.inference_mode():
        for found, expected in zip(unroll(forecaster, past, ahead), forecaster(past), strict=True):
            assert torch.equal(found, expected)


@pytest.mark.parametrize("variant", ["x2x", "s2s", "xs2xs", "s2s_dil"])
@pytest.mark.parametrize("scales", [1, 2])
def test_the_latest_frames_are_read_next(variant: str, scales: int) -> None:
    forecaster = network(variant, scales=scales)
    film = frames_for(forecaster)
    expected: list[list[Tensor]] = []
    with torch.inference_mode():
        found = unroll(forecaster, film, 5)
        for t in range(5):
            expected.append(list(forecaster(film[:, t : t + 3])))
            film = torch.cat((film, expected[-1][-1]), dim=1)
    for scale, frames in zip(found, zip(*expected), strict=True):
        torch.testing.assert_close(scale, torch.cat(frames, dim=1))
    assert not torch.allclose(found[-1][:, 0], found[-1][:, 4])


def test_several_frames_at_once_are_fed_back_together_and_the_surplus_cut() -> None:
    forecaster = network(frames=3, ahead=2)
    past = frames_for(forecaster)
    with torch.inference_mode():
        first = forecaster(past)[-1]
        second = forecaster(torch.cat((past[:, 2:], first), dim=1))[-1]
        found = unroll(forecaster, past, 3)
    torch.testing.assert_close(found[-1], torch.cat((first, second[:, :1]), dim=1))
    assert found[0].shape == (2, 3, 2, 3, 3)


def test_images_and_scores_go_back_to_their_channels() -> None:
    """Weights of zero leave the last bias alone: each channel says its number, and is read where it belongs."""
    forecaster, read = network("xs2xs"), []
    for parameter in forecaster.parameters():
        nn.init.zeros_(parameter)
    with torch.no_grad():
        forecaster.fine[-1].bias.copy_(torch.arange(5))
    forecaster.register_forward_pre_hook(lambda module, given: read.append(given[0]))
    past = torch.full((1, 3, 5, 4, 4), -1.0, dtype=torch.float64)
    unroll(forecaster, past, 4)
    seen = [frames[0, :, :, 0, 0].tolist() for frames in read]
    old, new = [-1.0] * 5, [0.0, 1.0, 2.0, 3.0, 4.0]
    assert seen == [[old] * 3, [old, old, new], [old, new, new], [new] * 3]


@pytest.mark.parametrize("ahead", [1, 2])
def test_gradients_pass_through_every_frame(ahead: int) -> None:
    """The last of four frames by finite differences, in the weights and in what was seen first."""
    forecaster = network(frames=2, ahead=ahead)
    past = frames_for(forecaster, (3, 4)).requires_grad_()
    unroll(forecaster, past, 4)[-1][:, -1].square().sum().backward()
    weights = forecaster.fine[-1].weight
    generator, step = torch.Generator().manual_seed(1), 1e-6
    for tensor in (past, weights):
        assert tensor.grad is not None
        direction = torch.randn(tensor.shape, dtype=torch.float64, generator=generator)
        sums = []
        for sign in (1, -1):
            with torch.no_grad():
                tensor += sign * step * direction
                sums.append(float(unroll(forecaster, past, 4)[-1][:, -1].square().sum()))
                tensor -= sign * step * direction
        assert float((tensor.grad * direction).sum()) == pytest.approx((sums[0] - sums[1]) / (2 * step), rel=1e-5)
        assert tensor.grad.abs().max() > 0


def test_a_film_that_is_the_same_backwards_has_one_forecast() -> None:
    forecaster = network(frames=4)
    half = frames_for(forecaster)[:, :2]
    film = torch.cat((half, half.flip(1)), dim=1)
    with torch.inference_mode():
        assert torch.equal(unroll(forecaster, film.flip(1), 3)[-1], unroll(forecaster, film, 3)[-1])
        assert not torch.equal(unroll(forecaster, film.roll(1, 1), 3)[-1], unroll(forecaster, film, 3)[-1])


def test_who_can_go_on_alone() -> None:
    assert [name for name in VARIANTS if feeds_itself(name)] == ["x2x", "s2s", "xs2xs", "s2s_dil"]
    for variant in ("xs2x", "xs2s"):
        forecaster = network(variant, ahead=2)
        with pytest.raises(SettingError, match=f"{variant} forecasts 2 of the 3.*take one of x2x, s2s"):
            unroll(forecaster, frames_for(forecaster), 3)


@pytest.mark.parametrize("frames", [0, -1])
def test_no_frames_are_refused(frames: int) -> None:
    forecaster = network()
    with pytest.raises(SettingError, match=f"{frames} frames.*1 or more"):
        unroll(forecaster, frames_for(forecaster), frames)
