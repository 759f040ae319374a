"""Precision, devices and workers that fit the machine."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from segfield.errors import DataError, SettingError
from segfield.training.processes import (
    from_first,
    is_first_process,
    keep_freed_memory,
    pick_precision,
    start_fabric,
    worker_count,
)
from segfield.training.recipe import Recipe

RECIPE = Recipe(data="x", device="cpu")
CPU, GPU = torch.device("cpu"), torch.device("cuda")


def test_precision_that_is_asked_for_is_taken() -> None:
    assert pick_precision("32-true", CPU) == "32-true"
    assert pick_precision("auto", CPU) in ("32-true", "bf16-mixed")
    assert pick_precision("auto", torch.device("mps")) == "32-true"
    with pytest.raises(SettingError, match="needs a GPU"):
        pick_precision("16-mixed", CPU)


def test_no_workers_beside_a_network_on_the_cpu() -> None:
    assert worker_count(RECIPE, CPU) == 0
    assert worker_count(RECIPE, GPU) >= 1
    assert worker_count(dataclasses.replace(RECIPE, workers=3), CPU) == 3


def test_fabric_is_on_the_device() -> None:
    fabric = start_fabric(RECIPE)
    assert (fabric.device.type, fabric.world_size, fabric.global_rank) == ("cpu", 1, 0)


def test_freed_memory_is_kept_without_harm() -> None:
    keep_freed_memory()
    keep_freed_memory()
    assert torch.ones(4_000_000).sum().item() == 4_000_000


@pytest.mark.gpu
def test_on_a_gpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    assert start_fabric(dataclasses.replace(RECIPE, device="cuda")).device.type == "cuda"
    assert pick_precision("auto", GPU) in ("bf16-mixed", "16-mixed")


@pytest.mark.parametrize(
    ("native", "capability", "expected"),
    [(True, (8, 0), "bf16-mixed"), (False, (7, 5), "16-mixed"), (False, (6, 1), "32-true")],
    ids=["Ampere", "Turing", "Pascal"],
)
def test_no_gpu_emulates_bfloat16(
    monkeypatch: pytest.MonkeyPatch, native: bool, capability: tuple[int, int], expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: native or including_emulation)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: capability)
    assert pick_precision("auto", GPU) == expected


@pytest.mark.parametrize(
    ("environment", "first"),
    [
        ({}, True), ({"RANK": "0", "LOCAL_RANK": "0"}, True), ({"RANK": "4", "LOCAL_RANK": "0"}, False),
        ({"SLURM_PROCID": "0"}, True), ({"SLURM_PROCID": "3"}, False), ({"LOCAL_RANK": "1"}, False),
        ({"LOCAL_RANK": "0", "NODE_RANK": "1"}, False),
    ],
    ids=str,
)  # fmt: skip
def test_the_first_process_knows_itself(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], first: bool
) -> None:
    for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK", "NODE_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert is_first_process() is first


class _World:
    """The fabric of one process of two."""

    world_size = 2

    def __init__(self, first: bool, said: object = None) -> None:
        self.is_global_zero, self.said = first, said

    def broadcast(self, value: object) -> object:
        if self.is_global_zero:
            self.said = value
        return self.said


def test_work_is_done_once_and_told_to_all() -> None:
    first: Any = _World(True)
    assert from_first(first, lambda: 7) == 7
    other: Any = _World(False, first.said)
    assert from_first(other, lambda: pytest.fail("the first one does it")) == 7


def test_what_the_first_one_cannot_use_is_raised_in_all() -> None:
    def refuse() -> None:
        raise DataError("an image is broken")

    first: Any = _World(True)
    with pytest.raises(DataError):
        from_first(first, refuse)
    other: Any = _World(False, first.said)
    with pytest.raises(DataError, match="broken"):
        from_first(other, lambda: None)
