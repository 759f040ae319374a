"""Dense CRF: seconds from a fresh start to the first refined image with nothing compiled yet, and in the processes after it.

Each form runs `python -c`, imports segfield.crf and refines one image of 500×375 with 21 classes. The first process has an
empty folder for compiled code, as after an installation; the next ones find what it left. The value is the first one's.

    python benchmarks/crf_first_call.py [--quick]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from crf_cases import seconds
from record import record

GOAL = 15.0
CHILD = """
import json, sys, time
import numpy as np
begin = time.perf_counter()
from segfield.crf import DenseCRF
imported = time.perf_counter()
width, height, classes, accuracy = json.loads(sys.argv[1])
rng = np.random.default_rng(0)
image = rng.integers(0, 256, (3, height, width), dtype=np.uint8)
logits = rng.standard_normal((classes, height, width), dtype=np.float32)
ready = time.perf_counter()
refine = DenseCRF(accuracy=accuracy)
refine(image, logits)
first = time.perf_counter()
refine(image, logits)
second = time.perf_counter()
print(json.dumps({"import_s": imported - begin, "first_call_s": first - ready, "second_call_s": second - first}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small image; nothing is kept")
    quick = parser.parse_args().quick
    size = (64, 48) if quick else (500, 375)
    details: dict[str, Any] = {"load_average_before": os.getloadavg()[0]}
    with tempfile.TemporaryDirectory() as folder:
        details["after_install"] = first = process(folder, *size, 21)
        details["compiled_files_mib"] = round(megabytes(folder), 1)
        later = [process(folder, *size, 21) for _ in range(1 if quick else 3)]
        details["later_processes"] = {key: statistics.median(each[key] for each in later) for key in first}
        if not quick:
            details["then_first_with"] = {
                "2 classes": process(folder, *size, 2),
                "60 classes": process(folder, *size, 60),
                "accuracy fine": process(folder, *size, 21, "fine"),
                "accuracy exact": process(folder, 160, 120, 21, "exact"),
                "21 classes again": process(folder, *size, 21),
            }
    print(details)
    value = first["process_s"]
    against = "the whole process with an empty cache of compiled code; pydensecrf2 is compiled at its installation"
    record("crf_first_call", value, "s", against, GOAL, value < GOAL, details, quick)


def process(folder: str, width: int, height: int, classes: int, accuracy: str = "fast") -> dict[str, float]:
    """Seconds of a fresh process, and what it says of its import and calls."""
    command = [sys.executable, "-c", CHILD, json.dumps([width, height, classes, accuracy])]
    said: list[str] = []

    def run() -> None:
        environment = {**os.environ, "NUMBA_CACHE_DIR": folder}
        said.append(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)

    whole = seconds(run)
    parts = {key: round(value, 3) for key, value in json.loads(said[0]).items()}
    return {"process_s": round(whole, 3), **parts}


def megabytes(folder: str) -> float:
    return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file()) / 2**20


if __name__ == "__main__":
    main()
