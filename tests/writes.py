"""Watches what is written, so that work can be stopped at every write, in this process and without hoping for the moment.

All our files take their names by `Path.replace`, once they are whole.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock


@contextlib.contextmanager
def watched_writes(see: Callable[[int, Path], object]) -> Iterator[None]:
    """Calls `see(number, file)` before the number-th file, from 1, takes its name; its temporary file is whole then."""
    real, numbers = Path.replace, itertools.count(1)

    def replace(self: Path, target: str | Path) -> Path:
        see(next(numbers), Path(target))
        return real(self, target)

    with mock.patch.object(Path, "replace", replace):
        yield


@contextlib.contextmanager
def kept_instants(folder: Path, into: Path) -> Iterator[list[Path]]:
    """Copies `folder` at every write inside the block: what kill −9 would leave there at those instants."""
    instants: list[Path] = []

    def keep(number: int, file: Path) -> None:
        if folder in file.parents:
            instants.append(shutil.copytree(folder, into / f"{number:03}"))

    with watched_writes(keep):
        yield instants


SENDING = """
import itertools, os, pathlib, sys
from segfield.commands.main import main
name, number, signal = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
real, seen = pathlib.Path.replace, itertools.count(1)
def replace(self, target):
    done = real(self, target)
    if pathlib.Path(target).match(name) and next(seen) == number:
        os.kill(os.getpid(), signal)
    return done
pathlib.Path.replace = replace
sys.exit(main(sys.argv[4:]))
"""


def stopped_by(number: signal.Signals, file: str, count: int, *words: object) -> subprocess.CompletedProcess[str]:
    """`segfield WORDS` in a process of its own, which gets the signal once the count-th file like `file` has its name.

    However busy the machine, the process is neither done by then nor not yet begun.
    """
    given = [file, count, int(number), *words]
    return subprocess.run(
        [sys.executable, "-c", SENDING, *map(str, given)], capture_output=True, text=True, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
