"""The one exception family for what a user can mend: the command line prints it as a sentence, exit status 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SegfieldError(Exception):
    """Something the user gave cannot be used. The message says what was found, where, and what mends it."""

    exit_status = 2


class DataError(SegfieldError):
    """An image, a mask or a data set cannot be used as it is."""


class SettingError(SegfieldError):
    """A setting is unknown, out of range or at odds with another."""


class FileFormatError(SegfieldError):
    """A segmenter, resume state or recipe file cannot be read."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The tail of an error about an unknown name: the close spellings if there are any, then all that would work.

    >>> did_you_mean("adamv", ["sgd", "adamw"])
    'did you mean adamw? Known: adamw, sgd'
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    listed = f"Known: {', '.join(names)}"
    return f"did you mean {' or '.join(close)}? {listed}" if close else listed
