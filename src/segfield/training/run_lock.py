"""One start at a time in a run folder: a lock that tells who holds it, and that a dead holder does not keep.

The system's lock on the file goes with the process that holds it. On disks where hosts do not see each other's locks, the holder
also touches the file now and then: who finds another host's name in it waits to see whether that goes on.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from segfield.data.files import unwritable
from segfield.data.leftovers import host_name, is_running
from segfield.errors import SettingError

NAME = ".segfield.lock"

BEAT = 10.0
"""Seconds between two touches."""

SILENCE = 45.0
"""Seconds without a touch after which the holder on another host is taken for dead."""

PATIENCE = 2.0
"""Seconds that a holder may take to die: one that was just killed still gives its memory back."""

_held: dict[Path, int] = {}
_files: set[int] = set()


@contextlib.contextmanager
def alone_in(folder: Path, mine: bool = True) -> Iterator[None]:
    """While entered, no other process trains in the folder, which is made if need be. Within itself it is no hindrance.

    Args:
        folder: of the run.
        mine: whether this process holds the lock: of the several of one run, the first one does.

    Raises:
        SettingError: if another process is at work there, naming it.
        SegfieldError: if the folder cannot be written to.
    """
    if not mine:
        yield
        return
    if folder.is_file():
        raise SettingError(f"{folder} is a file; choose another --out for the run folder")
    place = folder.resolve()
    if place in _held:
        _held[place] += 1
        try:
            yield
        finally:
            _held[place] -= 1
        return
    made = _make(folder)
    file, descriptor = place / NAME, _taken(place)
    ended = threading.Event()
    _held[place] = 1
    _files.add(descriptor)
    beating = threading.Thread(target=_beat, args=(file, ended), daemon=True)
    beating.start()
    try:
        yield
    finally:
        ended.set()
        beating.join()
        del _held[place]
        _files.discard(descriptor)
        with contextlib.suppress(OSError):
            file.unlink()
        os.close(descriptor)
        for path in made:
            with contextlib.suppress(OSError):
                path.rmdir()  # where nothing came of it


def _make(folder: Path) -> list[Path]:
    """Make the folder. Returns what was made of it and of its parents, the innermost first."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from error
    return missing


def _taken(folder: Path) -> int:
    """The file of the lock, open and held."""
    file, deadline = folder / NAME, time.monotonic() + PATIENCE
    while True:
        try:
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
        except OSError as error:
            raise unwritable(file, error) from error
        try:
            locked = _lock(descriptor)
            if (not locked and time.monotonic() > deadline) or (locked and _lives(file, descriptor)):
                raise _at_work(folder, descriptor)
            if locked and _is(file, descriptor):
                _sign(descriptor)
                return descriptor
        except BaseException as error:
            os.close(descriptor)
            if isinstance(error, OSError):
                raise unwritable(file, error) from error
            raise
        os.close(descriptor)
        if not locked:
            time.sleep(0.05)


def _lock(descriptor: int) -> bool:
    """Take the system's lock where there is one; False if another has it."""
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # a disk without locks: the names in the file have to do
        return error.errno not in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)
    return True


def _is(file: Path, descriptor: int) -> bool:
    """Whether what is open is still the file: its holder may have ended between our opening and locking, and taken it away."""
    try:
        return os.path.samestat(file.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _lives(file: Path, descriptor: int) -> bool:
    """Whether the holder that the file names is at work although the lock could be taken."""
    holder = _holder(descriptor)
    if not holder or (holder["host"], holder["pid"]) == (host_name(), os.getpid()):
        return False
    if holder["host"] == host_name():
        return not _locks_hold(descriptor) and is_running(holder["pid"], holder["since"] + 10)
    touched, waited = os.fstat(descriptor).st_mtime, time.monotonic()
    while time.time() - touched < SILENCE and time.monotonic() - waited < SILENCE:
        time.sleep(min(1.0, BEAT / 4))
        with contextlib.suppress(OSError):
            if file.stat().st_mtime != touched:
                return True
    return False


def _locks_hold(descriptor: int) -> bool:
    """Whether the system's locks work on this disk, so that having it proves that the process before is gone."""
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):
        return False
    return True


def _sign(descriptor: int) -> None:
    text = json.dumps({"host": host_name(), "pid": os.getpid(), "since": time.time()})
    os.ftruncate(descriptor, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.write(descriptor, text.encode())


def _holder(descriptor: int) -> dict[str, Any]:
    """Host, process and start of the holder; empty where the file does not tell."""
    try:
        os.lseek(descriptor, 0, os.SEEK_SET)
        read = json.loads(os.read(descriptor, 4096))
        return {"host": str(read["host"]), "pid": int(read["pid"]), "since": float(read["since"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _at_work(folder: Path, descriptor: int) -> SettingError:
    holder = _holder(descriptor)
    who = "another process"
    if holder:
        age = max(0, round(time.time() - holder["since"]))
        who = f"process {holder['pid']} on {holder['host']}, since {age // 3600} h {age // 60 % 60} min {age % 60} s,"
    return SettingError(f"{who} is at work in {folder}; wait for its end, or choose another --out")


def _beat(file: Path, ended: threading.Event) -> None:
    while not ended.wait(BEAT):
        with contextlib.suppress(OSError):
            os.utime(file)


def _let_go_in_child() -> None:
    """A worker that outlives the run for a moment must not keep its lock."""
    for descriptor in _files:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _files.clear()
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_in_child)
