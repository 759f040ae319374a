"""Figures left empty where a report is made but not looked at: matplotlib takes most of a second for one page's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

import pytest
from matplotlib.figure import Figure


@pytest.fixture(scope="package", autouse=True)
def plain_figures() -> Iterator[None]:
    """For a room whose conftest.py names it; tests/evaluation draws every figure."""

    def empty(figure: Figure, target: IO[str], **_: Any) -> None:
        width, height = (72 * inches for inches in figure.get_size_inches())
        target.write(f'<svg width="{width}pt" height="{height}pt" viewBox="0 0 {width} {height}"></svg>')

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", empty)
        yield
