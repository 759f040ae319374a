"""Processes that prepare batches: signals to the whole job leave them at work, and they end with the run, however that ends."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from segfield.errors import SegfieldError

TIMEOUT = 600.0
"""Seconds without a batch after which the run ends in a sentence instead of waiting for ever."""

_STOPS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


@contextlib.contextmanager
def born_shielded() -> Iterator[None]:
    """Processes that are started within hear no request to stop before `begin` has shielded them; this one hears it after."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def begin(number: int) -> None:
    """What a worker does first.

    Ctrl-C reaches every process of a terminal, and a scheduler's SIGTERM every process of a job: the run ends at a step's
    border, for which it needs its batches, and ends its workers itself. So SIGTERM counts from the run alone.
    """
    parent = os.getppid()
    for stop in _STOPS:
        if stop != signal.SIGTERM:
            signal.signal(stop, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
        threading.Thread(target=_end_when_told, args=(parent,), daemon=True).start()
    else:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.excepthook = _after_a_moment(sys.excepthook)
    _end_with(parent)


def _after_a_moment(usual: Callable[..., Any]) -> Callable[..., Any]:
    """Faults are told half a second later: those that come of a run that was killed end with this process before."""

    def told(*fault: Any) -> None:
        time.sleep(0.5)
        usual(*fault)

    return told


def _end_when_told(parent: int) -> None:
    while True:
        if signal.sigwaitinfo({signal.SIGTERM}).si_pid == parent:
            os._exit(0)


def _end_with(parent: int) -> None:
    """Let the system end this process with its parent, were that killed; torch's own watch looks every few seconds only."""
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(0)


@contextlib.contextmanager
def faults_in_words() -> Iterator[None]:
    """What torch says of workers that died or do not answer, as a sentence with the mend.

    The death of a worker is raised wherever the run stands, not only where it waits for a batch.

    Raises:
        SegfieldError: in place of torch's RuntimeError.
    """
    try:
        yield
    except RuntimeError as error:
        if "DataLoader timed out" in str(error):
            raise SegfieldError(
                f"no batch came from the processes that prepare them within {TIMEOUT:g} s; see whether the disk of the data "
                "answers, or give --workers 0; the same command goes on from the last state"
            ) from error
        died = re.search(r"DataLoader worker .*?(?:killed by signal: ([\w ]+)|exited unexpectedly)", str(error))
        if died is None:
            raise
        how = f" by the signal '{died[1].strip()}'" if died[1] else ""
        raise SegfieldError(
            f"a process that prepares batches was ended{how}, as a system short of memory does; give fewer --workers, a smaller "
            "--cache or batch_size; the same command goes on from the last state"
        ) from error
