"""Processes of a comparison: their end, a stop, the death of what started them; and what the display says of the time left."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from rich.console import Console

from segfield.commands import comparison_queue as queue
from segfield.commands.comparison_folder import Entry
from segfield.training.recipe import Recipe

ENTRY = Entry("fast", 1, Recipe(data="x"))
posix = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")


def never() -> bool:
    return False


def nothing() -> None:
    pass


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch):
    """A few lines of Python take the place of a run's process."""

    def use(source: str) -> None:
        monkeypatch.setattr(queue, "CHILD", (sys.executable, "-c", textwrap.dedent(source)))

    return use


def test_output_and_status_of_a_process(program, tmp_path: Path) -> None:
    program("import sys; print('out', sys.argv[1:]); print('segfield: no', file=sys.stderr); sys.exit(5)")
    ticks: list[int] = []
    assert queue.run_process(["train", "x"], tmp_path / "log", None, never, lambda: ticks.append(1)) == 5
    assert set((tmp_path / "log").read_text().splitlines()) == {"out ['train', 'x']", "segfield: no"}
    assert ticks


@posix
def test_a_stop_is_told_once_and_waited_for(program, tmp_path: Path) -> None:
    program(
        """
        import signal, sys, time
        def stop(*_):
            time.sleep(0.5)  # longer than a look of the one who waits: were it told twice, it would say so twice
            print("saved", flush=True)
            sys.exit(2)
        signal.signal(signal.SIGTERM, stop)
        print("ready", flush=True)
        while True:
            signal.pause()
        """
    )
    log = tmp_path / "log"
    stopped = lambda: log.is_file() and "ready" in log.read_text()  # noqa: E731
    assert queue.run_process([], log, None, stopped, nothing) == 2
    assert log.read_text().split() == ["ready", "saved"]


@posix
def test_a_process_is_not_left_behind_by_an_error(program, tmp_path: Path) -> None:
    program("import os, threading; print(os.getpid(), flush=True); threading.Event().wait()")
    log = tmp_path / "log"

    def tick() -> None:
        if log.is_file() and log.read_text().endswith("\n"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        queue.run_process([], log, None, never, tick)
    with pytest.raises(ProcessLookupError):
        os.kill(int(log.read_text()), 0)


@posix
def test_a_run_ends_when_the_comparison_is_killed(tmp_path: Path) -> None:
    """The end of its standard input that the killed process held open tells it."""
    watch = "from segfield.commands import comparison_child; comparison_child._end_with_parent()"
    run = f"{watch}; import threading; print('up', flush=True); threading.Event().wait()"
    start = f"""
    import sys
    from pathlib import Path
    from segfield.commands import comparison_queue as queue
    queue.CHILD = (sys.executable, "-c", {run!r})
    queue.run_process([], Path({str(tmp_path / "log")!r}), None, lambda: False, lambda: None)
    """
    with (tmp_path / "lock").open("w") as lock:
        import fcntl

        fcntl.flock(lock, fcntl.LOCK_EX)
        program = start.replace(", None, lambda: False", f", {lock.fileno()}, lambda: False")
        parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], pass_fds=(lock.fileno(),))
    _wait_for(lambda: (tmp_path / "log").is_file() and "up" in (tmp_path / "log").read_text())
    with (tmp_path / "lock").open("w") as again:
        with pytest.raises(BlockingIOError):
            fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
        parent.kill()
        parent.wait()
        fcntl.flock(again, fcntl.LOCK_EX)  # free once the run has ended as well: its own end would never come


def _wait_for(ready) -> None:
    while not ready():  # pytest's own limit ends what never comes
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("status", "printed", "told"),
    [
        (2, "epoch 1\nsegfield: first\nsegfield: the loss became nan; lower it\n", "the loss became nan; lower it"),
        (-9, "epoch 1\n", "its process was ended by signal 9, as a system short of memory does; lower batch_size"),
        (-11, "", "its process was ended by signal 11, a fault in compiled code"),
        (1, "Traceback …\nValueError: no\n\n", "it broke off with 'ValueError: no'; see log.txt"),
        (1, "", "it broke off with 'exit status 1'; see log.txt"),
    ],
)
def test_why_it_failed(status: int, printed: str, told: str) -> None:
    assert queue.reason_of(status, printed, Path("log.txt")).startswith(told)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "0 s"), (89, "89 s"), (100, "2 min"), (5340, "89 min"), (5400, "1 h 30 min"), (7260, "2 h 1 min")],
)
def test_times_in_words(seconds: float, told: str) -> None:
    assert queue.in_words(seconds) == told


def _shown(display_of, monkeypatch: pytest.MonkeyPatch) -> str:
    now = [1000.0]
    monkeypatch.setattr(queue.time, "monotonic", lambda: now[0])
    text = io.StringIO()
    with display_of(Console(file=text, width=200)) as display:
        for end in ("one", "two"):
            display.begin(ENTRY)
            now[0] += 300
            display.end(f"{end} [is] done")
    return text.getvalue()


def test_off_a_terminal_a_run_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = _shown(lambda console: queue.QueueDisplay(console, 5, 2, 270.0), monkeypatch)
    assert shown.splitlines() == [
        "run 4 of 5: fast, seed 1; about 10 min left", "one [is] done",
        "run 5 of 5: fast, seed 1; about 5 min left", "two [is] done",
    ]  # fmt: skip


def test_without_a_clock_the_time_left_is_told_when_a_run_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = _shown(lambda console: queue.QueueDisplay(console, 2, 2, None), monkeypatch)
    assert shown.splitlines()[::2] == ["run 1 of 2: fast, seed 1", "run 2 of 2: fast, seed 1; about 5 min left"]


def test_on_a_terminal_there_is_a_bar() -> None:
    text = io.StringIO()
    with queue.QueueDisplay(Console(file=text, force_terminal=True, width=120), 3, 3, 60.0) as display:
        display.begin(ENTRY)
        display.tick()
        assert display._bar is not None and 0 <= display._bar.tasks[0].completed < 1
        assert display._bar.tasks[0].description == "run 1 of 3: fast, seed 1; about 4 min left"
        display.end("done")
        display.begin(ENTRY)
        assert 1 <= display._bar.tasks[0].completed < 2
