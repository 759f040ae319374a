"""Work shared by threads: the compiled loops release the interpreter lock, so Python's own threads serve."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable


def usable_threads(asked: int | None = None) -> int:
    """How many threads to use: what was asked for, else the processor cores this process may run on (not more than 16)."""
    if asked is not None:
        return max(1, asked)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return min(cores, int(limit) if limit.isdigit() and int(limit) > 0 else cores, 16)


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
