"""The resume state: equal after a round trip, refused where it does not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
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
    assert found.losses is not None and torch.equal(found.losses, torch.tensor([[0.5], [0.25]]))
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


def _spoilt(tensors: dict[str, torch.Tensor]) -> dict[str, dict[str, torch.Tensor]]:
    """The same tensors with one of them missing, of another shape or dtype, or one too many."""
    spoilt = {}
    for key, value in tensors.items():
        other = {name: tensor for name, tensor in tensors.items() if name != key}
        spoilt[f"without {key}"] = other
        spoilt[f"{key} longer"] = {**other, key: torch.cat([value.reshape(-1), value.reshape(-1)[:1]])}
        spoilt[f"{key} in float64"] = {**other, key: value.double()}
        spoilt[f"{key} renamed"] = {**other, f"{key}x": value}
    spoilt["a stranger"] = {**tensors, "stranger": torch.zeros(2)}
    spoilt["a strange optimiser"] = {**tensors, "optimiser/classifier/99/exp_avg": torch.zeros(2)}
    spoilt["no number"] = {**tensors, "optimiser/classifier/x/exp_avg": torch.zeros(2)}
    return spoilt


@pytest.mark.parametrize("checked", [True, False], ids=["", "without its check"])
@pytest.mark.parametrize(("kind", "settings"), [(torch.optim.AdamW, {}), (torch.optim.SGD, {"momentum": 0.9})])
def test_every_spoilt_tensor_is_refused(tmp_path: Path, kind: type, settings: dict[str, float], checked: bool) -> None:
    """Also in states of before there was a check over the whole file."""
    network, optimiser = _stepped(kind, 0, **settings)
    path = tmp_path / "resume.safetensors"
    average = {key: value + 1 for key, value in network.state_dict().items()}
    save_state(path, {"classifier": network}, {"classifier": optimiser}, Extras({"step": 3}, average, torch.ones(3)))
    with safe_open(path, framework="pt") as opened:
        metadata = opened.metadata()
        tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
    if not checked:
        del metadata["segfield_check"]
    missed, (other, other_optimiser) = [], _stepped(kind, 1, **settings)
    for name, spoilt in _spoilt(tensors).items():
        save_file(spoilt, path, metadata)
        try:
            load_state(path, {"classifier": other}, {"classifier": other_optimiser})
            missed.append(name)
        except FileFormatError as error:
            assert "choose another --out" in str(error) or "delete it to start" in str(error)
    # without the check, what may be missing cannot be missed: losses, and the one tensor that SGD keeps of a parameter
    allowed = ("losses", "momentum_buffer", "average/")
    assert not [name for name in missed if checked or not any(word in name for word in allowed)]


@pytest.mark.parametrize(
    "text", ["", "3", "[]", "{", "null", '{"counters": 3, "scaler": {}}', '{"counters": {}, "scaler": 3}']
)
def test_counters_that_are_no_table_are_refused(tmp_path: Path, text: str) -> None:
    network, optimiser = _stepped(torch.optim.AdamW, 0)
    path = tmp_path / "resume.safetensors"
    save_state(path, {"classifier": network}, {"classifier": optimiser}, Extras({"step": 3}))
    save_file(load_file(path), path, {"segfield_resume": text})
    with pytest.raises(FileFormatError, match="delete it to start"):
        load_state(path, {"classifier": network}, {"classifier": optimiser})


def test_a_number_that_was_changed_is_noticed(tmp_path: Path) -> None:
    network, optimiser = _stepped(torch.optim.AdamW, 0)
    path = tmp_path / "resume.safetensors"
    save_state(path, {"classifier": network}, {"classifier": optimiser}, Extras({"step": 3}))
    whole = path.read_bytes()
    for change in (whole.replace(b'\\"step\\": 3', b'\\"step\\": 4'), whole[:-1] + bytes([whole[-1] ^ 1])):
        assert change != whole
        path.write_bytes(change)
        with pytest.raises(FileFormatError, match="delete it to start"):
            load_state(path, {"classifier": network}, {"classifier": optimiser})


def test_a_state_of_before_there_was_a_check_is_read(tmp_path: Path) -> None:
    network, optimiser = _stepped(torch.optim.AdamW, 0)
    path = tmp_path / "resume.safetensors"
    save_state(path, {"classifier": network}, {"classifier": optimiser}, Extras({}))
    save_file(load_file(path), path, {"segfield_resume": '{"step": 3, "seconds": 1.5}'})
    found = load_state(path, {"classifier": network}, {"classifier": optimiser})
    assert (found.counters, found.scaler, found.losses) == ({"step": 3, "seconds": 1.5}, {}, None)
