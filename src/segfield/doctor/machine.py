"""What the doctor tells of the machine: what `segfield.machine` says of it, and what its processors can do."""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

from segfield import machine

ABILITIES = {"avx512f": "AVX-512", "avx512_bf16": "bf16", "amx_bf16": "AMX", "avx2": "AVX2", "bf16": "bf16"}


@dataclass(frozen=True)
class Machine:
    """Processors this process may use, their abilities, and bytes of memory and disk, mean load; None if unknown.

    Attributes:
        allowance: processors' worth of time that a quota allows.
        shared, shared_free: /dev/shm, in which workers hand over batches.
    """

    system: str
    processor: str
    processors: int
    allowance: float | None
    abilities: tuple[str, ...]
    memory: int | None
    memory_free: int | None
    disk_free: int | None
    load: float | None = None
    shared: int | None = None
    shared_free: int | None = None


def read_machine(folder: str | Path = ".") -> Machine:
    """Read what there is. Containers are heeded: their share of processors and memory counts, not the host's.

    Args:
        folder: whose disk is meant.
    """
    info = _lines(machine.ROOT / "proc/cpuinfo")
    try:
        disk: int | None = shutil.disk_usage(folder).free
    except OSError:
        disk = None
    memory, shared = machine.memory(), machine.shared_memory()
    return Machine(
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        processor=info.get("model name", platform.processor() or platform.machine()),
        processors=machine.visible_cores(),
        allowance=machine.quota(),
        abilities=abilities(info.get("flags", info.get("Features", ""))),
        memory=memory.total,
        memory_free=memory.free,
        disk_free=disk,
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        shared=shared.total,
        shared_free=shared.free,
    )


def abilities(flags: str) -> tuple[str, ...]:
    """What of a processor's flags speeds networks up; AVX2 only where nothing better is there."""
    found = list(dict.fromkeys(ABILITIES[flag] for flag in ABILITIES if flag in flags.split()))
    return tuple(name for name in found if name != "AVX2" or "AVX-512" not in found)


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
