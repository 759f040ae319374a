"""The CRF under load: peak memory in fresh processes, images of a batch at once, and a second job on the same cores.

Parts of crf_speed; also the script that its fresh processes run.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import crf_cases
from crf_cases import PARAMETERS, make_case
from record import ratio

BATCH = 8
WHO = ("pydensecrf", "1_thread", "2_threads")
BURN = "import os, sys\nwhile os.getppid() == int(sys.argv[1]):\n    sum(range(100_000))"
"""A process that never rests, until it is killed or its parent ends."""


def memory(size: str, classes: int, parameters: str) -> dict[str, Any]:
    """Peak of a process that calls once, and its growth over imports, compiled code and inputs (MiB)."""
    found: dict[str, Any] = {}
    for who in WHO:
        command = [sys.executable, __file__, who, size, str(classes), parameters]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found[who] = json.loads(done.stdout.splitlines()[-1])
    best = min(found["1_thread"]["growth"], found["2_threads"]["growth"])
    found["growth_of_ours_over_theirs"] = ratio(best, found["pydensecrf"]["growth"])
    return found


def one_call(who: str, size: str, classes: int, parameters: str) -> dict[str, float]:
    """In a fresh process: what one call adds. A small call before it loads what is compiled."""
    width, height = map(int, size.split("x"))
    case = make_case(width, height, classes, kind="mosaic" if width > 854 else "photo")
    call(who, make_case(64, 48, classes), parameters)
    before = crf_cases.forget_peak()
    call(who, case, parameters)
    peak = crf_cases.peak_memory_mib()
    return {"peak": round(peak, 1), "growth": round(peak - before, 1)}


def call(who: str, case: crf_cases.Case, parameters: str) -> object:
    if who == "pydensecrf":
        return crf_cases.pydensecrf(case, PARAMETERS[parameters])
    return crf_cases.ours(case, PARAMETERS[parameters], threads=int(who[0]))


def batch(images: int = BATCH, size: tuple[int, int] = (500, 375), classes: int = 21) -> dict[str, Any]:
    """Images a second of a batch, with DeepLab's parameters: one call of ours against a loop."""
    cases = [make_case(*size, classes, number) for number in range(images)]
    stacked = np.stack([case.image for case in cases]), np.stack([case.unary for case in cases])
    refiner = crf_cases.dense_crf(PARAMETERS["DL"])
    contestants: dict[str, Callable[[], object]] = {
        "pydensecrf_loop": lambda: [crf_cases.pydensecrf(case, PARAMETERS["DL"]) for case in cases],
        "ours_loop": lambda: [refiner(case.image, unary=case.unary) for case in cases],
        "ours_batch": lambda: refiner(stacked[0], unary=stacked[1]),
    }
    contestants["ours_batch"]()
    taken = crf_cases.in_turns(contestants, 2)
    rates = {f"{name}_images_per_s": round(images / value, 2) for name, value in taken.items()}
    return {**rates, "images": images, "ratio": round(taken["pydensecrf_loop"] / taken["ours_batch"], 2)}


def competition(width: int, height: int, classes: int, parameters: str, kind: str = "photo") -> dict[str, Any]:
    """Times beside another job of two busy threads, over the quiet ones: 2 is a fair share of two cores, 3 is not rare."""
    case = make_case(width, height, classes, kind=kind)
    contestants: dict[str, Callable[[], object]] = {who: functools.partial(call, who, case, parameters) for who in WHO}
    for run in contestants.values():
        run()
    quiet = crf_cases.in_turns(contestants, 5)
    others = [subprocess.Popen([sys.executable, "-c", BURN, str(os.getpid())]) for _ in range(2)]
    try:
        time.sleep(1.0)
        busy = crf_cases.in_turns(contestants, 7)
    finally:
        for other in others:
            other.kill()
            other.wait()
    return {
        "ms_quiet": {who: round(1e3 * value, 2) for who, value in quiet.items()},
        "ms_beside_two_busy_threads": {who: round(1e3 * value, 2) for who, value in busy.items()},
        "slower_by": {who: round(busy[who] / quiet[who], 2) for who in WHO},
    }


if __name__ == "__main__":
    print(json.dumps(one_call(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])))
