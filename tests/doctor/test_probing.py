"""Probes against packages that crash, hang, exit, chatter and lack their own needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from segfield.doctor import probing
from segfield.doctor.probing import probe, probe_all

PACKAGES = {
    "fine_package": "__version__ = '1.2'\nprint('hello from an import')",
    "plain_package": "",
    "raising_package": "raise RuntimeError('operator torchvision::nms\\ndoes not exist')",
    "crashing_package": "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
    "leaving_package": "import sys; sys.exit(3)",
    "vanishing_package": "import os; os._exit(7)",
    "hanging_package": "import threading; threading.Event().wait()",
    "needy_package": "import a_package_that_is_nowhere",
}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    for name, code in PACKAGES.items():
        (tmp_path / f"{name}.py").write_text(code)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)])}


def test_each_fate_is_told_and_none_takes_the_others_along(environment: dict[str, str]) -> None:
    names = [name for name in PACKAGES if name != "hanging_package"]
    answers = probe([*names, "not_installed_package"], 60, environment)
    assert answers["fine_package"]["version"] == "1.2"
    assert answers["fine_package"]["seconds"] >= 0
    assert answers["plain_package"]["version"] == ""
    assert answers["raising_package"]["error"] == "RuntimeError: operator torchvision::nms does not exist"
    assert answers["crashing_package"]["error"] == "the process crashed with SIGSEGV"
    assert answers["leaving_package"]["error"] == "SystemExit: 3"
    assert answers["vanishing_package"]["error"] == "the process ended with status 7"
    assert answers["needy_package"]["error"] == "it needs 'a_package_that_is_nowhere', which is not installed"
    assert answers["not_installed_package"] == {"missing": True}


def test_hanging_import_ends_at_the_limit_and_what_came_before_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock and a process of paper: whatever the machine does beside it, the limit falls into the second import."""
    now, given, killed = [100.0], [], []

    class Hanging:
        returncode = -9

        def __init__(self, command: list[str], **_: object) -> None:
            assert command[-3:] == ["fine_package", "hanging_package", "plain_package"]

        def communicate(self, timeout: float | None = None) -> tuple[bytes, None]:
            if timeout is not None:
                given.append(timeout)
                now[0] += timeout
                raise subprocess.TimeoutExpired("probe", timeout)
            said = [{"begin": "fine_package"}, {"name": "fine_package", "version": "1.2"}, {"begin": "hanging_package"}]
            return "\n".join(map(json.dumps, said)).encode(), None

        def kill(self) -> None:
            killed.append(self)

    monkeypatch.setattr(probing.subprocess, "Popen", Hanging)
    monkeypatch.setattr(probing.time, "monotonic", lambda: now[0])
    answers = probe(["fine_package", "hanging_package", "plain_package"], 2.0)
    assert given == [2.0] and len(killed) == 1
    assert answers["fine_package"]["version"] == "1.2"
    assert "did not come back" in answers["hanging_package"]["error"]
    assert "time was used up" in answers["plain_package"]["error"]


@pytest.mark.thorough
def test_a_true_import_that_hangs_is_ended(environment: dict[str, str]) -> None:
    answers = probe(["hanging_package"], 3.0, environment)
    assert "did not come back within 3 s" in answers["hanging_package"]["error"]


def test_groups_are_gathered() -> None:
    answers = probe_all([["json"], ["csv", "no_such_package_here"]])
    assert set(answers) == {"json", "csv", "no_such_package_here"}
    assert "missing" in answers["no_such_package_here"]
