"""Scripts written for pydensecrf2 run with it and with segfield's drop-in: points of any features, single steps, tables.

The value is the smallest ratio of time over all cases, as a user gets it (all cores; pydensecrf2 has one thread). Both take
turns in one process; time covers everything from the arrays in memory to the array of probabilities. Peak memory of each is
its growth over imports, compiled code and inputs, in a process of its own. Met where no case is below the goal and none takes
more memory than pydensecrf2.

    python benchmarks/crf_dropin.py [--quick] [--only NAME …] [--rounds N]
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

import crf_cases
from crf_cases import make_case, version
from record import record

Floats = npt.NDArray[np.float32]
Script = Callable[[Any, Any], Floats]
"""Runs with a library's densecrf and utils modules."""

GOAL = 1.5
ROUNDS = 9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two small cases; nothing is kept")
    parser.add_argument("--only", nargs="+", choices=CASES, help="these cases alone; nothing is kept")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--memory-of", nargs=2, metavar=("LIBRARY", "NAME"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.memory_of:
        print(json.dumps(growth(*given.memory_of)))
        return
    names = given.only or (["line", "few_points"] if given.quick else list(CASES))
    details: dict[str, Any] = {
        "times": "median milliseconds; ours with all cores, and with one thread",
        "photos": crf_cases.photo_says(),
        "load_average_before": os.getloadavg()[0],
        "rounds": 2 if given.quick else given.rounds,
        "cases": {},
    }
    for name in names:
        details["cases"][name] = {**times(name, details["rounds"]), **memory(name)}
        print(name, details["cases"][name], flush=True)
    cases = details["cases"]
    slowest = min(cases, key=lambda name: cases[name]["ratio"])
    hungriest = max(cases, key=lambda name: cases[name]["memory_of_ours_over_theirs"])
    details["most_memory_of_ours_over_theirs"] = cases[hungriest]["memory_of_ours_over_theirs"]
    value = cases[slowest]["ratio"]
    against = (
        f"pydensecrf2 {version('pydensecrf2')}, the slowest of {len(cases)} cases ({slowest}); peak memory at most "
        f"{details['most_memory_of_ours_over_theirs']:g} of theirs ({hungriest})"
    )
    met = value >= GOAL and details["most_memory_of_ours_over_theirs"] <= 1
    record("crf_dropin", value, "x", against, GOAL, met, details, bool(given.quick or given.only))


def times(name: str, rounds: int) -> dict[str, Any]:
    """Median times of one case; the contestants take turns, so that a busy moment hits all of them."""
    script = CASES[name](1.0)
    contestants = {
        "pydensecrf": functools.partial(script, *modules("pydensecrf")),
        "ours": functools.partial(script, *modules("ours")),
        "ours_1_thread": functools.partial(one_thread, functools.partial(script, *modules("ours"))),
    }
    found = {who: run() for who, run in contestants.items()}
    taken: dict[str, list[float]] = {who: [] for who in contestants}
    work: dict[str, list[float]] = {who: [] for who in contestants}
    for _ in range(rounds):
        for who, run in contestants.items():
            begin, used = time.perf_counter(), time.process_time()
            run()
            taken[who].append(time.perf_counter() - begin)
            work[who].append(time.process_time() - used)
    each = {who: statistics.median(values) for who, values in taken.items()}
    cpu = {who: statistics.median(values) for who, values in work.items()}
    return {
        "ms": {who: round(1e3 * value, 2) for who, value in each.items()},
        "ratio": round(each["pydensecrf"] / each["ours"], 2),
        "ratio_1_thread": round(each["pydensecrf"] / each["ours_1_thread"], 2),
        "ratio_1_thread_of_processor_time": round(cpu["pydensecrf"] / cpu["ours_1_thread"], 2),
        "labels_differ_percent": round(crf_cases.labels_differ(found["pydensecrf"], found["ours"]), 4),
    }


def one_thread(run: Callable[[], Floats]) -> Floats:
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        return run()
    finally:
        del os.environ["OMP_NUM_THREADS"]
        if before is not None:
            os.environ["OMP_NUM_THREADS"] = before


