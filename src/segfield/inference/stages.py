"""Work in stages, each in its own thread, with short queues between: order is kept, and a fast stage waits for a slow one.

The first error in any stage stops them all and is raised where the stages were begun.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, TypeVar

Item = TypeVar("Item")

_LOOK_UP = 0.05  # seconds between looks whether all is to stop
_END = object()


class Stopped(Exception):
    """Another stage has failed: this one ends, and that one's error is raised."""


class Stages:
    """A context in which stages run; leaving it waits until sinks have consumed all they were given, or on an error stops them.

    Args:
        room: items that may wait between two stages.
    """

    def __init__(self, room: int = 4) -> None:
        self._room = room
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._sources: list[threading.Thread] = []
        self._sinks: list[tuple[threading.Thread, queue.Queue[Any]]] = []

    def source(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items, made ahead in a thread of their own."""
        line: queue.Queue[Any] = queue.Queue(self._room)

        def make() -> None:
            for item in items:
                self._put(line, item)
            self._put(line, _END)

        self._sources.append(self._start(make, "segfield-source"))
        while (item := self._get(line)) is not _END:
            yield item

    def sink(self, consume: Callable[[Item], object]) -> Callable[[Item], None]:
        """A function that hands an item to `consume`, which runs in a thread of its own, and waits where that is behind."""
        line: queue.Queue[Any] = queue.Queue(self._room)

        def take() -> None:
            while (item := self._get(line)) is not _END:
                consume(item)

        self._sinks.append((self._start(take, "segfield-sink"), line))
        return lambda item: self._put(line, item)

    def __enter__(self) -> Stages:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                for _, line in self._sinks:
                    self._put(line, _END)
                self._join(thread for thread, _ in self._sinks)
        except Stopped:
            pass
        finally:
            self._stop.set()  # also for a source of which not all was taken
            self._join([*self._sources, *(thread for thread, _ in self._sinks)])
        if self._error is not None and (error is None or isinstance(error, Stopped)):
            raise self._error

    def _start(self, work: Callable[[], None], name: str) -> threading.Thread:
        def run() -> None:
            try:
                work()
            except Stopped:
                pass
            except BaseException as error:
                self._error = self._error or error
                self._stop.set()

        thread = threading.Thread(target=run, name=name, daemon=True)
        thread.start()
        return thread

    @staticmethod
    def _join(threads: Iterable[threading.Thread]) -> None:
        for thread in threads:
            while thread.is_alive():
                thread.join(_LOOK_UP)  # in small steps, so that Ctrl-C is heard

    def _put(self, line: queue.Queue[Any], item: object) -> None:
        while not self._stop.is_set():
            try:
                line.put(item, timeout=_LOOK_UP)
            except queue.Full:
                continue
            return
        raise Stopped

    def _get(self, line: queue.Queue[Any]) -> Any:
        while True:
            try:
                return line.get(timeout=_LOOK_UP)
            except queue.Empty:
                if self._stop.is_set():
                    raise Stopped from None
