"""Work shared by threads: the compiled loops release the interpreter lock, so Python's own threads serve."""

from __future__ import annotations

import threading
from collections.abc import Callable

from segfield import machine

_MOST = 16


def usable_threads(asked: int | None = None) -> int:
    """How many threads to use: what was asked for, else `machine.usable_threads`, but never more than there are cores.

    These threads wait for each other many times an image: more than cores would only wait, and beyond 16 little is won.
    """
    if asked is not None:
        return max(1, asked)
    return min(machine.usable_threads(), machine.usable_cores(), _MOST)


def together(count: int, work: Callable[[int], None]) -> None:
    """work(0) … work(count − 1) at the same time, each in a thread of its own; the first exception is raised again.

    The threads are new ones and not a pool's: work that waits for its partners must never wait for a free thread.
    """
    failed: list[BaseException] = []

    def run(part: int) -> None:
        try:
            work(part)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(part,), daemon=True) for part in range(1, count)]
    for thread in threads:
        thread.start()
    run(0)
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
