"""The machine read from files as Linux has them, and from none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from segfield.doctor.machine import abilities, read_machine
from tests.fake_machine import FakeMachine, fake

__all__ = ["fake"]


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


def test_processor_and_memory_from_the_system(fake: FakeMachine, tmp_path: Path) -> None:
    fake.write("proc/cpuinfo", "processor : 0\nmodel name : Test CPU\nflags : avx2\n\nmodel name : second\n")
    fake.write("proc/meminfo", "MemTotal:  1000 kB\nMemFree: 1 kB\nMemAvailable: 600 kB\n")
    seen = read_machine(tmp_path)
    assert (seen.processor, seen.abilities) == ("Test CPU", ("AVX2",))
    assert (seen.memory, seen.memory_free) == (1_024_000, 614_400)
    assert seen.disk_free is not None and seen.disk_free > 0
    assert seen.processors == 64


def test_system_that_tells_nothing(fake: FakeMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (fake.root / "proc/meminfo").unlink()
    monkeypatch.delattr(os, "sysconf")
    seen = read_machine(tmp_path / "no such folder")
    assert (seen.disk_free, seen.abilities, seen.allowance, seen.memory_free) == (None, (), None, None)
    assert (seen.memory, seen.shared) == (None, None)
