"""Large arrays lent and taken back: the first touch of fresh memory costs as much as several iterations."""

from __future__ import annotations

import threading

import numpy as np

from segfield.classes import Array

KEPT_BYTES = 1 << 29
_LINE = 64  # bytes
_lock = threading.Lock()
_spare: list[Array] = []


def borrow(size: int) -> Array:
    """(size,) float32 with anything in it; give it back with `give_back` when nothing refers to it any more."""
    with _lock:
        fitting = [buffer for buffer in _spare if size <= buffer.size <= size + size // 2 + 4096]
        if fitting:
            best = min(fitting, key=lambda buffer: buffer.size)
            _spare[:] = [buffer for buffer in _spare if buffer is not best]
            return best[:size]
    return aligned(size)


def aligned(size: int) -> Array:
    """(size,) float32 that begins with a cache line, so that no vector lies across two."""
    return _floats_of(np.empty(4 * size + _LINE, np.uint8))


def give_back(buffer: Array) -> None:
    """Keep a borrowed array for the next one who asks, up to 512 MiB in all; the oldest are let go."""
    if buffer.size == 0 or buffer.base is None:
        return
    with _lock:
        _spare.append(_floats_of(buffer.base))  # the whole of it, of which a part may have been lent
        while sum(kept.nbytes for kept in _spare) > KEPT_BYTES:
            _spare.pop(0)


def _floats_of(memory: Array) -> Array:
    skip = -memory.ctypes.data % _LINE
    return memory[skip : skip + memory.size - _LINE].view(np.float32)
