"""The machine read from files as Linux has them, and from none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from segfield.doctor import machine
from segfield.doctor.machine import abilities, memory_bytes, processor_allowance, read_machine


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty stand-ins for /proc and the control group."""
    for name, file in (("CPUINFO", "cpuinfo"), ("MEMINFO", "meminfo"), ("CGROUP", "")):
        monkeypatch.setattr(machine, name, tmp_path / file)
    return tmp_path


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("fpu avx2 avx512f avx512_bf16 amx_bf16", ("AVX-512", "bf16", "AMX")),
        ("fpu avx2", ("AVX2",)),
        ("fp asimd bf16", ("bf16",)),
        ("", ()),
    ],
)
def test_abilities(flags: str, expected: tuple[str, ...]) -> None:
    assert abilities(flags) == expected


def test_processor_and_memory_from_the_system(system: Path) -> None:
    (system / "cpuinfo").write_text("processor : 0\nmodel name : Test CPU\nflags : avx2\n\nmodel name : second\n")
    (system / "meminfo").write_text("MemTotal:  1000 kB\nMemFree: 1 kB\nMemAvailable: 600 kB\n")
    seen = read_machine(system)
    assert (seen.processor, seen.abilities) == ("Test CPU", ("AVX2",))
    assert (seen.memory, seen.memory_free) == (1_024_000, 614_400)
    assert seen.disk_free is not None and seen.disk_free > 0
    assert seen.processors >= 1


@pytest.mark.parametrize(("text", "expected"), [("max 100000", None), ("150000 100000", 1.5), ("odd", None)])
def test_quota(system: Path, text: str, expected: float | None) -> None:
    (system / "cpu.max").write_text(text)
    assert processor_allowance() == expected


def test_limit_of_a_container_counts(system: Path) -> None:
    (system / "meminfo").write_text("MemTotal: 1000 kB\nMemAvailable: 900 kB\n")
    (system / "memory.max").write_text("512000")
    (system / "memory.current").write_text("500000")
    assert memory_bytes() == (512_000, 12_000)
    (system / "memory.max").write_text("max")
    assert memory_bytes() == (1_024_000, 921_600)


def test_system_that_tells_nothing(system: Path) -> None:
    seen = read_machine(system / "no such folder")
    assert (seen.disk_free, seen.abilities, seen.allowance, seen.memory_free) == (None, (), None, None)
    assert seen.memory == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
