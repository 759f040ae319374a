"""Borrowed arrays: aligned, used again, and not hoarded."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from segfield.crf import buffers
from segfield.crf.buffers import aligned, borrow, give_back
from segfield.crf.threads import together


@pytest.fixture(autouse=True)
def _no_spares(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(buffers, "_spare", [])
    yield


def address(array: np.ndarray) -> int:
    return int(array.ctypes.data)


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 1000, 100_003])
def test_arrays_begin_with_a_cache_line(size: int) -> None:
    for array in (aligned(size), borrow(size)):
        assert array.shape == (size,) and array.dtype == np.float32 and array.flags.c_contiguous
        assert size == 0 or address(array) % 64 == 0
        array[:] = 1  # writable throughout


def test_what_was_given_back_is_lent_again() -> None:
    first = borrow(50_000)
    place = address(first)
    give_back(first)
    again = borrow(50_000)
    assert address(again) == place
    assert address(borrow(50_000)) != place, "it is lent once"


def test_a_somewhat_larger_one_serves_and_a_much_larger_one_does_not() -> None:
    large = borrow(120_000)
    give_back(large)
    assert address(borrow(20_000)) != address(large)
    smaller = borrow(100_000)
    assert address(smaller) == address(large) and smaller.shape == (100_000,)


def test_the_best_fit_is_taken() -> None:
    sizes = [150_000, 110_000, 130_000]
    lent = [borrow(size) for size in sizes]
    for buffer in lent:
        give_back(buffer)
    assert address(borrow(105_000)) == address(lent[1])


def test_too_small_ones_are_never_lent() -> None:
    give_back(borrow(1000))
    assert borrow(1001).shape == (1001,)


def test_spares_are_bounded_and_the_oldest_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffers, "KEPT_BYTES", 4 * 100_000)
    lent = [borrow(40_000) for _ in range(3)]
    for buffer in lent:
        give_back(buffer)
    assert [address(buffer) for buffer in buffers._spare] == [address(lent[1]), address(lent[2])]
    give_back(borrow(200_000))  # too large to keep at all
    assert sum(buffer.nbytes for buffer in buffers._spare) <= 4 * 100_000


def test_the_bound_counts_memory_that_is_kept_though_less_of_it_was_lent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffers, "KEPT_BYTES", 4 * 100_000)
    for size in (45_000, 31_000):  # the second time parts of the first arrays
        for buffer in [borrow(size), borrow(size)]:
            give_back(buffer)
    give_back(borrow(35_000))
    held = {id(buffer.base): buffer.base.nbytes for buffer in buffers._spare if buffer.base is not None}
    assert sum(held.values()) <= 4 * 100_000 + len(held) * 64


def test_the_bound_is_the_one_that_is_told() -> None:
    assert f"up to {buffers.KEPT_BYTES >> 20} MiB in all" in (give_back.__doc__ or "")


def test_nothing_is_kept_of_empty_arrays() -> None:
    give_back(borrow(0))
    assert buffers._spare == []


def test_threads_never_share_an_array() -> None:
    """Each writes its number into what it borrowed and finds it untouched."""
    spoilt: list[int] = []

    def work(part: int) -> None:
        for _ in range(200):
            buffer = borrow(3000)
            buffer[:] = part
            if not (buffer == part).all():
                spoilt.append(part)
            give_back(buffer)

    together(6, work)
    assert spoilt == [] and 0 < len(buffers._spare) <= 6
