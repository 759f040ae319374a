"""Which device computes, with how many threads, and handing memory back to the system."""

from __future__ import annotations

import contextlib
import ctypes
import re

import torch

from segfield.errors import SettingError, did_you_mean
from segfield.machine import usable_threads


def pick_device(name: str = "auto") -> torch.device:
    """The device named 'auto' (a GPU if there is one), 'cpu', 'cuda', 'cuda:1' or 'mps'.

    Raises:
        SettingError: if the name is unknown, or no such device is there, with the reason.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    if name == "cpu":
        return torch.device("cpu")
    if name == "mps":
        if not torch.backends.mps.is_available():
            raise SettingError("device 'mps' asks for an Apple GPU, and there is none here; give --device auto or cpu")
        return torch.device("mps")
    match = re.fullmatch(r"cuda(?::(\d+))?", name)
    if match is None:
        known = ["auto", "cpu", "cuda", "cuda:0", "mps"]
        meant = name.replace("gpu", "cuda")  # what other tools call it; 'cpu' is nearer in letters alone
        raise SettingError(f"device '{name}' is unknown; {did_you_mean(meant, known)}")
    return _cuda(name, int(match[1]) if match[1] else None)


def _cuda(name: str, index: int | None) -> torch.device:
    if not torch.cuda.is_available():
        if torch.version.cuda is None and torch.version.hip is None:
            cause = f"this torch ({torch.__version__}) is built for the CPU alone"
        else:
            cause = "torch sees no GPU (no driver, or CUDA_VISIBLE_DEVICES hides it)"
        raise SettingError(f"device '{name}' asks for a GPU, but {cause}; give --device cpu, or see 'segfield doctor'")
    count = torch.cuda.device_count()
    if index is not None and index >= count:
        raise SettingError(
            f"device '{name}' asks for GPU {index}, but there are {count}; give cuda:0 to cuda:{count - 1}"
        )
    return torch.device("cuda" if index is None else f"cuda:{index}")


def set_threads(count: int | None = None) -> int:
    """Give torch `count` threads, or as many as there are usable cores; OMP_NUM_THREADS, where set, has the last word.

    More threads than cores slow a CPU down several times over, and torch does not know of a container's quota.

    Returns:
        the number set.

    Raises:
        SettingError: if count is below 1.
    """
    if count is not None and count < 1:
        raise SettingError(f"threads is {count}; give 1 or more")
    threads = count or usable_threads()
    torch.set_num_threads(threads)
    return threads


def return_freed_memory() -> None:
    """Hand freed blocks back to the system, where the C library can (glibc); else nothing.

    glibc keeps what it frees, in pieces that the next tile of another size does not fit; memory then grows row by row.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
