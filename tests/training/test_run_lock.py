"""One start at a time in a folder: told with the holder's name, and no dead holder keeps others out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from segfield.data.leftovers import host_name
from segfield.errors import SegfieldError, SettingError
from segfield.training import run_lock
from segfield.training.run_lock import NAME, alone_in

HOLD = (
    "import sys, time; from pathlib import Path; from segfield.training.run_lock import alone_in\n"
    "with alone_in(Path(sys.argv[1])): print('held', flush=True); time.sleep(600)"
)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_lock, "PATIENCE", 0.0)


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the folder `run`."""
    child = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None and child.stdout.readline() == "held\n"
    yield child
    child.kill()
    child.wait()


def test_the_holder_is_named(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    with pytest.raises(SettingError, match="choose another --out") as told, alone_in(tmp_path / "run"):
        pass
    assert f"process {holder.pid} on {host_name()}, since 0 h" in str(told.value)


def test_a_dead_holder_keeps_nobody_out(
    tmp_path: Path, holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    holder.send_signal(signal.SIGKILL)
    monkeypatch.setattr(run_lock, "PATIENCE", 60.0)
    with alone_in(tmp_path / "run"):
        assert json.loads((tmp_path / "run" / NAME).read_text())["pid"] == os.getpid()


def test_it_leaves_nothing_where_nothing_came_of_it(tmp_path: Path) -> None:
    with alone_in(tmp_path / "a" / "run"), alone_in(tmp_path / "a" / "run"):  # a run and its last stage are one
        assert (tmp_path / "a" / "run" / NAME).is_file()
    assert not list(tmp_path.iterdir())
    with alone_in(tmp_path / "run"):
        (tmp_path / "run" / "recipe.yaml").write_text("x")
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["recipe.yaml"]
    with pytest.raises(ZeroDivisionError), alone_in(tmp_path / "run"):
        _ = 1 / 0
    with alone_in(tmp_path / "run"):
        pass


def test_other_processes_of_a_run_hold_nothing(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    with alone_in(tmp_path / "run", mine=False):
        pass


def test_a_child_does_not_keep_it(tmp_path: Path) -> None:
    """A worker that is forked while the folder is held, and lives on."""
    read, write = os.pipe()
    with alone_in(tmp_path / "run"):
        child = os.fork()
        if child == 0:
            os.read(read, 1)
            os._exit(0)
    try:
        with alone_in(tmp_path / "run"):
            pass
    finally:
        os.write(write, b"x")
        os.waitpid(child, 0)


def _signed(folder: Path, host: str, pid: int) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / NAME).write_text(json.dumps({"host": host, "pid": pid, "since": time.time() - 7322}))
    return folder / NAME


def test_another_host_counts_while_it_touches_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On disks where hosts do not see each other's locks."""
    monkeypatch.setattr(run_lock, "BEAT", 0.02)
    monkeypatch.setattr(run_lock, "SILENCE", 30.0)
    file, ended = _signed(tmp_path / "run", "elsewhere", 7), threading.Event()
    beating = threading.Thread(target=run_lock._beat, args=(file, ended))
    beating.start()
    try:
        with pytest.raises(SettingError, match="process 7 on elsewhere, since 2 h 2 min"), alone_in(tmp_path / "run"):
            pass
    finally:
        ended.set()
        beating.join()
    monkeypatch.setattr(run_lock, "SILENCE", 0.05)
    with alone_in(tmp_path / "run"):
        pass


@pytest.mark.parametrize("error", ["ENOLCK", "EOPNOTSUPP"])
def test_on_a_disk_without_locks_the_names_have_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: str
) -> None:
    import errno

    def flock(*_: object) -> None:
        raise OSError(getattr(errno, error), "no locks here")

    monkeypatch.setattr("fcntl.flock", flock)
    _signed(tmp_path / "run", host_name(), 999_999_999)
    with alone_in(tmp_path / "run"):
        pass
    file = _signed(tmp_path / "run", host_name(), os.getppid())
    file.write_text(json.dumps({"host": host_name(), "pid": os.getppid(), "since": time.time()}))
    with pytest.raises(SettingError, match=f"process {os.getppid()}"), alone_in(tmp_path / "run"):
        pass


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"pid": "x"}'])
def test_a_file_that_tells_nothing_is_no_hindrance(tmp_path: Path, text: str) -> None:
    (tmp_path / NAME).write_text(text)
    with alone_in(tmp_path):
        pass


def test_what_cannot_be_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(SettingError, match="is a file"), alone_in(tmp_path / "file"):
        pass
    with pytest.raises(SegfieldError, match="choose another"), alone_in(tmp_path / "file" / "run"):
        pass
