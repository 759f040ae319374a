"""What the machine has: processors and what they can do, memory, disk; read from the system, no library needed."""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")
ABILITIES = {"avx512f": "AVX-512", "avx512_bf16": "bf16", "amx_bf16": "AMX", "avx2": "AVX2", "bf16": "bf16"}


@dataclass(frozen=True)
class Machine:
    """Processors this process may use, their abilities, and bytes of memory and disk, mean load; None if unknown."""

    system: str
    processor: str
    processors: int
    allowance: float | None
    abilities: tuple[str, ...]
    memory: int | None
    memory_free: int | None
    disk_free: int | None
    load: float | None = None


def read_machine(folder: str | Path = ".") -> Machine:
    """Read what there is. Containers are heeded: their share of processors and memory counts, not the host's.

    Args:
        folder: whose disk is meant.
    """
    info = _lines(CPUINFO)
    memory, free = memory_bytes()
    try:
        disk: int | None = shutil.disk_usage(folder).free
    except OSError:
        disk = None
    return Machine(
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        processor=info.get("model name", platform.processor() or platform.machine()),
        processors=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        allowance=processor_allowance(),
        abilities=abilities(info.get("flags", info.get("Features", ""))),
        memory=memory,
        memory_free=free,
        disk_free=disk,
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    )


def abilities(flags: str) -> tuple[str, ...]:
    """What of a processor's flags speeds networks up; AVX2 only where nothing better is there."""
    found = list(dict.fromkeys(ABILITIES[flag] for flag in ABILITIES if flag in flags.split()))
    return tuple(name for name in found if name != "AVX2" or "AVX-512" not in found)


def processor_allowance() -> float | None:
    """Processors that a container's quota allows; None without a quota."""
    try:
        quota, period = (CGROUP / "cpu.max").read_text().split()[:2]
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        return None


def memory_bytes() -> tuple[int | None, int | None]:
    """(all, free) bytes of memory, the container's limit heeded."""
    rows = _lines(MEMINFO)
    total, free = _kilobytes(rows.get("MemTotal")), _kilobytes(rows.get("MemAvailable"))
    if total is None and hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        limit = int((CGROUP / "memory.max").read_text())
        used = int((CGROUP / "memory.current").read_text())
    except (OSError, ValueError):
        return total, free
    return min(total or limit, limit), min(free if free is not None else limit, max(limit - used, 0))


def _kilobytes(text: str | None) -> int | None:
    return int(text.split()[0]) * 1024 if text else None


def _lines(file: Path) -> dict[str, str]:
    """`key : value` lines; the first of each key."""
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    rows: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        rows.setdefault(key.strip(), value.strip())
    return rows
