"""The runs of a comparison without a process each, which takes seconds to start: what a process does is done here."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from segfield.commands.comparison_child import run_words


def run_in_process(words: Sequence[str], log: Path, *_: object) -> int:
    """In place of `comparison_queue.run_process`."""
    with (
        log.open("a", encoding="utf-8") as stream,
        contextlib.redirect_stdout(stream),
        contextlib.redirect_stderr(stream),
    ):
        return run_words(words)
