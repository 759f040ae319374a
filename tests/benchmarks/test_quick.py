"""Every benchmark's --quick form runs in a fresh process, ends with its JSON line and keeps nothing."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = {
    "record",
    "table",
    "faults",
    "label_shares",
    "crf_cases",
    "crf_classifiers",
    "crf_filters",
    "crf_floor",
    "crf_load",
    "espnet",
}
"""What scripts are made of: no benchmarks themselves."""
SCRIPTS = sorted(path for path in (ROOT / "benchmarks").glob("*.py") if path.stem not in PARTS)
NEEDS_SHARED = {"adversarial", "unlabelled", "camvid", "camvid_lineup", "crf_rnn", "int8", "stanford"}
MAY_BE_BELOW_0 = {"adversarial", "crf_rnn", "unlabelled"}
"""Differences."""


@pytest.mark.thorough
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_quick_form(script: Path, request: pytest.FixtureRequest) -> None:
    if script.stem in NEEDS_SHARED:
        request.getfixturevalue("shared_data")
    result = ROOT / "benchmarks" / "results" / f"{script.stem}.json"
    before = result.read_bytes() if result.exists() else None
    done = subprocess.run(
        [sys.executable, str(script), "--quick"], capture_output=True, text=True, cwd=ROOT,
        env={**os.environ, "MPLBACKEND": "Agg"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    line = json.loads(done.stdout.splitlines()[-1])
    assert list(line) == ["name", "value", "unit", "versus", "goal", "met"]
    assert line["name"] == script.stem
    # no more of the value: what a small case adds to a process's memory, say, is often 0
    assert math.isfinite(line["value"]) and (line["value"] >= 0 or script.stem in MAY_BE_BELOW_0)
    assert isinstance(line["met"], bool)
    assert (result.read_bytes() if result.exists() else None) == before


def test_kept_results_have_their_facts() -> None:
    for path in (ROOT / "benchmarks" / "results").glob("*.json"):
        kept = json.loads(path.read_text(encoding="utf-8"))
        assert kept["name"] == path.stem
        assert {"value", "unit", "versus", "goal", "met", "date", "machine", "commit"} <= set(kept)
        assert (ROOT / "benchmarks" / f"{path.stem}.py").is_file()
