"""What this machine lets this process use: cores, threads, memory, shared memory. Everybody who wants to know asks here."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NamedTuple

from segfield.control_groups import core_quota, memory_limits

ROOT = Path("/")
"""Whose `proc`, `sys` and `dev` are read; tests name another."""


class Room(NamedTuple):
    """Bytes in all, and bytes free; None where the system does not say."""

    total: int | None
    free: int | None


def visible_cores() -> int:
    """Cores this process may be scheduled on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def quota() -> float | None:
    """Cores' worth of time that the container or job may use; None without a quota."""
    return core_quota(ROOT)


def usable_cores() -> int:
    """Cores this process may use: those it may be scheduled on, its quota (to the nearest core), and what SLURM gave its task."""
    cores, allowed = visible_cores(), quota()
    if allowed is not None:
        cores = min(cores, int(allowed + 0.5))
    given = _count("SLURM_CPUS_PER_TASK") or _count("SLURM_CPUS_ON_NODE")
    return max(1, min(cores, given or cores))


def asked_threads() -> int | None:
    """What OMP_NUM_THREADS asks for (of a list, the outermost level), if it is set to a number."""
    return _count("OMP_NUM_THREADS")


def usable_threads() -> int:
    """Threads for work that shares itself out: what OMP_NUM_THREADS says where it is set, else the usable cores."""
    return asked_threads() or usable_cores()


def memory() -> Room:
    """Main memory; limits of containers and jobs heeded, every level of them."""
    total, free = _meminfo("MemTotal"), _meminfo("MemAvailable")
    if total is None:
        total, free = _sysconf("SC_PHYS_PAGES"), _sysconf("SC_AVPHYS_PAGES")
    for limit, left in memory_limits(ROOT):
        total = limit if total is None else min(total, limit)
        free = left if free is None else min(free, left)
    return Room(total, free)


def shared_memory() -> Room:
    """/dev/shm, in which processes hand each other batches: its size and what is free of it, never more than memory is.

    Unknown where there is none (macOS and Windows share memory another way, without a limit of its own).
    """
    try:
        usage = shutil.disk_usage(ROOT / "dev/shm")
    except OSError:
        return Room(None, None)
    total, free = memory()
    return Room(min(usage.total, total or usage.total), min(usage.free, usage.free if free is None else free))


def gpu_in_sight() -> bool:
    """Whether a driver of a GPU that torch may use is loaded; False says for sure that loading torch to ask is no use."""
    devices = ("nvidiactl", "kfd", "dxg")  # NVIDIA's, AMD's, and either in Windows' Linux
    return any((ROOT / "dev" / name).exists() for name in devices) or shutil.which("nvidia-smi") is not None


def _count(variable: str) -> int | None:
    first = os.environ.get(variable, "").split(",")[0].strip()
    return int(first) if first.isdigit() and int(first) > 0 else None


def _meminfo(key: str) -> int | None:
    try:
        lines = (ROOT / "proc/meminfo").read_text(encoding="utf-8", errors="replace").splitlines()
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(key + ":")), None)
    except (OSError, ValueError, IndexError):
        return None


def _sysconf(name: str) -> int | None:
    try:
        return os.sysconf(name) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return None
