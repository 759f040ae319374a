"""Temporary names that tell whose they are, and sweeping up what dead processes left under them.

A process that is killed cannot remove its temporary files; whoever next writes into the folder does.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

_NAME = re.compile(r"\.segfield-(?:(?P<host>.*)-)?(?P<pid>\d+)-[0-9a-f]{12}\.tmp")
"""The host was not told by earlier versions: such a name is taken for one of this host."""

_DOUBT = 10.0
"""Seconds by which the clock of a file server may differ from ours."""

_swept: set[Path] = set()


def host_name() -> str:
    """The name of this machine, of letters, digits, points and lines alone."""
    return re.sub(r"[^0-9A-Za-z.-]+", "-", socket.gethostname())[:64] or "host"


def temporary_beside(target: Path) -> Path:
    """A new path in the folder of `target`, whose name tells host and process; the first one in a folder sweeps it."""
    folder = target.parent.absolute()
    if folder not in _swept:
        _swept.add(folder)
        sweep(folder)
    return target.parent / f".segfield-{host_name()}-{os.getpid()}-{secrets.token_hex(6)}.tmp"


@contextlib.contextmanager
def temporary_folder(folder: Path) -> Iterator[Path]:
    """A new folder in another, removed at the end; where the process is killed, by the next one that writes there."""
    made = temporary_beside(folder / "any")
    made.mkdir(parents=True)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def is_temporary(path: Path) -> bool:
    """Whether a path has the name of a temporary file or folder of ours, of whatever process."""
    return _NAME.fullmatch(path.name) is not None


def sweep(folder: Path) -> None:
    """Remove the temporary files and folders in a folder whose process, on this host, is dead; nothing else."""
    with contextlib.suppress(OSError):
        for path in [Path(entry.path) for entry in os.scandir(folder) if entry.name.startswith(".segfield-")]:
            if _is_orphan(path):
                with contextlib.suppress(OSError):
                    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _is_orphan(path: Path) -> bool:
    found = _NAME.fullmatch(path.name)
    if found is None or found["host"] not in (None, host_name()):
        return False
    try:
        return not is_running(int(found["pid"]), path.lstat().st_mtime + _DOUBT)
    except OSError:
        return False


def is_running(pid: int, since: float) -> bool:
    """Whether a process of this host lives that has this id and had it at the time `since` (seconds since 1970) already.

    A container gives the same small ids at every start, so that an id alone tells little. Where the system does not
    tell when a process began, a living id counts.
    """
    if os.name != "posix":
        return True  # asking by a signal is POSIX's alone
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # it is another user's
    except OverflowError:
        return False
    state, began = _state_and_begin(pid)
    return state != "Z" and (began is None or began <= since)


def _state_and_begin(pid: int) -> tuple[str, float | None]:
    """The letter of a process's state (Z: dead, but not fetched by its parent) and when it began, seconds since 1970; ("", None)
    where the system does not tell: only Linux does, by files.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
        return fields[0], booted + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return "", None
