"""The stack that signals are handled on, kept while foreign code runs.

OpenVINO's plugin for CPUs, where it is loaded, sets one of its own in the thread that calls it, and frees it when it is
unloaded, from whatever thread does so: the next signal that Python handles (Ctrl-C; the end of a child process, once a
DataLoader had workers) asks for that stack, and the process ends by a segmentation fault without a word.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
from collections.abc import Iterator


class _Stack(ctypes.Structure):
    _fields_ = [("start", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]


@contextlib.contextmanager
def signal_stack_kept() -> Iterator[None]:
    """While entered the calling thread may get another signal stack (sigaltstack); at the end it has its former one, or none."""
    if not sys.platform.startswith("linux"):
        yield
        return
    system, before = ctypes.CDLL(None), _Stack()
    known = system.sigaltstack(None, ctypes.byref(before)) == 0
    try:
        yield
    finally:
        if known:
            system.sigaltstack(ctypes.byref(before), None)
