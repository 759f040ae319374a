"""The runs of a comparison one after another, each in processes of its own; what is left, and what a run failed of."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from segfield.commands.comparison_folder import Entry, is_scored, read_score
from segfield.evaluation.comparison import FailedRun
from segfield.training.interrupt import Interrupted, StopSignals

CHILD = (sys.executable, "-m", "segfield.commands.comparison_child")
OVERHEAD = 30.0
"""Seconds that a run takes beside its time budget, until one was seen."""


def run_all(
    entries: Sequence[Entry], split: str, lock: int | None, console: Console, budget_seconds: float | None
) -> list[FailedRun]:
    """Train and score what is not yet; gives the runs that failed.

    Raises:
        Interrupted: after Ctrl-C or SIGTERM, once the run at work has saved its state.
    """
    left = [entry for entry in entries if not is_scored(entry, split)]
    if len(left) < len(entries):
        console.print(f"{len(entries) - len(left)} of {len(entries)} runs are finished already", highlight=False)
    failures = []
    display = QueueDisplay(console, len(entries), len(left), budget_seconds)
    with display, StopSignals() as signals:
        for entry in left:
            display.begin(entry)
            reason = _train_and_score(entry, split, lock, lambda: signals.asked, display.tick)
            if signals.asked:
                raise Interrupted(
                    f"stopped in the run of {entry.label}; nothing is lost: the same command goes on from there "
                    f"({entry.run.path.parents[1]})"
                )
            if reason:
                failures.append(FailedRun(entry.name, entry.seed, reason))
                display.end(f"{entry.label} failed: {reason}")
            else:
                display.end(f"{entry.label}: mIoU {100 * read_score(entry, split)[0].mean_iou:.2f} on '{split}'")
    return failures


def _train_and_score(
    entry: Entry, split: str, lock: int | None, stopped: Callable[[], bool], tick: Callable[[], None]
) -> str | None:
    """Gives why it failed, in a sentence; None where it did not."""
    log = entry.measured / "log.txt"
    if not entry.run.is_finished():
        reason = _attempt(["train", str(entry.measured)], log, lock, stopped, tick)
        if reason or stopped():
            return reason
        if not entry.run.is_finished():
            return f"its training ended without scores; see {log}"
    return _attempt(["score", str(entry.measured), split], log, lock, stopped, tick)


def _attempt(
    words: Sequence[str], log: Path, lock: int | None, stopped: Callable[[], bool], tick: Callable[[], None]
) -> str | None:
    before = log.stat().st_size if log.is_file() else 0
    status = run_process(words, log, lock, stopped, tick)
    if status == 0:
        return None
    return reason_of(status, log.read_bytes()[before:].decode("utf-8", "replace"), log)


def run_process(
    words: Sequence[str], log: Path, lock: int | None, stopped: Callable[[], bool], tick: Callable[[], None]
) -> int:
    """A step of a run in a process of its own, its output at the end of `log`. Gives its exit status.

    In a session of its own it does not see the terminal's Ctrl-C: when a stop is asked for, it is told once, and saves.
    The end of its standard input that stays open here tells it that we live.
    """
    with log.open("ab") as stream:
        child = subprocess.Popen(
            [*CHILD, *words],
            stdin=subprocess.PIPE,
            stdout=stream,
            stderr=subprocess.STDOUT,
            pass_fds=() if lock is None else (lock,),
            start_new_session=os.name == "posix",
        )
    told = False
    try:
        while child.poll() is None:
            if stopped() and not told:
                child.send_signal(signal.SIGTERM)
                told = True
            tick()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(0.2)
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
        if child.stdin is not None:
            child.stdin.close()
    return child.returncode


def reason_of(status: int, printed: str, log: Path) -> str:
    """Why a process failed, in a sentence: its own, or what its end tells."""
    own = re.findall(r"^segfield: (.+)$", printed, re.MULTILINE)
    if own:
        return str(own[-1])
    if status < 0:
        cause = "as a system short of memory does" if status == -9 else "a fault in compiled code"
        return f"its process was ended by signal {-status}, {cause}; lower batch_size or augment.crop, or see {log}"
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    return f"it broke off with '{lines[-1] if lines else f'exit status {status}'}'; see {log}"


class QueueDisplay:
    """Which run of how many, and the time left: a bar on a terminal, a line a run anywhere else.

    Args:
        console: where to.
        total: runs of the comparison.
        left: those still to do.
        budget_seconds: of each training, where the clock decides.
    """

    def __init__(self, console: Console, total: int, left: int, budget_seconds: float | None) -> None:
        self.console, self.total, self.left, self.budget = console, total, left, budget_seconds
        self.taken: list[float] = []
        self._bar: Progress | None = None
        if console.is_terminal and left:
            columns = (TextColumn("[bold]compare"), BarColumn(), TextColumn("{task.description}"))
            self._bar = Progress(*columns, console=console)
            self._task = self._bar.add_task("", total=total, completed=total - left)

    def __enter__(self) -> QueueDisplay:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def begin(self, entry: Entry) -> None:
        """A run begins."""
        self.entry, self.began = entry, time.monotonic()
        if self._bar is None:
            self._say(f"{self._position()}{self._time_left()}")
        self.tick()

    def tick(self) -> None:
        """Some time has passed."""
        if self._bar is not None:
            usual = self._usual()
            share = 0.0 if usual is None else min(0.99, (time.monotonic() - self.began) / usual)
            self._bar.update(
                self._task,
                completed=self.total - self.left + share,
                description=f"{self._position()}{self._time_left()}",
            )

    def end(self, text: str) -> None:
        """The run is done: a line about it."""
        self.taken.append(time.monotonic() - self.began)
        self.left -= 1
        self._say(text)

    def _say(self, text: str) -> None:
        self.console.print(text, highlight=False, soft_wrap=True, markup=False)

    def _position(self) -> str:
        return f"run {self.total - self.left + 1} of {self.total}: {self.entry.label}"

    def _usual(self) -> float | None:
        """Seconds a run takes; None where that is not known yet."""
        if self.taken:
            return sum(self.taken) / len(self.taken)
        return None if self.budget is None else self.budget + OVERHEAD

    def _time_left(self) -> str:
        usual = self._usual()
        if usual is None:
            return ""
        return f"; about {in_words(max(0.0, usual * self.left - (time.monotonic() - self.began)))} left"


def in_words(seconds: float) -> str:
    """'45 s', '12 min', '3 h 20 min'."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
