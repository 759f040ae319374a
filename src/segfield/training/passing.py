"""How a batch comes from the process that made it: by shared memory where there is room for it, else through a pipe.

Containers often have 64 MB of shared memory. torch puts a batch there when it is sent already, in a thread whose failure nobody
sees: the run would wait for that batch for ever.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from segfield import machine
from segfield.classes import Array

SPARE = 8 * 2**20
"""Bytes of shared memory that are left to others: processes of a GPU's library meet there as well."""

Passed = Tensor | Array | None


def sent(tensors: Sequence[Tensor | None]) -> tuple[Passed, ...]:
    """The tensors in shared memory; as arrays, which are sent whole, where that has no room."""
    free = machine.shared_memory().free
    if free is None or free - size_of(tensors) >= SPARE:
        try:
            return tuple(tensor if tensor is None else _shared(tensor) for tensor in tensors)
        except RuntimeError:  # another process was quicker, or no more files may be open
            pass
    return tuple(tensor if tensor is None else tensor.numpy() for tensor in tensors)


def _shared(tensor: Tensor) -> Tensor:
    shared: Tensor = tensor.share_memory_()  # type: ignore[no-untyped-call]
    return shared


def received(passed: Sequence[Passed]) -> tuple[Tensor | None, ...]:
    """The inverse of `sent`."""
    return tuple(torch.from_numpy(item) if isinstance(item, np.ndarray) else item for item in passed)


def came_by_pipe(passed: Sequence[Passed]) -> bool:
    """Whether shared memory had no room for these."""
    return any(isinstance(item, np.ndarray) for item in passed)


def size_of(passed: Sequence[Passed]) -> int:
    """Bytes of a batch."""
    return sum(0 if item is None else item.nbytes for item in passed)


def too_little(batch_bytes: int, workers: int) -> str:
    """The note that shared memory is too small: what it has, what is needed, and what gives it."""
    needed = batch_bytes * (2 * workers + 2) + SPARE  # each worker prepares two; one is at work, one on its way
    megabytes = -(-needed // 10**6)
    free = (machine.shared_memory().free or 0) // 10**6
    return (
        f"shared memory (/dev/shm) has {free} MB free, and the batches of {workers} workers take {megabytes} MB there: they come "
        f"through pipes instead, which is slower; give the container more (docker run --shm-size={megabytes}m), or --workers 0"
    )
