"""Whoever is answerable for a folder is asked before a file takes a place in it: `files.replacing` asks, a record answers."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol


class Keeper(Protocol):
    """Answers for the files of one folder."""

    def admit(self, new: Path, place: Path) -> None:
        """`new` is about to take `place`. Raises SettingError where what lies there is not to be replaced."""

    def may_remove(self, file: Path) -> bool:
        """Whether a file may be removed."""


_KEEPERS: list[tuple[Path, Keeper]] = []


@contextlib.contextmanager
def kept_by(folder: Path, keeper: Keeper) -> Iterator[None]:
    """While entered, the keeper answers for all below the folder, whichever thread writes there."""
    entry = (absolute(folder), keeper)
    _KEEPERS.append(entry)
    try:
        yield
    finally:
        _KEEPERS.remove(entry)


def about_to_replace(new: Path, place: Path) -> None:
    """Ask whether the finished file or folder `new` may take its place.

    Raises:
        SettingError: if not.
    """
    keeper = _keeper(place)
    if keeper is not None:
        keeper.admit(new, absolute(place))


def may_remove(file: Path) -> bool:
    """Whether a file may be removed: where nobody is answerable, whoever calls is."""
    keeper = _keeper(file)
    return keeper is None or keeper.may_remove(absolute(file))


def absolute(path: str | Path) -> Path:
    """From the root, with '..' and '.' taken out, symbolic links as they are: how paths are compared here."""
    return Path(os.path.abspath(path))  # noqa: PTH100


def _keeper(path: Path) -> Keeper | None:
    place = absolute(path)
    asked = [(folder, keeper) for folder, keeper in _KEEPERS if place.is_relative_to(folder)]
    return max(asked, key=lambda entry: len(entry[0].parts))[1] if asked else None
