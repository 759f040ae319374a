"""Loops compile, and still compile where no folder can keep the machine code."""

from __future__ import annotations

import numba
import numpy as np

from segfield.compiled import compiled


def add_up(values):
    total = 0
    for value in values:
        total += value
    return total


def test_a_loop_compiles():
    loop = compiled(add_up)
    assert loop(np.arange(5)) == 10 and loop.nopython_signatures


def test_without_a_folder_for_the_cache(monkeypatch):
    original = numba.njit

    def refuses_to_keep(*, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return original(**options)

    monkeypatch.setattr(numba, "njit", refuses_to_keep)
    assert compiled(add_up)(np.arange(4)) == 6
