"""Compiled loops: floating point that still shows bad values, no interpreter lock, and a way out where nothing can be kept."""

from __future__ import annotations

import threading
import time

import numba
import numpy as np
import pytest

from segfield.crf import barrier
from segfield.crf.filters import compiled as module
from segfield.crf.filters.compiled import compiled, compiled_lean

LOOP = "def loop(values):\n    total = 0.0\n    for value in values:\n        total += value\n    return total\n"


def from_text() -> object:
    """A function without a source file, whose machine code numba cannot keep."""
    names: dict[str, object] = {}
    exec(LOOP, names)
    return names["loop"]


def test_a_function_that_cannot_be_kept_is_compiled_all_the_same() -> None:
    with pytest.raises(RuntimeError, match="cannot cache"):
        numba.njit(cache=True)(from_text())
    for decorator in (compiled, compiled_lean):
        assert decorator(from_text())(np.arange(5.0)) == 10.0  # type: ignore[type-var]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_keep_their_meaning(bad: float) -> None:
    total = compiled(from_text())  # type: ignore[type-var]
    np.testing.assert_equal(total(np.array([1.0, bad, 2.0])), bad)  # type: ignore[operator]


def test_a_division_by_zero_is_no_error() -> None:
    names: dict[str, object] = {}
    exec("def ratio(a, b):\n    return a / b\n", names)
    assert compiled(names["ratio"])(1.0, 0.0) == np.inf  # type: ignore[type-var, operator]


def test_the_interpreter_lock_is_released() -> None:
    seen, add = barrier._seen, barrier._add_atomically
    begun, flag = 0, 1

    @numba.njit(**module._OPTIONS)
    def turns_until_set(places: np.ndarray, most: int) -> int:
        add(places, begun, 1)
        for turn in range(most):
            if seen(places, flag) == 1:
                return turn
        return -1

    places = np.array([0, 1])
    assert turns_until_set(places, 1) == 0
    places[:], turns = 0, []
    waiting = threading.Thread(target=lambda: turns.append(turns_until_set(places, 1 << 32)))
    waiting.start()
    while places[begun] == 0:  # never seen to have begun before its end if the loop kept this thread from running
        time.sleep(0)
    places[flag] = 1
    waiting.join()
    assert turns[0] >= 0
