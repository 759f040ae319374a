"""Stop signals: the first one asks, the second one ends; handlers are put back."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from segfield.training.interrupt import StopSignals


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
