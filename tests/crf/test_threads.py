"""Work shared by threads: all parts are done at once, and what goes wrong in one of them is heard of."""

from __future__ import annotations

import os
import threading

import pytest

from segfield.crf.threads import together, usable_threads


@pytest.mark.parametrize("count", [1, 2, 5, 40])
def test_every_part_is_done_once(count: int) -> None:
    done: list[int] = []
    together(count, done.append)
    assert sorted(done) == list(range(count))


def test_parts_that_wait_for_each_other_come_to_an_end() -> None:
    everybody = threading.Barrier(12, timeout=300)
    together(12, lambda part: everybody.wait() and None)  # type: ignore[func-returns-value]
    assert not everybody.broken


def test_the_first_part_runs_in_the_callers_thread() -> None:
    threads: dict[int, threading.Thread] = {}
    together(3, lambda part: threads.__setitem__(part, threading.current_thread()))
    assert threads[0] is threading.current_thread() and len(set(threads.values())) == 3


@pytest.mark.parametrize("broken", [0, 2])
def test_an_exception_is_raised_again_after_the_others_have_ended(broken: int) -> None:
    done: list[int] = []

    def work(part: int) -> None:
        if part == broken:
            raise ValueError(f"part {part}")
        done.append(part)

    with pytest.raises(ValueError, match=f"part {broken}"):
        together(4, work)
    assert sorted(done) == sorted({0, 1, 2, 3} - {broken})


def test_an_interrupt_is_an_exception_as_well() -> None:
    def work(part: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        together(2, work)


def test_no_thread_is_left() -> None:
    before = threading.active_count()
    together(6, lambda part: None)
    assert threading.active_count() == before


def test_work_may_share_work_out_itself() -> None:
    done: list[tuple[int, int]] = []
    together(3, lambda outer: together(3, lambda inner: done.append((outer, inner))))
    assert sorted(done) == [(outer, inner) for outer in range(3) for inner in range(3)]


@pytest.mark.parametrize(("asked", "given"), [(1, 1), (3, 3), (64, 64), (0, 1), (-2, 1)])
def test_what_is_asked_for_is_used(asked: int, given: int) -> None:
    assert usable_threads(asked) == given


@pytest.mark.parametrize(("limit", "expected"), [("1", 1), ("3", 3), ("99", 16), ("", 16), ("0", 16), ("all", 16)])
def test_the_cores_of_this_process_are_the_default(limit: str, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(30)), raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", limit)
    assert usable_threads() == expected


def test_fewer_cores_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1}, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    assert usable_threads() == 2
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_threads() == 1
