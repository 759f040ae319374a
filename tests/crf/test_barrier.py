"""The barrier inside compiled loops: nobody goes on before all have come, and all go on, with any number of threads."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from segfield.crf.barrier import ARRIVED, GENERATION, new_barrier, wait_for_all
from segfield.crf.filters.compiled import _OPTIONS
from segfield.crf.threads import together


@numba.njit(**_OPTIONS)
def in_step(part: int, barrier: np.ndarray, counts: np.ndarray, others: np.ndarray, rounds: int, waits: bool) -> int:
    """Write the round's number, wait, see whether all the others have written it; how often one had not."""
    parts = counts.shape[0]
    late = 0
    for turn in range(1, rounds + 1):
        for _ in range((part * 7919 + turn * 104729) % 900):  # everybody works for another time
            others[part, 0] = (others[part, 0] * 1103515245 + 12345) % 2147483648
        counts[part, 0] = turn
        if waits:
            wait_for_all(barrier, parts)
        for other in range(parts):
            late += counts[other, 0] != turn
        if waits:
            wait_for_all(barrier, parts)
    return late


def counted(parts: int, rounds: int, waits: bool = True) -> tuple[int, np.ndarray]:
    """How often a thread found another out of step, and the barrier afterwards."""
    barrier, counts, others = new_barrier(), np.zeros((parts, 8), np.int64), np.ones((parts, 8), np.int64)
    late = [0] * parts

    def work(part: int) -> None:
        late[part] = in_step(part, barrier, counts, others, rounds, waits)

    together(parts, work)
    return sum(late), barrier


@pytest.mark.parametrize(("parts", "rounds"), [(1, 50), (2, 3000), (3, 300), (4, 200), (9, 40)])
def test_threads_count_in_step(parts: int, rounds: int) -> None:
    late, barrier = counted(parts, rounds)
    assert late == 0
    assert barrier[ARRIVED] == 0
    assert barrier[GENERATION] == (2 * rounds if parts > 1 else 0)


def test_without_the_barrier_they_do_not() -> None:
    assert counted(3, 2000, waits=False)[0] > 0


def test_more_threads_than_cores_come_to_an_end() -> None:
    assert counted(24, 20)[0] == 0


def test_a_barrier_of_its_own_for_each_computation() -> None:
    late = [-1] * 3
    together(3, lambda n: late.__setitem__(n, counted(3, 60)[0]))
    assert late == [0, 0, 0]
    assert new_barrier().tolist() == [0] * 16
