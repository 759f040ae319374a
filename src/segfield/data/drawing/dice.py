"""Seeded draws: a stream of uniform numbers for every part of a street, addressed by whole-number keys.

SplitMix64 (Steele, Lea, Flood 2014): the n-th number is a mixed counter, so a stream costs nothing to open, hundreds
are wanted for a picture, and the numbers are the same with every version of numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

T = TypeVar("T")
_MASK = (1 << 64) - 1
_STEP, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def mix(state: int) -> int:
    """SplitMix64's finaliser: 64 bits in, 64 well-mixed bits out."""
    state = ((state ^ (state >> 30)) * _FIRST) & _MASK
    state = ((state ^ (state >> 27)) * _SECOND) & _MASK
    return state ^ (state >> 31)


class Dice:
    """Draws for one thing in the street. Equal keys give equal draws, whatever was drawn before elsewhere.

    Args:
        keys: whole numbers, the scene's seed first; negative ones (a lot behind the start) are welcome.
    """

    def __init__(self, *keys: int) -> None:
        state = len(keys)
        for key in keys:
            state = mix((state + _STEP + (key & _MASK)) & _MASK)
        self._state = state

    def roll(self) -> float:
        """Uniform in 0..1 (below 1), in steps of 2⁻⁵³."""
        self._state = (self._state + _STEP) & _MASK
        return (mix(self._state) >> 11) * 2.0**-53

    def between(self, low: float, high: float) -> float:
        """Uniform in low..high."""
        return low + (high - low) * self.roll()

    def whole(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + int((high - low + 1) * self.roll())

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.roll() < probability

    def choice(self, options: Sequence[T]) -> T:
        """One of the options, all equally likely."""
        return options[int(len(options) * self.roll())]

    def array(self, *shape: int) -> npt.NDArray[np.float64]:
        """Uniform numbers in 0..1 of this shape: what as many rolls would give."""
        words = self._words(int(np.prod(shape))) >> np.uint64(11)
        return (words.astype(np.float64) * 2.0**-53).reshape(shape)

    def bytes(self, count: int) -> npt.NDArray[np.uint8]:
        """Uniform bytes, (count,) uint8, the same on little and big endian machines."""
        return self._words(-(-count // 8)).astype("<u8").view(np.uint8)[:count]

    def _words(self, count: int) -> npt.NDArray[np.uint64]:
        counters = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(_STEP) + np.uint64(self._state)
        self._state = (self._state + count * _STEP) & _MASK
        counters ^= counters >> np.uint64(30)
        counters *= np.uint64(_FIRST)
        counters ^= counters >> np.uint64(27)
        counters *= np.uint64(_SECOND)
        counters ^= counters >> np.uint64(31)
        return counters
