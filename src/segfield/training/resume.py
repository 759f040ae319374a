"""The resume state of a run: networks, optimisers and averages as safetensors, counters as its JSON. No pickle."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from segfield.data.files import write_atomically
from segfield.errors import FileFormatError

_KEY = "segfield_resume"
_CHECK = "segfield_check"


@dataclass(frozen=True)
class Extras:
    """What a run needs to go on beside networks and optimisers.

    Attributes:
        counters: JSON-able: step, seconds used, best score …
        average: the running average of the weights; empty where there is none.
        losses: (N, 1 + M) float32 of the steps since the last validation: loss and what the objective measures; (N,) in
            states of before.
        scaler: state of the gradient scaler of float16; empty where there is none.
    """

    counters: dict[str, Any]
    average: dict[str, Tensor] = field(default_factory=dict)
    losses: Tensor | None = None
    scaler: dict[str, Any] = field(default_factory=dict)


def save_state(
    path: Path, networks: Mapping[str, nn.Module], optimisers: Mapping[str, Optimizer], extras: Extras
) -> None:
    """Write everything a run needs to go on exactly where it is, atomically; networks and optimisers by name."""
    from safetensors.torch import save

    tensors = {f"average/{key}": value for key, value in extras.average.items()}
    for name, network in networks.items():
        tensors.update({f"network/{name}/{key}": value for key, value in network.state_dict().items()})
    for name, optimiser in optimisers.items():
        for number, state in optimiser.state_dict()["state"].items():
            for key, value in state.items():
                tensors[f"optimiser/{name}/{number}/{key}"] = torch.as_tensor(value)
    if extras.losses is not None:
        tensors["losses"] = extras.losses
    plain = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    text = json.dumps({"counters": extras.counters, "scaler": extras.scaler})
    write_atomically(path, save(plain, metadata={_KEY: text, _CHECK: _digest(text, plain)}))


def load_state(path: Path, networks: Mapping[str, nn.Module], optimisers: Mapping[str, Optimizer]) -> Extras:
    """Put networks and optimisers where a run stood. Returns what else it needs.

    Raises:
        FileFormatError: if the file is damaged or of another network; networks and optimisers may then be changed in part.
    """
    extras, tensors = _read(path)
    try:
        for name, network in networks.items():
            saved = _below(tensors, f"network/{name}/")
            require_alike(saved, network.state_dict(), name)
            network.load_state_dict(saved)
    except (ValueError, RuntimeError) as error:
        raise FileFormatError(
            f"{path} is of another network than the recipe's ({error}); choose another --out"
        ) from error
    try:
        for name, optimiser in optimisers.items():
            _load_optimiser(optimiser, _below(tensors, f"optimiser/{name}/"))
        if extras.average:
            require_alike(extras.average, networks["classifier"].state_dict(), "average")
    except (ValueError, RuntimeError) as error:
        raise damaged(path, str(error)) from error
    return extras


def damaged(path: Path, cause: str) -> FileFormatError:
    """The error for a state that cannot be what a run wrote."""
    return FileFormatError(f"{path} is not a whole resume state ({cause}); delete it to start the run anew")


def require_alike(saved: Mapping[str, Tensor], own: Mapping[str, Tensor], name: str) -> None:
    """Raises ValueError unless tensors have the names, shapes and dtypes of `own`, saying which does not."""
    for key, value in own.items():
        if key not in saved:
            raise ValueError(f"{name} lacks the tensor '{key}'")
        _require_form(f"{name}: '{key}'", saved[key], value)
    for key in saved:
        if key not in own:
            raise ValueError(f"{name} has a tensor '{key}' too many")


def _require_form(what: str, found: Tensor, wanted: Tensor) -> None:
    forms = [f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}" for value in (found, wanted)]
    if forms[0] != forms[1]:
        raise ValueError(f"{what} is {forms[0]}, not {forms[1]}")


def _read(path: Path) -> tuple[Extras, dict[str, Tensor]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as opened:
            metadata: dict[str, str] = opened.metadata() or {}
            document = json.loads(metadata[_KEY])
            tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise damaged(path, str(error)) from error
    check = metadata.get(_CHECK)
    if check is not None and check != _digest(metadata[_KEY], tensors):
        raise damaged(path, "its numbers are not those that were written")
    if not isinstance(document, dict):
        raise damaged(path, "its counters are no table")
    # a state of before there was a check has the counters alone
    counters = document.get("counters") if check is not None or "counters" in document else document
    scaler, losses = document.get("scaler") or {} if counters is not document else {}, tensors.get("losses")
    if not isinstance(counters, dict) or not isinstance(scaler, dict):
        raise damaged(path, "its counters are no table")
    if losses is not None and losses.ndim == 1:
        losses = losses[:, None]
    if losses is not None and (losses.ndim != 2 or losses.dtype != torch.float32):
        raise damaged(path, "its losses are no table of float32")
    known = ("average/", "network/", "optimiser/")
    strange = next((key for key in tensors if key != "losses" and not key.startswith(known)), None)
    if strange is not None:
        raise damaged(path, f"it has a tensor '{strange}' too many")
    return Extras(counters, _below(tensors, "average/"), losses, scaler), tensors


def _digest(text: str, tensors: Mapping[str, Tensor]) -> str:
    """Of counters and of every tensor's name, form and bytes: a file that was changed by accident is told from a whole one."""
    digest = hashlib.sha256(text.encode())
    for key in sorted(tensors):
        value = tensors[key]
        data: Any = value.contiguous().reshape(-1).view(torch.uint8).numpy() if value.numel() else b""
        digest.update(f"{key} {value.dtype} {tuple(value.shape)} {zlib.crc32(data)}\n".encode())
    return digest.hexdigest()


def _load_optimiser(optimiser: Optimizer, saved: Mapping[str, Tensor]) -> None:
    """Raises ValueError where the state cannot be this optimiser's."""
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    entries = {"step", "exp_avg", "exp_avg_sq"} if "betas" in optimiser.defaults else {"momentum_buffer"}
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in saved.items():
        number, _, entry = key.partition("/")
        if not number.isdigit() or int(number) >= len(parameters) or entry not in entries:
            raise ValueError(f"the optimiser has a tensor '{key}' too many")
        wanted = torch.zeros((), dtype=torch.float32) if entry == "step" else parameters[int(number)]
        _require_form(f"the optimiser's '{key}'", value, wanted)
        state.setdefault(int(number), {})[entry] = value
    for index, given in state.items():
        if given.keys() != entries:
            raise ValueError(f"the optimiser lacks '{index}/{min(entries - given.keys())}'")
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    _lay_out_like_parameters(optimiser)


def _lay_out_like_parameters(optimiser: Optimizer) -> None:
    """Give each state the memory layout of its parameter: fused steps walk both by address, so a layout that differs from
    the parameter's (channels-last here, contiguous in the file) would silently pair wrong elements.
    """
    for group in optimiser.param_groups:
        for parameter in group["params"]:
            state = optimiser.state.get(parameter, {})
            for key, value in state.items():
                if value.shape == parameter.shape and key != "step":
                    state[key] = torch.empty_like(parameter).copy_(value)


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}