def memory(name: str) -> dict[str, Any]:
    """MiB by which a fresh process grows in one run of each."""
    found = {}
    for who in ("pydensecrf", "ours"):
        command = [sys.executable, __file__, "--memory-of", who, name]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found[who] = json.loads(done.stdout.splitlines()[-1])
    over = found["ours"] / max(found["pydensecrf"], 1.0)  # less than a MiB is not measured so
    return {"memory_mib": found, "memory_of_ours_over_theirs": round(over, 3)}


def growth(who: str, name: str) -> float:
    """In a fresh process: what one run adds to the peak. A small run before it loads what is compiled."""
    used = modules(who)
    script = CASES[name](1.0)
    CASES[name](0.2)(*used)
    before = crf_cases.forget_peak()
    script(*used)
    return round(crf_cases.peak_memory_mib() - before, 1)


def modules(who: str) -> tuple[Any, Any]:
    if who == "pydensecrf":
        import pydensecrf.densecrf
        import pydensecrf.utils

        return pydensecrf.densecrf, pydensecrf.utils
    import segfield.crf.pydensecrf

    return segfield.crf.pydensecrf, segfield.crf.pydensecrf


# Each case makes its arrays at a scale (1, or less for a small run) and returns the script on them.


def points(
    scale: float,
    *,
    count: int = 200_000,
    dimensions: int = 5,
    classes: int = 6,
    spread: float = 0.1,
    shuffled: bool = False,
) -> Script:
    """Features along a path through their space, as neighbouring points of a scan; or the same in no order."""
    rng = np.random.default_rng(0)
    size = int(count * scale)
    features = np.cumsum(rng.normal(0, spread, (dimensions, size)), axis=1).astype(np.float32)
    if shuffled:
        features = np.ascontiguousarray(rng.permutation(features, axis=1))
    unary = rng.gamma(1.5, size=(classes, size)).astype(np.float32)

    def script(densecrf: Any, utils: Any) -> Floats:
        crf = densecrf.DenseCRF(size, classes)
        crf.setUnaryEnergy(unary)
        crf.addPairwiseEnergy(features, compat=3)
        return np.array(crf.inference(5))

    return script


def often(scale: float, *, times: int, make: Callable[[float], Script]) -> Script:
    """A case so short that it is run many times to be measured."""
    once = make(scale)

    def script(densecrf: Any, utils: Any) -> Floats:
        for _ in range(times - 1):
            once(densecrf, utils)
        return once(densecrf, utils)

    return script


def volume(scale: float, classes: int = 3) -> Script:
    """A scan of 48 × 64 × 64 voxels with one channel."""
    from scipy.ndimage import gaussian_filter

    shape = tuple(int(size * scale ** (1 / 3)) for size in (48, 64, 64))
    scan = (300 * gaussian_filter(np.random.default_rng(0).standard_normal(shape), 3)).astype(np.float32)
    unary = np.random.default_rng(1).gamma(1.5, size=(classes, scan.size)).astype(np.float32)

    def script(densecrf: Any, utils: Any) -> Floats:
        crf = densecrf.DenseCRF(scan.size, classes)
        crf.setUnaryEnergy(unary)
        crf.addPairwiseEnergy(utils.create_pairwise_gaussian((3, 3, 3), shape), compat=3)
        crf.addPairwiseEnergy(utils.create_pairwise_bilateral((8, 8, 8), 10.0, scan), compat=5)
        return np.array(crf.inference(5))

    return script


def line(scale: float, classes: int = 4) -> Script:
    """A signal of 200,000 samples: one feature."""
    size = int(200_000 * scale)
    unary = np.random.default_rng(0).gamma(1.5, size=(classes, size)).astype(np.float32)

    def script(densecrf: Any, utils: Any) -> Floats:
        crf = densecrf.DenseCRF(size, classes)
        crf.setUnaryEnergy(unary)
        crf.addPairwiseEnergy(utils.create_pairwise_gaussian((5,), (size,)), compat=3)
        return np.array(crf.inference(5))

    return script


def photo(scale: float, classes: int = 21) -> tuple[tuple[int, int], Floats, npt.NDArray[np.uint8]]:
    """(width, height), energies (K, N) and pixels (H, W, 3) of a photo of 320 × 240."""
    width, height = int(320 * scale**0.5), int(240 * scale**0.5)
    case = make_case(width, height, classes)
    return (width, height), np.ascontiguousarray(case.unary.reshape(classes, -1)), case.interleaved


