"""What others take of the cores, from /proc/stat as Linux has it, and what follows for threads and words."""

from __future__ import annotations

import os
import time

import pytest

from segfield import load
from segfield.load import Taken, sentence, taken, threads_beside
from tests.fake_machine import FakeMachine, fake

__all__ = ["fake"]


class Moments:
    """/proc/stat and the clock before and after the window, in which `seconds` pass and this process takes `own` seconds."""

    def __init__(self, fake: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fake, self.patch = fake, monkeypatch

    def pass_by(self, cores: list[tuple[int, ...]], seconds: float = 1.0, own: float = 0.0, nice: int = 0) -> None:
        """`cores`: for each, ticks (1/100 s) of user, nice, system, idle, iowait, irq, softirq, steal that come to it."""
        now, used = [100.0], [5.0]
        start = (1000, 500, 300, 9000, 10, 1, 2, 3)

        def write(added: list[tuple[int, ...]]) -> None:
            rows = [" ".join(map(str, (a + b for a, b in zip(start, more)))) for more in added]
            self.fake.write(
                "proc/stat", "\n".join(["cpu 1 2 3", *(f"cpu{i} {row} 0 0" for i, row in enumerate(rows)), "ctxt 1"])
            )

        def sleep(window: float) -> None:
            write(cores)
            now[0], used[0] = now[0] + seconds, used[0] + own

        write([(0,) * 8] * len(cores))
        self.patch.setattr(load.time, "sleep", sleep)
        self.patch.setattr(load.time, "monotonic", lambda: now[0])
        self.patch.setattr(os, "times", lambda: os.times_result((used[0], 0.0, 0.0, 0.0, now[0])))
        self.patch.setattr(os, "getpriority", lambda which, who: nice, raising=False)


@pytest.fixture
def moments(fake: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> Moments:
    fake.cores(2)
    return Moments(fake, monkeypatch)


IDLE = (0, 0, 0, 100, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("cores", "own", "expected"),
    [
        ([IDLE, IDLE], 0.0, Taken(0, 0)),
        ([(100, 0, 0, 0, 0, 0, 0, 0), IDLE], 0.0, Taken(1, 0)),
        ([(100, 0, 0, 0, 0, 0, 0, 0), (60, 0, 0, 40, 0, 0, 0, 0)], 0.6, Taken(1, 0)),  # 0.6 s are this process's own
        ([(0, 100, 0, 0, 0, 0, 0, 0), (0, 50, 0, 50, 0, 0, 0, 0)], 0.0, Taken(0, 1.5)),  # of lower priority
        ([(20, 0, 10, 50, 0, 5, 5, 10), IDLE], 0.0, Taken(0.5, 0)),  # system, interrupts and other machines count
        ([(0, 0, 0, 20, 80, 0, 0, 0), IDLE], 0.0, Taken(0, 0)),  # who waits for a disk takes no core
        ([IDLE, IDLE, (100, 0, 0, 0, 0, 0, 0, 0)], 0.0, Taken(0, 0)),  # a core this process may not use
    ],
)
def test_what_others_take(moments: Moments, cores: list[tuple[int, ...]], own: float, expected: Taken) -> None:
    moments.pass_by(cores, own=own)
    found = taken()
    assert found is not None and found == pytest.approx(expected)


def test_it_is_by_the_second(moments: Moments) -> None:
    moments.pass_by([(50, 0, 0, 0, 0, 0, 0, 0), IDLE], seconds=0.5)
    assert taken() == pytest.approx(Taken(1, 0))


def test_for_a_process_of_low_priority_all_others_count(moments: Moments) -> None:
    moments.pass_by([(0, 100, 0, 0, 0, 0, 0, 0), (0, 90, 0, 0, 0, 0, 0, 0)], own=0.9, nice=10)
    assert taken() == pytest.approx(Taken(1, 0))


def test_under_a_quota_cores_beyond_it_are_not_missed(moments: Moments) -> None:
    moments.fake.cores(8)
    moments.fake.version_2()
    moments.fake.write("sys/fs/cgroup/cpu.max", "200000 100000")
    busy = (100, 0, 0, 0, 0, 0, 0, 0)
    moments.pass_by([busy] * 6 + [IDLE] * 2)
    assert taken() == pytest.approx(Taken(0, 0))
    moments.pass_by([busy] * 7 + [IDLE])
    assert taken() == pytest.approx(Taken(1, 0))


def test_a_system_that_does_not_tell(fake: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda window: None)
    assert taken() is None


@pytest.mark.parametrize(
    ("cores", "equal", "threads"),
    [(2, 0, 2), (2, 1, 2), (2, 2, 2), (4, 1, 3), (4, 2, 4), (64, 1.4, 63), (64, 40, 64), (1, 1, 1)],
)
def test_threads_go_where_it_is_free_as_long_as_most_is(cores: int, equal: float, threads: int) -> None:
    assert threads_beside(cores, equal) == threads


@pytest.mark.parametrize(
    ("cores", "found", "threads", "said"),
    [
        (2, Taken(0.4, 0), 2, ""),
        (2, Taken(1.0, 0), 2, "1 of 2 cores is busy with other work; training with 2 threads"),
        (8, Taken(3.2, 0), 5, "3 of 8 cores are busy with other work; training with 5 threads"),
        (2, Taken(0.1, 1.9), 2, "2 of 2 cores are busy with other work of lower priority; training with 2 threads"),
        (1, Taken(1.7, 0), 1, "1 of 1 cores is busy with other work; training with 1 thread"),
    ],
)
def test_the_user_is_told(cores: int, found: Taken, threads: int, said: str) -> None:
    assert sentence(cores, found, "training", threads) == said
