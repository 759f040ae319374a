"""Training beside other work: images a second with N busy processes on the same cores, against alone and against a fair share.

The network and data of training_speed.py, segfield's own loop. The busy processes have one thread each, which computes without
end, at this process's priority or with --lower at nice 10. The fair share is what the system gives as many threads as there are
cores beside N others, by Linux's weights for priorities. The value is (beside / alone) / fair share; the goal is 0.75. It is also
told what threads that wait awake, as OpenMP's do when they come (GOMP_SPINCOUNT=300000), make of it.

    python benchmarks/training_beside.py [--beside N] [--lower] [--quick]      (N = 1; about three minutes on two idle cores)
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from record import record
from segfield.machine import usable_cores
from training_speed import run_turn, write_images

GOAL = 0.75
WEIGHTS = {0: 1024, 10: 110}  # of nice values, kernel/sched/core.c
AWAKE = {"GOMP_SPINCOUNT": "300000", "KMP_BLOCKTIME": "200"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--beside", type=int, default=1, help="busy processes of one thread each")
    parser.add_argument("--lower", action="store_true", help="at lower priority (nice 10)")
    parser.add_argument("--quick", action="store_true", help="small crops, few steps; the number is not kept")
    options = parser.parse_args()
    measure(options.beside, options.lower, options.quick)


def measure(others: int, lower: bool, quick: bool) -> None:
    """Turns by turns, so that what else changes on the machine meets all of them."""
    names = ("alone", "beside") if quick else ("alone", "beside", "beside, waiting awake")
    rates: dict[str, list[float]] = {name: [] for name in names}
    cores, nice = usable_cores(), 10 if lower else 0
    turns, steps, crop = (1, 2, (64, 96)) if quick else (3, 8, (320, 416))
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        write_images(data, *((12, (96, 128)) if quick else (64, (360, 480))))
        for _ in range(turns):
            for name in rates:
                with busy(0 if name == "alone" else others, nice), waiting(name):
                    rates[name].append(run_turn("segfield", data, steps, crop))
                print(f"{name:22s} {rates[name][-1]:.2f} images/s", flush=True)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    fair = fair_share(cores, others, nice)
    value = medians["beside"] / medians["alone"] / fair
    record(
        "training_beside",
        value,
        "of a fair share",
        f"alone, {medians['alone']:.2f} images/s; beside {others} busy process(es) at nice {nice}, fair share {fair:.2f}",
        GOAL,
        value >= GOAL,
        {
            "images_a_second": rates,
            "medians": medians,
            "cores": cores,
            "beside": others,
            "nice": nice,
            "fair_share": fair,
        },
        quick=quick,
    )


def fair_share(cores: int, others: int, nice: int) -> float:
    """Of the cores' time, for as many threads as cores, beside `others` threads at that nice value."""
    ours = cores * WEIGHTS[0]
    return ours / (ours + others * WEIGHTS[nice])


@contextlib.contextmanager
def busy(count: int, nice: int) -> Iterator[None]:
    code = f"import os; os.nice({nice})\nparent = os.getppid()\nwhile os.getppid() == parent:\n for _ in range(10**7): pass"
    started = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(count)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


@contextlib.contextmanager
def waiting(name: str) -> Iterator[None]:
    """The environment of the turns that wait awake."""
    added: dict[str, Any] = AWAKE if name.endswith("awake") else {}
    before = {key: os.environ.get(key) for key in added}
    os.environ.update(added)
    try:
        yield
    finally:
        for key, value in before.items():
            os.environ.pop(key)
            if value is not None:
                os.environ[key] = value


if __name__ == "__main__":
    main()
