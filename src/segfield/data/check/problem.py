"""Problem: one thing that check found, how bad it is, and what mends it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Severity = Literal["error", "warning", "note"]
RANKS = ("error", "warning", "note")
SHOWN = 20  # files named with a problem


@dataclass(frozen=True)
class Problem:
    """One thing found: an error stops training, a warning will cost quality, a note is worth knowing.

    Attributes:
        message: one sentence with the cause and the mend.
        count: how many samples it concerns; files: the first of them, with details.
        paste: lines for the class table that mend it.
    """

    severity: Severity
    kind: str
    message: str
    count: int = 0
    files: tuple[str, ...] = ()
    paste: str = ""

    @property
    def rank(self) -> int:
        return RANKS.index(self.severity)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun.

    >>> counted(1, "class", "classes"), counted(1200, "mask")
    ('1 class', '1,200 masks')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
