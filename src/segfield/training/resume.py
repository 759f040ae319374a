"""The resume state of a run: networks, optimisers and averages as safetensors, counters as its JSON. No pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from segfield.data.files import write_atomically
from segfield.errors import FileFormatError

_KEY = "segfield_resume"


def save_state(
    path: Path,
    networks: Mapping[str, nn.Module],
    optimisers: Mapping[str, Optimizer],
    average: Mapping[str, Tensor],
    counters: Mapping[str, Any],
) -> None:
    """Write everything a run needs to go on exactly where it is, atomically.

    Args:
        path: the file.
        networks, optimisers: by name.
        average: the running average of the weights; empty where there is none.
        counters: JSON-able numbers: step, seconds used, best score …
    """
    from safetensors.torch import save

    tensors = {f"average/{key}": value for key, value in average.items()}
    for name, network in networks.items():
        tensors.update({f"network/{name}/{key}": value for key, value in network.state_dict().items()})
    for name, optimiser in optimisers.items():
        for number, state in optimiser.state_dict()["state"].items():
            for key, value in state.items():
                tensors[f"optimiser/{name}/{number}/{key}"] = torch.as_tensor(value)
    plain = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    write_atomically(path, save(plain, metadata={_KEY: json.dumps(dict(counters))}))


def load_state(
    path: Path,
    networks: Mapping[str, nn.Module],
    optimisers: Mapping[str, Optimizer],
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Put networks and optimisers where a run stood. Returns its counters and its running average.

    Raises:
        FileFormatError: if the file is damaged or of another network.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as opened:
            counters: dict[str, Any] = json.loads((opened.metadata() or {})[_KEY])
            tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, json.JSONDecodeError) as error:
        raise FileFormatError(
            f"{path} is not a whole resume state ({error}); delete it to start the run anew"
        ) from error
    try:
        for name, network in networks.items():
            network.load_state_dict(_below(tensors, f"network/{name}/"))
    except RuntimeError as error:
        raise FileFormatError(f"{path} is of another network than the recipe's; choose another --out") from error
    for name, optimiser in optimisers.items():
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in _below(tensors, f"optimiser/{name}/").items():
            number, _, entry = key.partition("/")
            state.setdefault(int(number), {})[entry] = value
        optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
        _lay_out_like_parameters(optimiser)
    return counters, _below(tensors, "average/")


def _lay_out_like_parameters(optimiser: Optimizer) -> None:
    """Give each state the memory layout of its parameter: fused steps walk both by address, so a layout that differs from
    the parameter's (channels-last here, contiguous in the file) would silently pair wrong elements.
    """
    for group in optimiser.param_groups:
        for parameter in group["params"]:
            state = optimiser.state[parameter]
            for key, value in state.items():
                if value.shape == parameter.shape:
                    state[key] = torch.empty_like(parameter).copy_(value)


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}
