"""A bar for each stage of a tuning, with the time left; nothing where no terminal is watching."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextlib.contextmanager
def stage(console: Console | None, name: str, total: int) -> Iterator[Callable[[], None]]:
    """Yields what is to be called after each of the `total` steps.

    Args:
        console: where to; None, or one that is no terminal, shows nothing.
        name: of the stage, before the bar.
        total: steps.
    """
    if console is None or not console.is_terminal:
        yield lambda: None
        return
    bar = Progress(
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
    )
    with bar:
        task = bar.add_task(name, total=total)
        yield lambda: bar.advance(task)
