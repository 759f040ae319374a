"""Reads the runnable blocks of a Markdown page, and compares what a command prints with what the page shows.

```console blocks hold `$ command` lines (`> ` continues one) and what they print; ```python blocks are programs, and a ```text
block that directly follows one is what it prints. All other blocks (sh, yaml, text, py) are only shown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"^```(console|python)\n(.*?)^```\n(?:\n```text\n(.*?)^```$)?", re.MULTILINE | re.DOTALL)
_UNSIGNED = r"\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?"
_NUMBER = rf"(?:(?<= )[+-])?{_UNSIGNED}"
_ANY_NUMBER = rf"[+-]?(?:{_UNSIGNED}|–|nan)"  # a score that is 0/0 is shown as a dash


@dataclass(frozen=True)
class Step:
    """A command or a program, and what the page shows of its output.

    Attributes:
        line: of the page, 1-based.
        kind: 'console' or 'python'.
        source: the command without its `$`, or the program.
        shown: the output, '' where the page shows none.
    """

    line: int
    kind: str
    source: str
    shown: str


def steps_of(page: Path) -> list[Step]:
    """All runnable steps of a page, from the top down."""
    text = page.read_text(encoding="utf-8")
    steps: list[Step] = []
    for block in _BLOCK.finditer(text):
        line = text.count("\n", 0, block.start()) + 2
        if block[1] == "python":
            steps.append(Step(line, "python", block[2], block[3] or ""))
        else:
            steps += _commands(block[2], line)
    return steps


def _commands(block: str, first_line: int) -> list[Step]:
    steps: list[Step] = []
    for line, text in enumerate(block.splitlines(), first_line):
        if text.startswith("$ "):
            steps.append(Step(line, "console", text[2:], ""))
            continue
        if not steps:
            raise ValueError(f"line {line}: a console block begins with '$ command', found {text!r}")
        last = steps.pop()
        if text.startswith("> ") and last.source.endswith("\\"):
            steps.append(Step(last.line, last.kind, last.source[:-1] + text[2:], ""))
        else:
            steps.append(Step(last.line, last.kind, last.source, f"{last.shown}{text}\n"))
    return steps


def agrees(shown: str, printed: str) -> bool:
    """Whether `printed` is what the page shows: any number stands for any other, `…` for any text, blanks are alike.

    >>> agrees("mIoU 71.2 over 5 images: …", "mIoU 9.87  over 24 images: report out.html")
    True
    >>> agrees("mIoU 71.2 over 5 images", "mIoU 9.87 over 24 pictures")
    False
    >>> agrees("first\\n…\\nlast", "first\\na\\nb\\nlast"), agrees("first\\n…\\nlast", "first\\nlast")
    (True, True)
    """
    pattern = "".join(_pattern(part) for part in re.split(rf"( ?… ?|{_NUMBER}|(?<= )–(?= ))", _plain(shown)))
    return re.fullmatch(pattern, _plain(printed), re.DOTALL) is not None


def _pattern(part: str) -> str:
    if part.strip() == "…":
        return ".*?"
    return _ANY_NUMBER if part == "–" or re.fullmatch(f"[+-]?{_UNSIGNED}", part) else re.escape(part)


def _plain(text: str) -> str:
    """One blank between words, one stroke for any line drawn, no blank lines."""
    text = re.sub(r"─+", "─", text)
    lines = (" ".join(line.split()) for line in text.splitlines())
    return " ".join(line for line in lines if line)
