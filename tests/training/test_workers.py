"""Processes that prepare batches: shielded from signals to the whole job, dead with the run, never waited for without end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from segfield.data.leftovers import is_running
from segfield.errors import DataError, SegfieldError
from segfield.machine import Room
from segfield.training import batches
from segfield.training.workers import _after_a_moment, born_shielded, faults_in_words
from tests.training.test_batches import Numbered, _batches

LOADER = """
import signal, sys, time
from tests.training.test_batches import _batches
heard = []
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, lambda number, _: heard.append(number))
many = _batches(workers=2)
steps = many.steps(0, 3)
next(steps)
print(*[worker.pid for worker in many._loader._iterator._workers], flush=True)
while len(heard) < 3:
    time.sleep(0.01)
print(1 + len(list(steps)), len(list(many.steps(3, 5))), flush=True)
time.sleep(600)
"""


def _gone(pids: list[int]) -> bool:
    deadline = time.monotonic() + 4  # torch's own watch needs five seconds
    while time.monotonic() < deadline and any(is_running(pid, time.time()) for pid in pids):
        time.sleep(0.02)
    return not any(is_running(pid, time.time()) for pid in pids)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere torch's own watch ends them, later")
def test_signals_to_the_whole_job_leave_them_at_work_and_they_die_with_the_run() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", LOADER],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        assert child.stdout is not None
        pids = [int(pid) for pid in child.stdout.readline().split()]
        assert len(pids) == 2
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.killpg(child.pid, number)
        assert child.stdout.readline().split() == ["3", "2"]
        assert all(is_running(pid, time.time()) for pid in pids)
    finally:
        child.kill()
        child.communicate()
    assert _gone(pids)


def test_shared_memory_that_is_full_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = list(_batches().steps(0, 3))
    monkeypatch.setattr("segfield.machine.shared_memory", lambda: Room(0, 0))
    with pytest.warns(UserWarning, match="--shm-size") as told:
        piped = list(_batches(workers=2).steps(0, 3))
    assert len(told) == 1  # not at every batch
    assert all(torch.equal(a.images, b.images) and torch.equal(a.labels, b.labels) for a, b in zip(plain, piped))


class _Broken(Numbered):
    def __getitem__(self, index: int):  # type: ignore[no-untyped-def]
        if index == 3:
            raise DataError("3.png is truncated; copy it again")
        return super().__getitem__(index)


@pytest.mark.parametrize("workers", [0, 1])
def test_what_is_wrong_with_an_image_comes_as_it_is(monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    monkeypatch.setattr("tests.training.test_batches.Numbered", _Broken)
    with pytest.raises(DataError) as told:
        list(_batches(workers=workers).steps(0, 5))
    assert str(told.value) == "3.png is truncated; copy it again"


class _Asleep(Numbered):
    def __getitem__(self, index: int):  # type: ignore[no-untyped-def]
        time.sleep(60)


def test_a_worker_that_does_not_answer_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.training.test_batches.Numbered", _Asleep)
    monkeypatch.setattr(batches, "TIMEOUT", 0.2)
    with pytest.raises(SegfieldError, match="--workers 0"):
        list(_batches(workers=1).steps(0, 5))


class _Dying(Numbered):
    def __getitem__(self, index: int):  # type: ignore[no-untyped-def]
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_is_killed_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.training.test_batches.Numbered", _Dying)
    with pytest.raises(SegfieldError, match="fewer --workers"):
        list(_batches(workers=1).steps(0, 5))


def test_other_faults_stay_as_they_are() -> None:
    with pytest.raises(RuntimeError, match="else"), faults_in_words():
        raise RuntimeError("something else")


def test_a_signal_meanwhile_is_heard_afterwards() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    try:
        with born_shielded():
            signal.pthread_kill(threading.get_ident(), signal.SIGTERM)  # other threads are not shielded
            assert not heard
        assert heard == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_fault_is_told_a_moment_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever dies of the run's own death is gone by then."""
    steps: list[object] = []
    monkeypatch.setattr("segfield.training.workers.time.sleep", steps.append)
    _after_a_moment(lambda *fault: steps.append(fault))(ValueError, "x", None)
    assert steps == [0.5, (ValueError, "x", None)]
