"""One way to end a benchmark: a JSON line on the terminal, and benchmarks/results/NAME.json.

The file also keeps the date, the machine, the commit and the details.
Used as `from record import record` by the scripts beside it, which are run as `python benchmarks/SCRIPT.py`.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).resolve().parent / "results"


def record(
    name: str,
    value: float,
    unit: str,
    versus: str,
    goal: float,
    met: bool,
    details: Mapping[str, Any] | None = None,
    quick: bool = False,
) -> dict[str, Any]:
    """Print the benchmark's one final JSON line and, unless `quick`, keep it in benchmarks/results/NAME.json.

    Args:
        name: of the benchmark, equal to its script's name.
        value: what was measured.
        unit: of `value` and `goal`, e.g. "x", "s", "mIoU %".
        versus: what it was measured against, with the version.
        goal: what was aimed at.
        met: whether the goal is met; the caller knows whether more or less is better.
        details: whatever else a reader needs to judge the number; JSON-able.
        quick: a short run that shows the script works; its number is printed and not kept.

    Returns:
        what was written, or would have been.
    """
    line = {"name": name, "value": _rounded(value), "unit": unit, "versus": versus, "goal": goal, "met": bool(met)}
    kept = {
        **line,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "machine": machine(),
        "commit": commit(),
        "details": dict(details or {}),
    }
    if not quick:
        RESULTS.mkdir(exist_ok=True)
        target = RESULTS / f"{name}.json"
        waiting = target.with_suffix(f".{os.getpid()}.part")
        waiting.write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        waiting.replace(target)
    print(json.dumps(line, ensure_ascii=False), flush=True)
    return kept


def elapsed(began: float) -> float:
    """Seconds since `began` of `time.perf_counter`; never 0, however coarse the clock: rates and ratios divide by it."""
    return max(time.perf_counter() - began, 1e-9)


def ratio(over: float, under: float) -> float | None:
    """`over` / `under` of two measured amounts, three digits; None where `under` was too small to be measured.

    Memory that a small case adds may lie in pages which the process holds already, and is then 0.
    """
    return round(over / under, 3) if under > 0 else None


def machine() -> dict[str, Any]:
    """Processor, cores this process may use, memory, Python and library versions, and the GPU where there is one."""
    facts: dict[str, Any] = {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": _memory_gib(),
        "system": platform.platform(),
        "python": platform.python_version(),
    }
    for library in ("torch", "numpy", "numba"):
        try:
            facts[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            facts[library] = None
    facts["gpu"] = _gpu()
    return facts


def commit() -> str:
    """The commit measured, with '+dirty' where tracked files outside benchmarks/results differ from it."""
    head = _git("rev-parse", "HEAD")
    changes = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":(exclude)benchmarks/results")
    return f"{head or 'unknown'}{'+dirty' if changes else ''}"


def _git(*arguments: str) -> str:
    try:
        answer = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout.strip()


def _cpu_model() -> str:
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, OSError, ValueError):
        return None


def _gpu() -> str | None:
    try:
        import torch
    except ImportError:
        return None
    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else None


def _rounded(value: float) -> float:
    """Four significant digits: more would only say what the clock's noise was."""
    return float(f"{value:.4g}")
