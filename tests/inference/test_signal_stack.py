"""The signal stack of a thread is as it was after foreign code set another one."""

from __future__ import annotations

import ctypes
import signal
import sys

import pytest

from segfield.inference.signal_stack import _Stack, signal_stack_kept


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="OpenVINO was seen to change it on Linux")
def test_the_former_stack_is_there_again() -> None:
    system, found = ctypes.CDLL(None), _Stack()
    system.sigaltstack(None, ctypes.byref(found))
    before = (found.start, found.flags, found.size)
    memory = ctypes.create_string_buffer(1 << 16)
    with signal_stack_kept():
        system.sigaltstack(ctypes.byref(_Stack(ctypes.addressof(memory), 0, 1 << 16)), None)
        system.sigaltstack(None, ctypes.byref(found))
        assert found.start == ctypes.addressof(memory)
    system.sigaltstack(None, ctypes.byref(found))
    assert (found.start, found.flags, found.size) == before
    caught = []
    handler = signal.signal(signal.SIGINT, lambda *_: caught.append(1))
    signal.raise_signal(signal.SIGINT)
    signal.signal(signal.SIGINT, handler)
    assert caught == [1]
