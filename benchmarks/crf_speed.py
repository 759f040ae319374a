"""Dense CRF on the CPU: ours against pydensecrf2, energies in, probabilities out, in alternating runs of one process.

The value is how many times faster two threads are at 500×375, 21 classes, with DeepLab's parameters and 10 iterations. Time
covers the lattices, the iterations and the copy of the result; images and energies lie in memory in each one's own layout.

    python benchmarks/crf_speed.py [--quick] [--only 500x375,21,DL …] [--without memory batch competition floor]
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np

import crf_cases
import crf_load
from crf_cases import PARAMETERS, make_case, version
from record import record

GOAL, HEADLINE = 10.0, "500x375,21,DL"
SIZES = {"320x240": 9, "500x375": 7, "2048x1024": 1}  # rounds
ROUNDS_OF_SMALL_WORK = 3  # at 2048x1024 for pydensecrf's cases under some seconds
CLASSES = (2, 11, 21, 60)
PARTS = ("memory", "batch", "competition", "floor")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one small case; nothing is kept")
    parser.add_argument(
        "--only", nargs="+", metavar="SIZE,CLASSES,PARAMETERS", help="these cases alone; nothing is kept"
    )
    parser.add_argument("--without", nargs="+", choices=PARTS, default=[], help="parts to leave out; nothing is kept")
    given = parser.parse_args()
    every = [",".join(map(str, names)) for names in itertools.product(SIZES, CLASSES, PARAMETERS)]
    names = given.only or (["320x240,11,README"] if given.quick else [*every, "enlarged,21,DL", "enlarged,21,README"])
    partial = bool(given.quick or given.only or given.without)
    details: dict[str, Any] = {
        "photos": crf_cases.photo_says(),
        "2048x1024": "frames side by side at their own scale; 'enlarged' is one frame, bicubic, an easy lattice",
        "times": "median milliseconds; threads of ours in the name",
        "load_average_before": os.getloadavg()[0],
        "cases": {},
    }
    for name in names:
        details["cases"][name] = compare(name, 2 if given.quick else None)
        print(name, details["cases"][name], flush=True)
    if not given.quick:
        measure_parts([part for part in PARTS if part not in given.without], details)
    chosen = HEADLINE if HEADLINE in names else names[0]
    headline = details["cases"][chosen]
    ratios = [case["ratio_2_threads"] for case in details["cases"].values()]
    details["slowest_ratio_2_threads"] = min(ratios)
    details["slowest_ratio_1_thread"] = min(case["ratio_1_thread"] for case in details["cases"].values())
    value = headline["ratio_2_threads"]
    against = f"pydensecrf2 {version('pydensecrf2')} (one thread is all it has), at {chosen}; ours on 2 threads"
    record("crf_speed", value, "x", against, GOAL, value >= GOAL, details, partial)


def measure_parts(parts: list[str], details: dict[str, Any]) -> None:
    """What goes beyond the table of times, into `details`."""
    if "memory" in parts:
        details["memory_mib"] = {
            f"{size},{classes},DL": crf_load.memory(size, classes, "DL")
            for size, classes in (("500x375", 2), ("500x375", 11), ("500x375", 21), ("500x375", 60), ("2048x1024", 21))
        }
        print("memory", details["memory_mib"], flush=True)
    if "batch" in parts:
        details["batch"] = crf_load.batch()
        print("batch", details["batch"], flush=True)
    if "competition" in parts:
        details["competition"] = {name: crf_load.competition(*split(name)) for name in ("320x240,2,DL", HEADLINE)}
        print("competition", details["competition"], flush=True)
    if "floor" in parts:
        import crf_floor

        case = details["cases"].get(HEADLINE)
        per_iteration = case["ms_per_iteration_1_thread"] if case else None
        details["floor"] = crf_floor.floor(make_case(500, 375, 21), PARAMETERS["DL"], per_iteration)
        print("floor", details["floor"], flush=True)


def split(name: str) -> tuple[int, int, int, str, str]:
    """'500x375,21,DL' → width, height, classes, parameters, kind of photo."""
    size, classes, parameters = name.split(",")
    kind = "enlarged" if size == "enlarged" else "mosaic" if size == "2048x1024" else "photo"
    width, height = map(int, ("2048x1024" if size == "enlarged" else size).split("x"))
    return width, height, int(classes), parameters, kind


def compare(name: str, rounds: int | None = None) -> dict[str, Any]:
    """Median times of one case; the contestants take turns, so that a busy moment hits all of them."""
    width, height, classes, which, kind = split(name)
    case, parameters = make_case(width, height, classes, kind=kind), PARAMETERS[which]
    contestants: dict[str, Callable[[], tuple[Any, float, float]]] = {
        "pydensecrf": lambda: crf_cases.pydensecrf(case, parameters),
        "1_thread": lambda: crf_cases.ours(case, parameters, threads=1),
        "2_threads": lambda: crf_cases.ours(case, parameters, threads=2),
    }
    for warm in ("1_thread", "2_threads"):
        contestants[warm]()
    if rounds is None:
        rounds = SIZES.get(name.split(",")[0], 1)
        rounds = ROUNDS_OF_SMALL_WORK if rounds == 1 and classes < 60 and which == "README" else rounds
    taken: dict[str, list[tuple[float, float]]] = {who: [] for who in contestants}
    found = {}
    for _ in range(rounds):
        for who, run in contestants.items():
            found[who], *parts = run()
            taken[who].append((parts[0], parts[1]))
    total = {who: 1e3 * statistics.median(map(sum, times)) for who, times in taken.items()}
    build = {who: 1e3 * statistics.median(times[0] for times in each) for who, each in taken.items()}
    return {
        "ms": {who: round(value, 2) for who, value in total.items()},
        "ms_build": {who: round(value, 2) for who, value in build.items()},
        "ms_iterate": {who: round(total[who] - build[who], 2) for who in total},
        "ms_per_iteration_1_thread": round((total["1_thread"] - build["1_thread"]) / parameters.iterations, 3),
        "ratio_1_thread": round(total["pydensecrf"] / total["1_thread"], 2),
        "ratio_2_threads": round(total["pydensecrf"] / total["2_threads"], 2),
        "rounds": rounds,
        "labels_differ_percent": round(crf_cases.labels_differ(found["pydensecrf"], found["2_threads"]), 4),
        "largest_difference": round(float(np.abs(found["pydensecrf"] - found["2_threads"]).max()), 4),
    }


if __name__ == "__main__":
    main()
