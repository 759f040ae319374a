"""The endless stream of samples: what stands at a position, and how it is changed, follows from the seed alone."""

from __future__ import annotations

import numpy as np


class Stream:
    """The endless stream of sample indices: one seeded permutation of 0 … n−1 after another.

    Args:
        length: n.
        seed: of the run.
    """

    def __init__(self, length: int, seed: int) -> None:
        self.length = length
        self.seed = seed
        self._pass = -1
        self._order: list[int] = []

    def __getitem__(self, position: int) -> int:
        number, offset = divmod(position, self.length)
        if number != self._pass:
            self._order = np.random.default_rng([self.seed, 1, number]).permutation(self.length).tolist()
            self._pass = number
        return self._order[offset]


def item_seed(seed: int, position: int) -> int:
    """Seed of the random changes to the item at a position of the stream."""
    return int(np.random.SeedSequence([seed, 2, position]).generate_state(1, np.uint64)[0] >> np.uint64(1))
