"""Devices, processes, precision and memory of a run."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, TypeVar, cast

import torch
from lightning_fabric import Fabric
from lightning_fabric.wrappers import _FabricModule
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from segfield.errors import SegfieldError, SettingError
from segfield.inference.devices import pick_device
from segfield.machine import usable_cores
from segfield.training.recipe import Recipe


def start_fabric(recipe: Recipe) -> Fabric:
    """Fabric for the recipe's devices and precision, launched.

    One process a device. Several are started here, or are there already under torchrun and SLURM.

    Raises:
        SettingError: if a device or precision is not to be had.
    """
    device = pick_device(recipe.device)
    several = recipe.devices * recipe.nodes > 1 or int(os.environ.get("WORLD_SIZE", "1")) > 1
    if device.type == "cuda" and recipe.devices > torch.cuda.device_count():
        raise SettingError(f"devices is {recipe.devices}, but there are {torch.cuda.device_count()} GPUs here")
    devices: int | list[int] = recipe.devices
    if device.type == "cuda" and device.index is not None and not several:
        devices = [device.index]
    if several and "WORLD_SIZE" in os.environ:
        devices = int(os.environ.get("LOCAL_WORLD_SIZE", os.environ["WORLD_SIZE"]))
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # the run tells what matters itself
    fabric = Fabric(
        accelerator=device.type,
        devices=devices,
        num_nodes=recipe.nodes,
        strategy="ddp" if several else "auto",
        precision=pick_precision(recipe.precision, device),
    )
    fabric.launch()
    return fabric


def is_first_process() -> bool:
    """Whether this is the first of the processes of a run, as torchrun, SLURM and Fabric tell those that they start."""
    told = (os.environ.get(name) for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK", "NODE_RANK"))
    first = next((rank for rank in told if rank is not None), "0")
    return first == "0" and os.environ.get("NODE_RANK", "0") == "0"


T = TypeVar("T")


def from_first(fabric: Fabric, work: Callable[[], T]) -> T:
    """What `work` gives in the first process of a run, in all of them; what it cannot use is raised in all of them."""
    if fabric.world_size == 1:
        return work()
    outcome: T | SegfieldError | None = None
    if fabric.is_global_zero:
        try:
            outcome = work()
        except SegfieldError as error:
            outcome = error
    outcome = fabric.broadcast(outcome)
    if isinstance(outcome, SegfieldError):
        raise outcome
    return cast(T, outcome)


class _Frozen(nn.Module):
    """A network that does not learn, in the precision of the run: processes have nothing to tell each other of it."""

    def __init__(self, network: nn.Module, fabric: Fabric) -> None:
        super().__init__()
        self.network, self.fabric = network, fabric

    def forward(self, *inputs: Any) -> Any:
        with self.fabric.autocast():
            return self.network(*inputs)


def on_devices(fabric: Fabric, network: nn.Module, as_it_is: bool) -> nn.Module:
    """A network as its objective calls it: in the run's precision, its gradients averaged over the processes.

    With `as_it_is` it keeps its inputs' precision; its gradients are averaged one by one.
    """
    if as_it_is:
        for parameter in network.parameters():
            if parameter.requires_grad and fabric.world_size > 1:
                parameter.register_hook(lambda gradient: fabric.all_reduce(gradient, reduce_op="mean"))  # type: ignore[no-untyped-call,unused-ignore]
        return network
    if not any(parameter.requires_grad for parameter in network.parameters()):
        return _Frozen(network, fabric)
    prepared: nn.Module = fabric.setup_module(network)
    return prepared


def gradients_held_back(fabric: Fabric, network: nn.Module, hold: bool) -> AbstractContextManager[Any]:
    """Where batches are added up, processes average gradients after the last one only."""
    if not isinstance(network, _FabricModule):
        return contextlib.nullcontext()
    held: AbstractContextManager[Any] = fabric.no_backward_sync(network, enabled=hold)
    return held


@contextlib.contextmanager
def not_learning(network: nn.Module) -> Iterator[None]:
    """Within, a network's parameters are constants: gradients go through it to its inputs, and processes tell each other none."""
    learned = [parameter for parameter in network.parameters() if parameter.requires_grad]
    shared = next((module for module in network.modules() if isinstance(module, DistributedDataParallel)), None)
    for parameter in learned:
        parameter.requires_grad_(False)
    try:
        with contextlib.nullcontext() if shared is None else shared.no_sync():
            yield
    finally:
        for parameter in learned:
            parameter.requires_grad_(True)


def leave_processes(fabric: Fabric) -> None:
    """Part from the other processes of a run, once all are done: one that ends with its connections open is an abort, and
    takes the first process down while that still writes the report.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        fabric.barrier()
        torch.distributed.destroy_process_group()


def pick_precision(name: str, device: torch.device) -> str:
    """'auto' → the fastest precision that is safe here: bf16-mixed where the hardware multiplies in bfloat16.

    torch emulates bfloat16 on GPUs before Ampere, many times slower than their own float16, which came with Volta (7.0).

    Raises:
        SettingError: for 16-mixed off a GPU, where it is neither fast nor supported.
    """
    if name == "16-mixed" and device.type != "cuda":
        raise SettingError(f"precision 16-mixed needs a GPU, and the device is {device.type}; give bf16-mixed or auto")
    if name != "auto":
        return name
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return "bf16-mixed"
        return "16-mixed" if torch.cuda.get_device_capability(device) >= (7, 0) else "32-true"
    if device.type == "cpu" and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return "bf16-mixed" if torch.ops.mkldnn._is_mkldnn_bf16_supported() else "32-true"
    return "32-true"


def worker_count(recipe: Recipe, device: torch.device) -> int:
    """Processes that prepare batches: none on a CPU, where they would compete with the network for its cores."""
    if recipe.workers >= 0:
        return recipe.workers
    return 0 if device.type == "cpu" else min(8, max(1, usable_cores() - 1))


def keep_freed_memory() -> None:
    """Let glibc keep freed memory instead of handing it back to the kernel after every layer.

    A training step allocates and frees gigabytes; mapping them anew each time costs page faults on a CPU.
    Does nothing on other C libraries.
    """
    if platform.system() != "Linux" or platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL("libc.so.6")
    trim_threshold, top_pad, mmap_max = -1, -2, -4  # malloc.h
    libc.mallopt(mmap_max, 0)
    libc.mallopt(trim_threshold, 2**31 - 1)
    libc.mallopt(top_pad, 256 * 2**20)
