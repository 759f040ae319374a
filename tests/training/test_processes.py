"""Precision, devices and workers that fit the machine."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from segfield.errors import SettingError
from segfield.training.processes import keep_freed_memory, pick_precision, start_fabric, worker_count
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
