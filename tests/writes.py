"""Watches what is written, so that work can be stopped at every write, in this process and without hoping for the moment.

All our files take their names by `Path.replace`, once they are whole.
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
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
