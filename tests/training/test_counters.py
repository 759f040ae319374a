"""Counters of a resume state: those of a run come back as they were, others are refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from segfield.training.counters import Counters

ROW = dict.fromkeys(
    ("epoch", "step", "seconds", "learning_rate", "loss", "val_loss", "val_miou", "val_pixel_accuracy"), 1.0
)


def test_they_come_back() -> None:
    counters = Counters(step=5, seconds=1.5, rate=0.1, owed=True, best=0.5, stale=2, rows=[ROW, {**ROW, "step": 3.0}])
    assert Counters.read(vars(counters)) == counters
    assert Counters.read({"step": 2}) == Counters(step=2)  # of before there were others
    row = {**ROW, "val_loss": float("nan")}  # where images are too large for a loss
    assert Counters.read({"step": 1, "rows": [row]}).rows == [row]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"step": -1}, "step"), ({"step": "5"}, "step"), ({"step": 2.5}, "step"), ({"step": True}, "step"),
        ({"step": None}, "step"), ({"step": 2}, "step"), ({"seconds": "1"}, "seconds"), ({"seconds": float("nan")}, "seconds"),
        ({"rate": -5}, "rate"), ({"owed": 1}, "owed"), ({"best": None}, "best"), ({"best": float("inf")}, "best"),
        ({"stale": -1}, "stale"), ({"finished": "no"}, "finished"), ({"rows": None}, "rows"), ({"rows": [1]}, "rows"),
        ({"rows": {"a": 1}}, "rows"), ({"rows": [{**ROW, "loss": "x"}]}, "rows"), ({"rows": [{"step": 1.0}]}, "rows"),
        ({"rows": [ROW, ROW]}, "step"), ({"rows": [{**ROW, "step": 9.0}]}, "step"), ({"steps": 3}, "steps"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_named(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=f"'{named}'"):
        Counters.read({**vars(Counters(step=5, rows=[{**ROW, "step": 3.0}])), **changes})


@pytest.mark.parametrize("document", [None, [], 3, {}, {"seconds": 1.0}])
def test_what_is_no_table_of_them_is_refused(document: Any) -> None:
    with pytest.raises(ValueError, match="counter"):
        Counters.read(document)
