"""Vertices by key: an open-addressing hash table as two flat arrays, for use inside compiled loops."""

from __future__ import annotations

from typing import Any

import numpy as np

from segfield.classes import Array
from segfield.crf.filters.compiled import compiled

EMPTY = -1  # as an id: nothing here

Id = Any  # how the type checker sees an int64 inside compiled code


@compiled
def slot_of(key: int, bits: int) -> Id:
    """Where the search for a key begins in a table of 2^bits slots (Fibonacci hashing)."""
    mixed = np.uint64(key * np.int64(-7046029254386353131))
    return np.int64(mixed >> np.uint64(64 - bits))


@compiled
def find(keys: Array, ids: Array, bits: int, key: int) -> Id:
    """The id of `key`, or EMPTY."""
    mask = keys.size - 1
    slot = slot_of(key, bits)
    while ids[slot] != EMPTY:
        if keys[slot] == key:
            return ids[slot]
        slot = (slot + 1) & mask
    return EMPTY


@compiled
def insert(keys: Array, ids: Array, bits: int, key: int, new_id: int) -> Id:
    """The id of `key`, which becomes `new_id` if the key is new. The table must have an empty slot."""
    mask = keys.size - 1
    slot = slot_of(key, bits)
    while ids[slot] != EMPTY:
        if keys[slot] == key:
            return ids[slot]
        slot = (slot + 1) & mask
    keys[slot] = key
    ids[slot] = new_id
    return new_id


@compiled
def new_table(bits: int) -> tuple[Array, Array]:
    """An empty table of 2^bits slots: keys (2^bits,) int64, ids (2^bits,) int32."""
    return np.empty(1 << bits, np.int64), np.full(1 << bits, np.int32(EMPTY), np.int32)


@compiled
def doubled(keys: Array, ids: Array, bits: int) -> tuple[Array, Array]:
    """The same entries in a table of 2^(bits + 1) slots."""
    more_keys, more_ids = new_table(bits + 1)
    for slot in range(keys.size):
        if ids[slot] != EMPTY:
            insert(more_keys, more_ids, bits + 1, keys[slot], ids[slot])
    return more_keys, more_ids
