"""What a person sees of a run: a bar with time left on a terminal, a line a validation anywhere else."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class RunDisplay:
    """Shows a run on one console.

    Args:
        total: steps or seconds of the run.
        unit: 'steps' or 'seconds'.
        done: how much of it an earlier start has done.
        console: where to; None shows nothing (other processes of a run, --quiet).
    """

    def __init__(self, total: float, unit: str, done: float, console: Console | None) -> None:
        self.console = console
        self.unit = unit
        self._bar: Progress | None = None
        self._last = 0.0
        self._total, self._done, self._started = total, done, time.monotonic()
        if console is not None and console.is_terminal:
            self._bar = Progress(
                SpinnerColumn(),
                TextColumn("[bold]train"),
                BarColumn(),
                TextColumn("{task.percentage:3.0f}%"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[state]}"),
                console=console,
            )
            self._task = self._bar.add_task("train", total=total, completed=int(done), state="")

    def __enter__(self) -> RunDisplay:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def say(self, text: str) -> None:
        """One line."""
        if self.console is not None:
            self.console.print(text, highlight=False, soft_wrap=True)

    def is_due(self) -> bool:
        """Whether there is a bar, and it was last moved long enough ago."""
        return self._bar is not None and time.monotonic() - self._last > 0.5

    def advance(self, done: float, loss: float, rate: float) -> None:
        """The run is at `done` (in its unit), with the latest loss and images a second."""
        if self._bar is not None:
            self._last = time.monotonic()
            self._bar.update(self._task, completed=done, state=f"loss {loss:.3f}  {rate:.1f} images/s")

    def _time_left(self, row: Mapping[str, float]) -> str:
        """'60 s left', by the pace since this start; empty at the end."""
        now = row["seconds" if self.unit == "seconds" else "step"]
        if not self._done < now < self._total:
            return ""
        pace = 1.0 if self.unit == "seconds" else (time.monotonic() - self._started) / (now - self._done)
        left = pace * (self._total - now)
        return f"  {left:.0f} s left" if left < 600 else f"  {left / 60:.0f} min left"

    def validated(self, row: Mapping[str, float], best: bool) -> None:
        """A validation's row of the curves."""
        mark = ("  best so far" if best else "") + self._time_left(row)
        self.say(
            f"epoch {row['epoch']:g}  {row['seconds']:.0f} s  loss {row['loss']:.4f}  "
            f"val loss {row['val_loss']:.4f}  val mIoU {100 * row['val_miou']:.2f}{mark}"
        )