def steps(scale: float, *, classes: int = 21, diverges: bool = False) -> Script:
    """An image, one step at a time; with the divergence before each step where that is asked for."""
    (width, height), unary, pixels = photo(scale, classes)

    def script(densecrf: Any, utils: Any) -> Floats:
        crf = densecrf.DenseCRF2D(width, height, classes)
        crf.setUnaryEnergy(unary)
        crf.addPairwiseGaussian(sxy=3, compat=3)
        crf.addPairwiseBilateral(sxy=80, srgb=13, rgbim=pixels, compat=10)
        probabilities, first, second = crf.startInference()
        for _ in range(5):
            if diverges:
                crf.klDivergence(probabilities)
            crf.stepInference(probabilities, first, second)
        return np.array(probabilities)

    return script


def table(scale: float, *, classes: int = 21, iterations: int = 5) -> Script:
    """An image whose bilateral term has a (K, K) compatibility."""
    (width, height), unary, pixels = photo(scale, classes)
    penalties = np.random.default_rng(0).uniform(0, 1, (classes, classes)).astype(np.float32)
    np.fill_diagonal(penalties, -10)

    def script(densecrf: Any, utils: Any) -> Floats:
        crf = densecrf.DenseCRF2D(width, height, classes)
        crf.setUnaryEnergy(unary)
        crf.addPairwiseGaussian(sxy=3, compat=3)
        crf.addPairwiseBilateral(sxy=80, srgb=13, rgbim=pixels, compat=penalties)
        return np.array(crf.inference(iterations))

    return script


def features_of_an_image(scale: float, *, classes: int = 21, sxy: float = 80, srgb: float = 13) -> Script:
    """The usual model of an image, written with the functions for any features."""
    (width, height), unary, pixels = photo(scale, classes)

    def script(densecrf: Any, utils: Any) -> Floats:
        crf = densecrf.DenseCRF(width * height, classes)
        crf.setUnaryEnergy(unary)
        crf.addPairwiseEnergy(utils.create_pairwise_gaussian((3, 3), (height, width)), compat=3)
        features = utils.create_pairwise_bilateral((sxy, sxy), (srgb,) * 3, pixels, chdim=2)
        crf.addPairwiseEnergy(features, compat=10)
        return np.array(crf.inference(5))

    return script


def three_terms(scale: float, classes: int = 11) -> Script:
    """More terms than the image engine takes, normalised in different ways."""
    (width, height), unary, pixels = photo(scale, classes)

    def script(densecrf: Any, utils: Any) -> Floats:
        crf = densecrf.DenseCRF2D(width, height, classes)
        crf.setUnaryEnergy(unary)
        crf.addPairwiseGaussian(sxy=3, compat=3)
        crf.addPairwiseBilateral(sxy=80, srgb=13, rgbim=pixels, compat=5)
        crf.addPairwiseBilateral(sxy=20, srgb=30, rgbim=pixels, compat=5, normalization=densecrf.NORMALIZE_AFTER)
        return np.array(crf.inference(5))

    return script


CASES: dict[str, Callable[[float], Script]] = {
    "points": points,
    "points_shuffled": functools.partial(points, shuffled=True),
    "points_scattered": functools.partial(points, count=50_000, spread=2.0),
    "points_scattered_2_classes": functools.partial(points, count=50_000, spread=2.0, classes=2),
    "points_2_classes": functools.partial(points, classes=2),
    "points_9_classes": functools.partial(points, dimensions=3, classes=9),
    "points_21_classes": functools.partial(points, classes=21),
    "few_points": functools.partial(often, times=50, make=functools.partial(points, count=2000)),
    "volume": volume,
    "line": line,
    "line_2_classes": functools.partial(line, classes=2),
    "steps": steps,
    "steps_2_classes": functools.partial(steps, classes=2),
    "steps_and_divergence": functools.partial(steps, diverges=True),
    "table": table,
    "table_60_classes": functools.partial(table, classes=60),
    "features_of_an_image": features_of_an_image,
    "features_of_an_image_2_classes": functools.partial(features_of_an_image, classes=2, sxy=67, srgb=3),
    "three_terms": three_terms,
}


if __name__ == "__main__":
    main()
