"""`segfield doctor`: the table and the verdict, with the probes stood in for; and once in earnest."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from segfield.commands.doctor import doctor
from segfield.doctor import probing
from segfield.doctor.diagnosis import EXTRAS, NAMES
from segfield.doctor.probe import DEVICES, STEP

Answers = dict[str, dict[str, Any]]


def answers() -> Answers:
    said: Answers = {name: {"version": "9999"} for group in NAMES for name in group}
    said[DEVICES] = {"gpus": [], "mps": False, "threads": 1, "cuda_built": ""}
    said[STEP] = {"milliseconds": {"cpu float32": 1.0}}
    return said


def test_ready(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    said = {**answers(), "av": {"missing": True}}
    monkeypatch.setattr(probing, "probe_all", lambda names: said)
    report = doctor()
    shown = capsys.readouterr().out
    assert report.exit_status == 0
    assert shown.rstrip().splitlines()[-1] == report.verdict == str(report)
    assert report.verdict.startswith("segfield is ready") and "without av" in report.verdict
    assert all(extra[0] in shown for extra in EXTRAS.values())


def test_broken_pair(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    said = {**answers(), "torchvision": {"error": "RuntimeError: operator torchvision::nms does not exist"}}
    monkeypatch.setattr(probing, "probe_all", lambda names: said)
    report = doctor()
    assert report.exit_status == 1
    assert report.verdict.startswith("segfield cannot work: torchvision is broken")
    assert "one registry" in capsys.readouterr().out.splitlines()[-1]


def test_quiet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(probing, "probe_all", lambda names: answers())
    doctor(quiet=True)
    assert capsys.readouterr() == ("", "")


@pytest.mark.thorough
def test_this_machine_in_earnest() -> None:
    report = doctor(quiet=True)
    assert report.exit_status == 0, report.verdict
    found = {row.subject: row for row in report.findings}
    assert found["torch"].state == found["training step"].state == "ok"


def test_the_doctor_itself_loads_none_of_its_patients() -> None:
    code = (
        "import segfield.commands.doctor, segfield.doctor.probing, segfield.doctor.diagnosis, sys;"
        "sys.exit(any(name in sys.modules for name in ('torch', 'numpy', 'rich')))"
    )
    done = subprocess.run([sys.executable, "-c", code], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
