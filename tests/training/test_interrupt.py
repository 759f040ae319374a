"""Stop signals: the first one asks, the second one ends; handlers are put back."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from segfield.training.interrupt import CommandSignals, Interrupted, StopSignals


@pytest.fixture(autouse=True)
def harmless() -> Iterator[None]:
    """A signal that no one else heeds is dropped: without this it would end the process that runs the tests."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: None) for number in numbers]
    yield
    for number, handler in zip(numbers, before):
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_only_asks(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with StopSignals() as signals:
        assert not signals.asked
        signal.raise_signal(number)
        assert signals.asked
    assert signal.getsignal(number) is before


def test_a_second_ctrl_c_ends_at_once() -> None:
    with pytest.raises(KeyboardInterrupt), StopSignals():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)


def test_off_the_main_thread_nothing_is_installed() -> None:
    before, inside = signal.getsignal(signal.SIGINT), []

    def run() -> None:
        with StopSignals():
            inside.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert inside == [before]


def test_a_closed_terminal_asks_too_unless_nohup_said_not_to() -> None:
    before = signal.signal(signal.SIGHUP, lambda *_: None)
    try:
        with StopSignals() as signals:
            signal.raise_signal(signal.SIGHUP)
            assert signals.asked
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with StopSignals() as signals:
            signal.raise_signal(signal.SIGHUP)
            assert not signals.asked
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_that_is_obeyed_in_a_command_is_its_end(number: signal.Signals) -> None:
    """What is pressed while the last sentence is on its way is dropped; afterwards, handlers are as they were."""
    before = signal.getsignal(number)
    with CommandSignals(is_process=False):
        with pytest.raises(Interrupted), StopSignals() as signals:
            signal.raise_signal(number)
            assert signals.asked
            raise Interrupted("stopped")
        signal.raise_signal(number)
    assert signal.getsignal(number) is before


def test_a_second_ctrl_c_is_the_last_one_heard() -> None:
    with CommandSignals(is_process=False):
        with pytest.raises(KeyboardInterrupt), StopSignals():
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)


@pytest.fixture
def handlers() -> Iterator[None]:
    """What a process that ends need not put back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
def test_once_all_is_done_a_signal_ends_the_process_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where exit handlers would print a traceback."""
    ended: list[int] = []
    monkeypatch.setattr("os._exit", ended.append)
    with CommandSignals(is_process=True) as signals:
        signals.status = 2
    signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGTERM)
    assert ended == [2, 2]


@pytest.mark.usefixtures("handlers")
def test_after_a_stop_signals_are_dropped_by_the_system() -> None:
    """The interpreter puts its own handlers back to the system's as it ends, and a second Ctrl-C would change the status."""
    with CommandSignals(is_process=True) as signals:
        signals.hear_no_more()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == [signal.SIG_IGN] * 2
