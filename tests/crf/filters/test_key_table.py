"""The hash table against Python's dictionary."""

from __future__ import annotations

import numpy as np

from segfield.crf.filters.key_table import EMPTY, doubled, find, insert, new_table, slot_of

RNG = np.random.default_rng(0)


def filled(keys: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray, dict[int, int]]:
    """A table and a dictionary: the n-th new key gets the id n."""
    table_keys, table_ids = new_table(bits)
    expected: dict[int, int] = {}
    for key in keys.tolist():
        expected.setdefault(key, len(expected))
        assert insert(table_keys, table_ids, bits, key, len(expected) - 1) == expected[key]
    return table_keys, table_ids, expected


def test_a_new_table_is_empty() -> None:
    keys, ids = new_table(6)
    assert keys.shape == ids.shape == (64,) and (ids == EMPTY).all()
    assert find(keys, ids, 6, 12) == EMPTY


def test_keys_of_any_size_are_found_again_and_others_are_not() -> None:
    given = np.concatenate([RNG.integers(-(2**63), 2**63 - 1, 300), RNG.integers(-40, 40, 300), [0, -1, 2**63 - 1]])
    keys, ids, expected = filled(given, 10)
    assert all(find(keys, ids, 10, key) == number for key, number in expected.items())
    assert all(find(keys, ids, 10, key) == EMPTY for key in range(1000, 1200) if key not in expected)


def test_a_nearly_full_table_wraps_round_its_end() -> None:
    given = RNG.permutation(10**6)[:63] * 7919
    keys, ids, expected = filled(given, 6)
    assert (ids != EMPTY).sum() == 63
    assert all(find(keys, ids, 6, key) == number for key, number in expected.items())
    assert find(keys, ids, 6, -5) == EMPTY


def test_doubling_keeps_every_entry() -> None:
    keys, ids, expected = filled(RNG.integers(-(2**40), 2**40, 200), 8)
    more_keys, more_ids = doubled(keys, ids, 8)
    assert more_keys.size == 512 and (more_ids != EMPTY).sum() == len(expected)
    assert all(find(more_keys, more_ids, 9, key) == number for key, number in expected.items())


def test_regular_keys_are_spread_over_the_slots() -> None:
    for step in (1, 64, 1 << 20, (1 << 40) + 1):  # vertices of a lattice differ by sums of a few such steps
        slots = {slot_of(n * step, 12) for n in range(-512, 512)}
        assert min(slots) >= 0 and max(slots) < 4096
        assert len(slots) > 700, step
