"""Limits of containers and jobs, of both versions, at each level, read from files as Linux has them."""

from __future__ import annotations

import pytest

from segfield.control_groups import core_quota, memory_limits
from tests.fake_machine import GIB, FakeMachine, fake

__all__ = ["fake"]
NO_LIMIT = 9223372036854771712  # what version 1 says where there is none


def test_no_limits(fake: FakeMachine) -> None:
    assert core_quota(fake.root) is None and memory_limits(fake.root) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("max 100000", None),
        ("200000 100000", 2),
        ("150000 100000", 1.5),
        ("50000", None),
        ("", None),
        ("odd odd", None),
    ],
)
def test_quota_of_version_2(fake: FakeMachine, text: str, expected: float | None) -> None:
    fake.version_2()
    fake.write("sys/fs/cgroup/cpu.max", text)
    assert core_quota(fake.root) == expected


@pytest.mark.parametrize(("quota", "expected"), [(-1, None), (200000, 2), (50000, 0.5)])
def test_quota_of_version_1(fake: FakeMachine, quota: int, expected: float | None) -> None:
    fake.version_1("/docker/abc")
    fake.write("sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us", quota)
    fake.write("sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us", 100000)
    assert core_quota(fake.root) == expected


def test_quota_of_a_group_above(fake: FakeMachine) -> None:
    fake.version_2("/user.slice/user-1000.slice/job")
    fake.write("sys/fs/cgroup/user.slice/user-1000.slice/job/cpu.max", "max 100000")
    fake.write("sys/fs/cgroup/user.slice/user-1000.slice/cpu.max", "300000 100000")
    fake.write("sys/fs/cgroup/user.slice/cpu.max", "400000 100000")
    assert core_quota(fake.root) == 3


def test_another_groups_quota_is_not_ours(fake: FakeMachine) -> None:
    fake.version_2("/ours")
    fake.write("sys/fs/cgroup/ours/cpu.max", "max 100000")
    fake.write("sys/fs/cgroup/theirs/cpu.max", "100000 100000")
    assert core_quota(fake.root) is None


@pytest.mark.parametrize(
    ("group", "shown"),
    [
        ("/docker/abc", "/docker/abc"),  # a container that reads the host's path; the mount shows its own group
        ("/docker/abc", "/"),  # the host's path, which is not to be found inside
        ("/../../elsewhere", "/"),  # a process from outside of the namespace
        ("/docker/abcdef", "/docker/abc"),  # a longer name is another group
    ],
)
@pytest.mark.parametrize("version", [1, 2])
def test_containers_own_group_is_the_mount(fake: FakeMachine, group: str, shown: str, version: int) -> None:
    if version == 2:
        fake.version_2(group, shown)
        fake.write("sys/fs/cgroup/cpu.max", "200000 100000")
    else:
        fake.version_1(group, shown)
        fake.write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", 200000)
        fake.write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", 100000)
    assert core_quota(fake.root) == 2


def test_without_a_list_of_mounts_the_usual_places_are_read(fake: FakeMachine) -> None:
    fake.write("sys/fs/cgroup/cpu.max", "200000 100000")
    fake.write("sys/fs/cgroup/memory.max", GIB)
    assert core_quota(fake.root) == 2 and memory_limits(fake.root) == [(GIB, GIB)]


def test_memory_of_version_2(fake: FakeMachine) -> None:
    """What files keep in memory unused is room; memory.high throttles before memory.max kills."""
    fake.version_2("/job/step")
    fake.write("sys/fs/cgroup/job/step/memory.max", "max")
    fake.write("sys/fs/cgroup/job/memory.max", 4 * GIB)
    fake.write("sys/fs/cgroup/job/memory.high", 3 * GIB)
    fake.write("sys/fs/cgroup/job/memory.current", 2 * GIB)
    fake.write("sys/fs/cgroup/job/memory.stat", f"anon {GIB}\ninactive_file {GIB // 2}\nactive_file 5")
    assert memory_limits(fake.root) == [(3 * GIB, 3 * GIB - 2 * GIB + GIB // 2)]


def test_memory_of_version_1(fake: FakeMachine) -> None:
    fake.version_1("/docker/abc")
    place = "sys/fs/cgroup/memory/docker/abc/memory"
    fake.write(f"{place}.limit_in_bytes", 2 * GIB)
    fake.write(f"{place}.usage_in_bytes", GIB)
    fake.write(f"{place}.stat", f"cache 1\ninactive_file 1\ntotal_inactive_file {GIB // 4}")
    fake.write("sys/fs/cgroup/memory/memory.limit_in_bytes", NO_LIMIT)
    fake.write("sys/fs/cgroup/memory/memory.usage_in_bytes", 9 * GIB)
    assert memory_limits(fake.root) == [(2 * GIB, GIB + GIB // 4), (NO_LIMIT, NO_LIMIT - 9 * GIB)]


def test_more_used_than_allowed_leaves_nothing(fake: FakeMachine) -> None:
    fake.version_2()
    fake.write("sys/fs/cgroup/memory.max", GIB)
    fake.write("sys/fs/cgroup/memory.current", 2 * GIB)
    assert memory_limits(fake.root) == [(GIB, 0)]
