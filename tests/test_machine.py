"""One machine, one answer: whoever asks for cores or memory is told the same."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest
import torch

from segfield import machine
from segfield.crf import threads as crf_threads
from segfield.data import infer_classes
from segfield.data.check import report
from segfield.doctor.machine import read_machine
from segfield.inference.devices import set_threads
from segfield.inference.memory import available_bytes
from segfield.training.processes import worker_count
from segfield.training.recipe import Recipe
from tests.data.check.test_report import healthy
from tests.fake_machine import GIB, FakeMachine, fake

__all__ = ["fake"]


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.mark.parametrize("version", [1, 2])
def test_everybody_keeps_to_a_quota_of_2_of_64_cores(
    fake: FakeMachine, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if version == 2:
        fake.version_2()
        fake.write("sys/fs/cgroup/cpu.max", "200000 100000")
    else:
        fake.version_1()
        fake.write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", 200000)
        fake.write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", 100000)
    pools: list[int] = []

    class Pool(ThreadPoolExecutor):
        def __init__(self, workers: int, **settings: Any) -> None:
            pools.append(workers)
            super().__init__(workers, **settings)

    monkeypatch.setattr(report, "ThreadPoolExecutor", Pool)
    monkeypatch.setattr(infer_classes, "ThreadPoolExecutor", Pool)
    before = torch.get_num_threads()
    try:
        assert set_threads() == torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert crf_threads.usable_threads() == 2
    report.check_dataset(healthy())
    list(infer_classes.scan_masks([]))
    assert set(pools) == {2} and len(pools) >= 2
    assert worker_count(Recipe(data="", out=""), torch.device("cuda")) == 1
    assert (read_machine().processors, read_machine().allowance) == (64, 2)


@pytest.mark.parametrize(("quota", "cores"), [(20_000, 1), (140_000, 1), (150_000, 2), (250_000, 3), (9_900_000, 64)])
def test_a_quota_counts_to_the_nearest_core(fake: FakeMachine, quota: int, cores: int) -> None:
    fake.version_2()
    fake.write("sys/fs/cgroup/cpu.max", f"{quota} 100000")
    assert machine.usable_cores() == cores


@pytest.mark.parametrize(
    ("variable", "value", "cores"),
    [
        ("SLURM_CPUS_PER_TASK", "8", 8),
        ("SLURM_CPUS_PER_TASK", "128", 64),
        ("SLURM_CPUS_ON_NODE", "16", 16),
        ("SLURM_CPUS_ON_NODE", "", 64),
        ("OMP_NUM_THREADS", "4", 64),
    ],
)
def test_what_slurm_gave_bounds_the_cores(
    fake: FakeMachine, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, cores: int
) -> None:
    monkeypatch.setenv(variable, value)
    assert machine.usable_cores() == cores


def test_of_slurms_counts_the_tasks_own_is_the_one(fake: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "32")
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "4")
    assert machine.usable_cores() == 4


@pytest.mark.parametrize(
    ("asked", "threads"), [("3", 3), ("128", 128), ("4,2", 4), ("", 64), ("0", 64), ("-1", 64), ("all", 64)]
)
def test_omp_num_threads_has_the_last_word(
    fake: FakeMachine, monkeypatch: pytest.MonkeyPatch, asked: str, threads: int
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert machine.usable_threads() == threads


def test_a_system_without_affinity_counts_its_cores(fake: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert machine.usable_cores() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert machine.usable_cores() == 1


def test_memory_of_the_whole_machine(fake: FakeMachine) -> None:
    assert machine.memory() == (64 * GIB, 60 * GIB)


def test_memory_is_the_least_of_all_levels(fake: FakeMachine) -> None:
    """The job may have 16 GiB, the container around it 8, of which others took 6."""
    fake.version_2("/pod/job")
    for group, limit, used in (("pod/job", 16, 1), ("pod", 8, 6)):
        fake.write(f"sys/fs/cgroup/{group}/memory.max", limit * GIB)
        fake.write(f"sys/fs/cgroup/{group}/memory.current", used * GIB)
    assert machine.memory() == (8 * GIB, 2 * GIB)
    assert available_bytes("cpu") == 2 * GIB
    assert (read_machine().memory, read_machine().memory_free) == (8 * GIB, 2 * GIB)


def test_a_limit_beyond_the_machine_changes_nothing(fake: FakeMachine) -> None:
    fake.version_1()
    fake.write("sys/fs/cgroup/memory/memory.limit_in_bytes", 9223372036854771712)
    fake.write("sys/fs/cgroup/memory/memory.usage_in_bytes", GIB)
    assert machine.memory() == (64 * GIB, 60 * GIB)


def test_a_system_that_tells_nothing(fake: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    (fake.root / "proc/meminfo").unlink()
    monkeypatch.setattr(
        os, "sysconf", lambda name: {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 10, "SC_AVPHYS_PAGES": 3}[name]
    )
    assert machine.memory() == (40960, 12288)
    monkeypatch.delattr(os, "sysconf")
    assert machine.memory() == (None, None)


def test_shared_memory_is_what_dev_shm_has(fake: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.shared_memory() == (None, None)
    (fake.root / "dev/shm").mkdir(parents=True)
    asked: list[object] = []

    def usage(folder: object) -> Usage:
        asked.append(folder)
        return Usage(64 << 20, 4 << 20, 60 << 20)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    assert machine.shared_memory() == (64 << 20, 60 << 20)
    assert asked == [fake.root / "dev/shm"]


def test_shared_memory_is_never_more_than_memory(fake: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.version_2()
    fake.write("sys/fs/cgroup/memory.max", GIB)
    fake.write("sys/fs/cgroup/memory.current", GIB // 2)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(32 * GIB, 0, 32 * GIB))
    assert machine.shared_memory() == (GIB, GIB // 2)


@pytest.mark.parametrize("driver", ["nvidiactl", "kfd", "dxg"])
def test_a_gpu_is_in_sight_where_a_driver_is(fake: FakeMachine, monkeypatch: pytest.MonkeyPatch, driver: str) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: None)
    assert not machine.gpu_in_sight()
    fake.write(f"dev/{driver}", "")
    assert machine.gpu_in_sight()


def test_a_gpu_is_in_sight_where_its_tool_is(fake: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        shutil, "which", lambda program: "C:/Windows/nvidia-smi.exe" if program == "nvidia-smi" else None
    )
    assert machine.gpu_in_sight()
