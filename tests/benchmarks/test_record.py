"""Ratios of what was measured: a benchmark does not fail where an amount was too small for its instrument."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch):
    """Imports a script of benchmarks/ anew."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))

    def load(name: str) -> ModuleType:
        monkeypatch.delitem(sys.modules, name, raising=False)
        return __import__(name)

    return load


def test_a_ratio_to_what_was_not_measurable_is_none(script) -> None:
    ratio = script("record").ratio
    assert ratio(3.0, 2.0) == 1.5 and ratio(0.0, 2.0) == 0.0
    assert ratio(3.0, 0.0) is None and ratio(0.0, 0.0) is None


def test_no_time_is_zero_however_coarse_the_clock(script, monkeypatch: pytest.MonkeyPatch) -> None:
    record = script("record")
    monkeypatch.setattr(time, "perf_counter", lambda: 7.0)
    assert 0 < record.elapsed(7.0) < 1e-6
    monkeypatch.setattr(time, "perf_counter", lambda: 9.5)
    assert record.elapsed(7.0) == 2.5


@pytest.mark.parametrize("growth", [0.0, 12.5])
def test_the_crf_rnn_layer_may_add_no_memory(
    script, growth: float, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Forward and backward of a small image often fit into pages that the process holds already."""
    crf_rnn_speed, table = script("crf_rnn_speed"), script("table")
    monkeypatch.setattr(sys, "argv", ["crf_rnn_speed.py", "--quick"])
    monkeypatch.setattr(crf_rnn_speed, "growth", lambda size, classes, iterations: growth)
    monkeypatch.setattr(crf_rnn_speed, "timed", lambda runs, rounds: dict.fromkeys(runs, 0.5))
    for name in ("ours", "plain"):
        monkeypatch.setattr(crf_rnn_speed, name, lambda threads, **_: lambda size, classes, count=1: None)
    monkeypatch.setattr(crf_rnn_speed, "agreement", lambda *_: {})
    kept = {}
    monkeypatch.setattr(crf_rnn_speed, "record", lambda *given: kept.update(given[6]))
    crf_rnn_speed.main()
    assert kept["memory met"] is True
    assert kept["memory at T = 10 over T = 5"] == (1.0 if growth else None)
    told = " ".join(table.crf_rnn_speed_lines(json.loads(json.dumps(kept | {"agreement with plain torch": {}}))))
    assert ("1 times" if growth else "too little at T = 5 to be measured") in told


def test_a_crf_under_load_may_add_no_memory(script, monkeypatch: pytest.MonkeyPatch) -> None:
    crf_load = script("crf_load")

    class Done:
        stdout = json.dumps({"peak": 100.0, "growth": 0.0})

    monkeypatch.setattr(crf_load.subprocess, "run", lambda *_, **__: Done)
    assert crf_load.memory("64x48", 5, "DL")["growth_of_ours_over_theirs"] is None
