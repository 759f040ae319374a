"""How much of the cores other work takes at this moment, and how many threads to use beside it."""

from __future__ import annotations

import os
import time
from typing import NamedTuple

from segfield import machine

WINDOW = 0.25
"""Seconds the cores are watched for."""
_TICKS = 100  # a second, of /proc/stat on every Linux there is


class Taken(NamedTuple):
    """Usable cores' worth of time that other work takes: of this process's priority or a higher one, and of a lower one."""

    equal: float
    lower: float

    @property
    def all(self) -> float:
        return self.equal + self.lower


class _Reading(NamedTuple):
    """Seconds: by the clock, of the cores at work for others' usual and lowered priority, and of this process."""

    clock: float
    usual: float
    lowered: float
    own: float


def taken(window: float = WINDOW) -> Taken | None:
    """Watch the cores for `window` seconds; None where the system does not tell (/proc/stat).

    Under a quota, what others take of the cores beyond it is not missed.
    """
    before = _read()
    time.sleep(window)
    after = _read()
    if before is None or after is None:
        return None
    found, spare = _between(before, after), machine.visible_cores() - machine.usable_cores()
    equal, both = max(0.0, found.equal - spare), max(0.0, found.all - spare)
    return Taken(equal, both - equal)


def threads_beside(cores: int, equal: float) -> int:
    """Threads for work that is cut into equal parts, on `cores` of which others of equal priority take `equal`.

    A part on a core that is shared holds up all others. As long as more than half of the cores are free, the parts go there;
    with fewer, as many threads as cores get a larger share from the system than they lose by waiting, if they wait asleep.
    """
    free = cores - round(equal)
    return free if 2 * free > cores else cores


def sentence(cores: int, found: Taken, what: str, threads: int) -> str:
    """What to tell a user whose machine is taken; '' where it is not (less than half a core)."""
    busy = min(round(found.all), cores)
    if busy < 1:
        return ""
    priority = " of lower priority" if found.lower > found.equal else ""
    verb = "is" if busy == 1 else "are"
    return f"{busy} of {cores} cores {verb} busy with other work{priority}; {what} with {threads} thread{'s' * (threads != 1)}"


def _between(before: _Reading, after: _Reading) -> Taken:
    clock = max(after.clock - before.clock, 1e-9)
    usual, lowered, own = (end - begin for begin, end in zip(before[1:], after[1:]))
    if _is_nice():  # then all others are of this priority or a higher one, as far as can be told
        return Taken(max(0.0, usual + lowered - own) / clock, 0.0)
    return Taken(max(0.0, usual - own) / clock, max(0.0, lowered) / clock)


def _is_nice() -> bool:
    return hasattr(os, "getpriority") and os.getpriority(os.PRIO_PROCESS, 0) > 0


def _read() -> _Reading | None:
    """The counters of the cores: user, nice, system, idle, waiting for disks, interrupts (two), stolen by other machines."""
    usual = lowered = 0
    try:
        mine = {f"cpu{core}" for core in os.sched_getaffinity(0)}
        for line in (machine.ROOT / "proc/stat").read_text(encoding="ascii", errors="replace").splitlines():
            name, *counts = line.split()
            if name in mine:
                user, nice, system, _, _, *rest = (int(count) for count in counts[:8])
                usual += user + system + sum(rest)
                lowered += nice
    except (OSError, ValueError, AttributeError):
        return None
    used = os.times()
    own = used.user + used.system + used.children_user + used.children_system
    return _Reading(time.monotonic(), usual / _TICKS, lowered / _TICKS, own)
