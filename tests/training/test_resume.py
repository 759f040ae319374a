"""The resume state: equal after a round trip, refused where it does not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from segfield.errors import FileFormatError
from segfield.training.resume import Extras, load_state, save_state


def _stepped(
    optimiser_type: type[torch.optim.Optimizer], seed: int, **settings: float
) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)).to(memory_format=torch.channels_last)
    optimiser = optimiser_type(network.parameters(), lr=0.1, fused=True, **settings)  # type: ignore[call-arg]
    for _ in range(3):
        network(torch.randn(2, 2, 5, 5)).square().sum().backward()
        optimiser.step()
        optimiser.zero_grad()
    return network, optimiser


@pytest.mark.parametrize(("kind", "settings"), [(torch.optim.AdamW, {}), (torch.optim.SGD, {"momentum": 0.9})])
def test_the_next_step_is_the_same_after_a_round_trip(tmp_path: Path, kind: type, settings: dict[str, float]) -> None:
    network, optimiser = _stepped(kind, 0, **settings)
    path = tmp_path / "resume.safetensors"
    average = {key: value + 1 for key, value in network.state_dict().items()}
    extras = Extras({"step": 3, "best": 0.5}, average, torch.tensor([0.5, 0.25]), {"scale": 1024.0})
    save_state(path, {"classifier": network}, {"classifier": optimiser}, extras)
    other, other_optimiser = _stepped(kind, 1, **settings)
    found = load_state(path, {"classifier": other}, {"classifier": other_optimiser})
    assert (found.counters, found.scaler) == (extras.counters, extras.scaler)
    assert found.losses is not None and torch.equal(found.losses, torch.tensor([0.5, 0.25]))
    assert all(torch.equal(found.average[key], value) for key, value in average.items())
    x = torch.randn(2, 2, 5, 5)
    for net, opt in ((network, optimiser), (other, other_optimiser)):
        net(x).square().sum().backward()
        opt.step()
    for a, b in zip(network.state_dict().values(), other.state_dict().values()):
        assert torch.equal(a, b)


def test_damaged_and_foreign_states_are_refused(tmp_path: Path) -> None:
    network, optimiser = _stepped(torch.optim.AdamW, 0)
    path = tmp_path / "resume.safetensors"
    save_state(path, {"classifier": network}, {"classifier": optimiser}, Extras({"step": 3}))
    with pytest.raises(FileFormatError, match="another network"):
        load_state(path, {"classifier": nn.Conv2d(1, 1, 1)}, {})
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(FileFormatError, match="not a whole resume state"):
        load_state(path, {"classifier": network}, {"classifier": optimiser})
