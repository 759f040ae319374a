"""What a person sees of a run, on a terminal and in a log."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from segfield.training.progress import RunDisplay

ROW = {"epoch": 3.0, "step": 30.0, "seconds": 12.0, "loss": 0.5, "val_loss": 0.25, "val_miou": 0.4321}


def test_a_log_gets_a_line_a_validation() -> None:
    text = io.StringIO()
    with RunDisplay(100, "steps", 0, Console(file=text, width=20)) as display:
        display.advance(10, 0.5, 3.0)
        display.validated(ROW, best=True)
        display.validated(ROW, best=False)
    lines = text.getvalue().splitlines()
    assert len(lines) == 2
    assert "val mIoU 43.21  best so far" in lines[0]
    assert "best" not in lines[1]


@pytest.mark.parametrize(
    ("unit", "total", "done", "row", "told"),
    [
        ("steps", 100, 0, {"step": 25.0}, "60 s left"),
        ("steps", 100, 15, {"step": 25.0}, "150 s left"),
        ("seconds", 100, 0, {"seconds": 25.0}, "75 s left"),
        ("steps", 100_000, 0, {"step": 25.0}, "1333 min left"),
        ("steps", 25, 0, {"step": 25.0}, None),
    ],
)
def test_a_log_tells_the_time_left(
    unit: str, total: float, done: float, row: dict[str, float], told: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 20.0])  # 20 s for the steps since the start
    monkeypatch.setattr("segfield.training.progress.time.monotonic", lambda: next(clock))
    text = io.StringIO()
    display = RunDisplay(total, unit, done, Console(file=text))
    display.validated(ROW | row, best=False)
    assert (f"  {told}\n" in text.getvalue()) if told else ("left" not in text.getvalue())


def test_a_terminal_gets_a_bar_with_time_left() -> None:
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=120)
    with RunDisplay(100, "steps", 40, console) as display:
        display.advance(50, 0.5, 3.0)
        display._bar.refresh()  # type: ignore[union-attr]
    assert "50%" in text.getvalue()
    assert "left" in text.getvalue()
    assert "3.0 images/s" in text.getvalue()


def test_without_a_console_it_is_silent() -> None:
    with RunDisplay(100, "steps", 0, None) as display:
        display.say("x")
        display.advance(1, 0.1, 1.0)
        display.validated(ROW, best=True)
