"""The bar: on a terminal alone, at its end when the work is."""

from __future__ import annotations

import io

from rich.console import Console

from segfield.crf.tuning.progress import stage


def test_a_terminal_sees_name_count_and_time_left() -> None:
    target = io.StringIO()
    console = Console(file=target, force_terminal=True, width=100)
    with stage(console, "coarse grid", 3) as advance:
        for _ in range(3):
            advance()
    shown = target.getvalue()
    assert "coarse grid" in shown
    assert "3/3" in shown
    assert "left" in shown


def test_elsewhere_nothing_is_shown() -> None:
    target = io.StringIO()
    with stage(Console(file=target), "coarse grid", 1) as advance:
        advance()
    with stage(None, "coarse grid", 1) as advance:
        advance()
    assert target.getvalue() == ""
