"""Ctrl-C, SIGTERM and a closed terminal end a run at a step's border, where its state is whole; a second Ctrl-C at once."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import Any

from segfield.errors import SegfieldError

_STOPS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Interrupted(SegfieldError):
    """The user (or the job scheduler) stopped the work; what was done is kept."""


class _Handlers:
    """Signal handlers that are put back at the end; none are installed off the main thread."""

    def __init__(self) -> None:
        self._before: dict[int, Any] = {}

    def _install(self, number: int, handler: Any) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        before = signal.signal(number, handler)
        self._before.setdefault(number, before)

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}


class StopSignals(_Handlers):
    """While entered, the first SIGINT, SIGTERM or SIGHUP sets `asked`; the second SIGINT raises KeyboardInterrupt.

    Within a command (`CommandSignals`), a stop that is obeyed is the end: what is pressed after it is not heard.
    """

    def __init__(self) -> None:
        super().__init__()
        self.asked = False

    def __enter__(self) -> StopSignals:
        for number in _STOPS:
            if number == signal.SIGINT or signal.getsignal(number) is not signal.SIG_IGN:  # nohup
                self._install(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()
        if isinstance(error, Interrupted | KeyboardInterrupt) and CommandSignals.entered is not None:
            CommandSignals.entered.hear_no_more()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = True


class CommandSignals(_Handlers):
    """The signals of one command: SIGTERM ends it as Ctrl-C does, and its last sentence is not cut short by another.

    Args:
        is_process: whether the process ends with the command; signals then end it without a word once all is done, where exit
            handlers would print a traceback, and are not heard after a stop. Else the handlers of before are put back.
    """

    entered: CommandSignals | None = None

    def __init__(self, is_process: bool) -> None:
        super().__init__()
        self.is_process = is_process
        self.status = 0
        self._hears = True

    def __enter__(self) -> CommandSignals:
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            self._install(signal.SIGTERM, signal.default_int_handler)
        CommandSignals.entered = self
        return self

    def hear_no_more(self) -> None:
        """Signals are dropped from here on, by the system itself: the interpreter drops handlers of its own as it ends."""
        self._hears = False
        for number in _STOPS:
            self._install(number, signal.SIG_IGN)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        CommandSignals.entered = None
        if not self.is_process:
            self._restore()
            return
        for number in _STOPS if self._hears else ():
            if signal.getsignal(number) is not signal.SIG_IGN or number in self._before:
                self._install(number, self._leave)

    def _leave(self, number: int, frame: FrameType | None) -> None:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
        os._exit(self.status)
