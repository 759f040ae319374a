"""Fixtures shared by all tests: where the real data lies, and small class tables."""

from __future__ import annotations

import ctypes
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from segfield.classes import ClassTable
from segfield.inference.signal_stack import _Stack


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_reaches_children() -> None:
    """Shells start background jobs with SIGINT ignored, which child processes inherit; the tests of Ctrl-C send it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _signal_stack() -> tuple[int | None, int]:
    stack = _Stack()
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).sigaltstack(None, ctypes.byref(stack))
    return stack.start, stack.flags


@pytest.fixture(autouse=True)
def _signal_stack_stays() -> Iterator[None]:
    """Whoever leaves another signal stack fails here; once that stack is freed a signal would end the whole run."""
    before = _signal_stack()
    yield
    assert _signal_stack() == before, "the test left another signal stack; signal_stack_kept() would have put it back"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets beside the checkout; the test is skipped where it is absent."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real data sets are not beside this checkout (shared/data)")
    return folder


@pytest.fixture
def three_classes() -> ClassTable:
    return ClassTable(("sky", "road", "car"), ((70, 130, 180), (128, 64, 128), (0, 0, 142)))
