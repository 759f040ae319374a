"""A machine made of files: what Linux tells in /proc, /sys and /dev, under a folder of the test's own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from segfield import machine

GIB = 1 << 30


class FakeMachine:
    """Writes what is asked for under `root`, which `segfield.machine` then reads."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, cores: int = 64) -> None:
        self.root = root
        self._monkeypatch = monkeypatch
        monkeypatch.setattr(machine, "ROOT", root)
        for variable in ("OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE"):
            monkeypatch.delenv(variable, raising=False)
        self.cores(cores)
        self.write("proc/meminfo", f"MemTotal: {64 * GIB >> 10} kB\nMemFree: 1 kB\nMemAvailable: {60 * GIB >> 10} kB\n")

    def cores(self, count: int) -> None:
        self._monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(count)), raising=False)

    def write(self, path: str, text: str | int) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")

    def version_2(self, group: str = "/", shown: str = "/") -> None:
        """Control groups of version 2: this process is in `group`, and `shown` is what the mount shows."""
        self.write("proc/self/cgroup", f"0::{group}")
        self.write("proc/self/mountinfo", f"30 23 0:26 {shown} /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw")

    def version_1(self, group: str = "/", shown: str = "/") -> None:
        """Control groups of version 1, with version 2 beside them that controls nothing."""
        self.write("proc/self/cgroup", f"9:name=systemd:/\n4:memory:{group}\n3:cpu,cpuacct:{group}\n0::/")
        mounts = [
            f"32 31 0:29 {shown} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct",
            f"35 31 0:32 {shown} /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory",
            "38 31 0:35 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw",
        ]
        self.write("proc/self/mountinfo", "\n".join(mounts))


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeMachine:
    """64 cores, 64 GiB of which 60 are free, no limits."""
    return FakeMachine(tmp_path, monkeypatch)
