"""Counters: where a run stands, as its resume state keeps it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_ROW = ("epoch", "step", "seconds", "learning_rate", "loss", "val_loss", "val_miou", "val_pixel_accuracy")


@dataclass
class Counters:
    """Where a run stands.

    Attributes:
        step: optimiser steps taken.
        seconds: of wall-clock time, over all starts.
        rate: the highest learning rate of the last step.
        owed: whether an epoch's steps are done and its validation is not.
        best, best_epoch: the best mIoU so far, and when it was.
        stale: validations since then.
        finished: whether nothing is left to train.
        norm_recomputed: whether batch norm was measured anew at the end.
        threads: torch's, at the first start: another number rounds sums differently.
        rows: of curves.csv, one a validation.
    """

    step: int = 0
    seconds: float = 0.0
    rate: float = 0.0
    owed: bool = False
    best: float = -1.0
    best_epoch: float = 0.0
    stale: int = 0
    finished: bool = False
    norm_recomputed: bool = False
    threads: int = 0
    rows: list[dict[str, float]] = field(default_factory=list)

    @classmethod
    def read(cls, document: Any) -> Counters:
        """From what a resume state holds; counters that are newer than the state are as they are at the start.

        Raises:
            ValueError: if they are no counters, saying which is wrong.
        """
        if not isinstance(document, Mapping):
            raise ValueError("its counters are no table")
        kinds = {item.name: type(getattr(cls(), item.name)) for item in dataclasses.fields(cls)}
        for name, value in document.items():
            if name not in kinds:
                raise ValueError(f"it has a counter '{name}', which no run has")
            if not _fits(value, kinds[name]):
                raise ValueError(f"its counter '{name}' is {str(value)[:40]!r}")
        if "step" not in document:
            raise ValueError("it has no counter 'step'")
        counters = cls(**document)
        steps = [row["step"] for row in counters.rows]
        if steps != sorted(set(steps)) or (steps and steps[-1] > counters.step):
            raise ValueError(
                f"its counter 'step' is {counters.step}, and its curves have the steps {str(steps[-3:])[1:-1]}"
            )
        return counters


def _fits(value: Any, kind: type) -> bool:
    if kind is list:
        return isinstance(value, list) and all(map(_is_row, value))
    if kind is bool:
        return isinstance(value, bool)
    if isinstance(value, bool) or not isinstance(value, int if kind is int else int | float):
        return False
    return value >= 0 if kind is int else math.isfinite(value) and value >= -1


def _is_row(row: Any) -> bool:
    numbers = isinstance(row, Mapping) and all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in row.values()
    )
    return numbers and all(name in row for name in _ROW)
