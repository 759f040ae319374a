"""What a container or a job may use: limits of its control groups, versions 1 and 2, each level above them included.

https://docs.kernel.org/admin-guide/cgroup-v2.html; for version 1, cgroup-v1/memory.html and scheduler/sched-bwc.html beside it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path

_USUAL = {
    2: ("sys/fs/cgroup", "sys/fs/cgroup/unified"),
    1: ("sys/fs/cgroup/{0}", "sys/fs/cgroup/cpu,cpuacct", "sys/fs/cgroup/cpuacct,cpu"),
}
"""Where the groups are mounted if the system does not say."""


def core_quota(root: Path) -> float | None:
    """Cores' worth of time the groups allow, the least of all levels; None without a quota.

    Args:
        root: of the file system: `/`, or another in tests.
    """
    found = []
    for folder in _levels(root, "cpu", 2):
        quota, period = [*_text(folder / "cpu.max").split(), "", ""][:2]
        found.append((_number(quota), _number(period)))
    for folder in _levels(root, "cpu", 1):
        found.append((_number(_text(folder / "cpu.cfs_quota_us")), _number(_text(folder / "cpu.cfs_period_us"))))
    return min((quota / period for quota, period in found if quota and period), default=None)


def memory_limits(root: Path) -> list[tuple[int, int]]:
    """(limit, room left) in bytes of each level that has a limit.

    What files keep in memory and nobody has used lately is room: the kernel drops it before it refuses anything.
    """
    found = []
    for folder in _levels(root, "memory", 2):
        limits = [_number(_text(folder / name)) for name in ("memory.max", "memory.high")]
        limit = min((limit for limit in limits if limit is not None), default=None)
        found.append((limit, _number(_text(folder / "memory.current")), _entry(folder, "inactive_file")))
    for folder in _levels(root, "memory", 1):
        limit, used = (_number(_text(folder / f"memory.{name}_in_bytes")) for name in ("limit", "usage"))
        found.append((limit, used, _entry(folder, "total_inactive_file")))
    return [(limit, max(0, limit - max(0, (used or 0) - files))) for limit, used, files in found if limit is not None]


def _levels(root: Path, controller: str, version: int) -> Sequence[Path]:
    """The folders of this process's group and of those above it, as far as they are visible here."""
    if (root / "proc/self/cgroup").exists():
        return _levels_once(root, controller, version)
    return list(_find_levels(root, controller, version))


@functools.lru_cache(maxsize=64)
def _levels_once(root: Path, controller: str, version: int) -> Sequence[Path]:
    """Kept: the CRF asks for each image, and processes stay in their group."""
    return list(_find_levels(root, controller, version))


def _find_levels(root: Path, controller: str, version: int) -> Iterator[Path]:
    own = _own_group(root, controller, version)
    for mount, mounted in _mounts(root, controller, version):
        # Without a namespace of its own a container reads the host's path, of which the mount shows a part.
        inside = own[len(mounted.rstrip("/")) :] if (own + "/").startswith(mounted.rstrip("/") + "/") else "/"
        folder = mount / inside.strip("/")
        if ".." in inside.split("/") or not folder.is_dir():
            folder = mount
        yield folder
        while folder != mount:
            folder = folder.parent
            yield folder


def _own_group(root: Path, controller: str, version: int) -> str:
    for line in _text(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if (number == "0" and not controllers) if version == 2 else controller in controllers.split(","):
            return path
    return "/"


def _mounts(root: Path, controller: str, version: int) -> list[tuple[Path, str]]:
    """(where, which group is shown there) of each mount that has the controller."""
    kind, found, known = "cgroup2" if version == 2 else "cgroup", [], False
    for line in _text(root / "proc/self/mountinfo").splitlines():
        place, _, system = line.partition(" - ")
        fields, options = place.split(), system.split()
        if len(fields) < 5 or len(options) < 3 or not options[0].startswith("cgroup"):
            continue
        known = True
        if options[0] == kind and (version == 2 or controller in options[2].split(",")):
            found.append((root / fields[4].replace("\\040", " ").lstrip("/"), fields[3]))
    if known:
        return found
    return [
        (root / usual.format(controller), "/")
        for usual in _USUAL[version]
        if (root / usual.format(controller)).is_dir()
    ]


def _entry(folder: Path, key: str) -> int:
    for line in _text(folder / "memory.stat").splitlines():
        name, _, value = line.partition(" ")
        if name == key:
            return _number(value) or 0
    return 0


def _number(text: str) -> int | None:
    """A count; None for 'max', −1 (both: no limit) and what is not there."""
    return int(text) if text.isdigit() else None


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
