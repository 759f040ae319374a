"""What is said of images of another range than a segmenter was trained on: once a run, with their number."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from segfield.data.value_matching import RangeWarning


@contextmanager
def counted_range_notes(say: Callable[[str], Any]) -> Iterator[None]:
    """Within it each `RangeWarning` is counted instead of shown; at its end each kind of them is said once.

    Args:
        say: called with 'note: 3 images: …'.
    """
    counts: Counter[str] = Counter()
    with warnings.catch_warnings():
        warnings.simplefilter("always", RangeWarning)
        show = warnings.showwarning

        def count(message: Warning | str, category: type[Warning], *rest: Any, **named: Any) -> None:
            if issubclass(category, RangeWarning):
                counts[str(message)] += 1
            else:
                show(message, category, *rest, **named)

        warnings.showwarning = count
        try:
            yield
        finally:
            for text, number in counts.items():
                say(f"note: {number} {'image' if number == 1 else 'images'}: {text}")
