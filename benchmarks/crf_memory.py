"""Memory announced for the dense CRF against what a process of its own takes: growth of its resident memory to its peak.

Photographs (drawn scenes with a camera's noise, where there are no others) and pure noise, by size, classes and preset; each in a
process of its own, in which a small image was refined first, so that loading and compiling do not count. The value is the
announcement that is furthest off, in per cent; the goal is 15. --quick takes two small cases, which say nothing of memory.

    python benchmarks/crf_memory.py [--quick]        (about four minutes on two cores; 6 GiB)
"""

from __future__ import annotations

import argparse
import ctypes
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from record import record

GOAL = 15.0
QUICK = (("scene", 120, 160, 4, "default", "fast"), ("noise", 100, 120, 3, "deeplab", "fast"))
CASES = (
    ("scene", 480, 640, 2, "default", "fast"),
    ("scene", 480, 640, 21, "default", "fast"),
    ("scene", 1080, 1920, 11, "deeplab", "fast"),
    ("scene", 1080, 1920, 21, "crf_rnn", "fast"),
    ("scene", 2400, 3200, 5, "default", "fast"),  # in tiles
    ("noise", 480, 640, 21, "default", "fast"),
    ("noise", 768, 1024, 11, "deeplab_largefov", "fast"),
    ("noise", 768, 1024, 2, "default", "fast"),
    ("scene", 480, 640, 21, "deeplab", "fine"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small cases; not kept")
    parser.add_argument("--case", help="(inner) one case in this process, as JSON")
    given = parser.parse_args()
    if given.case:
        print(json.dumps(measured(*json.loads(given.case))))
        return
    rows = []
    for case in QUICK if given.quick else CASES:
        command = [sys.executable, __file__, "--case", json.dumps(case)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(rows[-1], flush=True)
    value = max(abs(row["off_percent"]) for row in rows)
    versus = "growth of resident memory to its peak, Linux, in a process of its own"
    record("crf_memory", max(value, 0.1), "%", versus, GOAL, value <= GOAL, {"cases": rows}, quick=given.quick)


def measured(kind: str, height: int, width: int, classes: int, preset: str, accuracy: str) -> dict[str, Any]:
    """Bytes announced and taken by one refinement."""
    from segfield.crf import buffers
    from segfield.crf.dense_crf import DenseCRF
    from segfield.crf.memory import crf_bytes

    settings = {"accuracy": accuracy}
    crf = DenseCRF(**settings) if preset == "default" else DenseCRF.preset(preset, **settings)  # type: ignore[arg-type]
    image, probabilities = image_of(kind, height, width), probabilities_of(classes, height, width)
    small = min(height, width, 220)
    corner = np.ascontiguousarray(image[:, :small, :small])
    crf(corner, probabilities=probabilities_of(classes, small, small))
    announced = crf_bytes(crf, image, classes)
    buffers._spare.clear()
    before = resident("VmRSS", again=True)
    crf(image, probabilities=probabilities)
    taken = resident("VmHWM") - before
    return {
        "case": f"{kind} {width}x{height}, {classes} classes, {preset}, {accuracy}",
        "announced_mib": round(announced / 2**20),
        "taken_mib": round(taken / 2**20),
        "off_percent": round(100 * (announced / max(taken, 1) - 1), 1),
    }


def image_of(kind: str, height: int, width: int) -> Any:
    from segfield.data.scenes import draw_scene

    rng = np.random.default_rng(0)
    if kind == "noise":
        return rng.integers(0, 256, (3, height, width), dtype=np.uint8)
    drawn = draw_scene((480, 640), 3)[0]
    repeated = np.tile(drawn, (1, -(-height // 480), -(-width // 640)))[:, :height, :width]
    return np.clip(repeated + rng.normal(0, 2, repeated.shape), 0, 255).astype(np.uint8)


def probabilities_of(classes: int, height: int, width: int) -> Any:
    values = np.random.default_rng(1).random((classes, height, width), dtype=np.float32) + np.float32(0.01)
    values /= values.sum(axis=0)
    return values


def resident(entry: str, again: bool = False) -> int:
    """VmRSS or VmHWM of this process in bytes; `again` lets freed memory go and begins a new peak."""
    if again:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    found = re.search(rf"{entry}:\s+(\d+)", Path("/proc/self/status").read_text(encoding="ascii"))
    if found is None:
        raise SystemExit(f"/proc/self/status has no {entry}: this benchmark needs Linux")
    return int(found[1]) * 1024


if __name__ == "__main__":
    main()
