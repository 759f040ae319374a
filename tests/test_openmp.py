"""Threads that wait sleep, unless the user chose otherwise; set before torch is loaded, or not at all."""

from __future__ import annotations

import subprocess
import sys

import pytest

from segfield import openmp
from segfield.commands import main as command_line
from segfield.openmp import WAITING, let_waiting_threads_sleep


def test_it_is_set_before_torch_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    environment = {"HOME": "/"}
    assert let_waiting_threads_sleep(environment)
    assert environment == {"HOME": "/", **WAITING}
    assert 0 < int(environment["GOMP_SPINCOUNT"]) <= 10_000 and environment["KMP_BLOCKTIME"] == "0"


@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY"])
def test_what_the_user_chose_stays(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    environment = {name: "ACTIVE"}
    assert not let_waiting_threads_sleep(environment) and environment == {name: "ACTIVE"}


def test_too_late_is_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", sys)
    environment: dict[str, str] = {}
    assert not let_waiting_threads_sleep(environment) and not environment


def test_every_verb_does_it_first(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(command_line, "let_waiting_threads_sleep", lambda: asked.append(True))
    assert command_line.main(["tarin"]) == 2 and asked == [True]


@pytest.mark.skipif(sys.platform != "linux", reason="GNU's OpenMP tells what it read")
def test_gnus_openmp_reads_it_from_the_command_line() -> None:
    """In a process of its own, whose OpenMP prints its settings as torch loads it."""
    code = (
        "from segfield.openmp import let_waiting_threads_sleep; let_waiting_threads_sleep();"
        "import ctypes, glob, importlib.util, os; folder = os.path.dirname(importlib.util.find_spec('torch').origin);"
        "[ctypes.CDLL(file) for file in glob.glob(folder + '/lib/libgomp*')]"
    )
    environment = {"OMP_DISPLAY_ENV": "verbose", "PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr
    if "GOMP_SPINCOUNT" not in done.stderr:
        pytest.skip("this torch brings no GNU OpenMP")
    assert f"GOMP_SPINCOUNT = '{WAITING['GOMP_SPINCOUNT']}'" in done.stderr


def test_the_module_loads_no_torch() -> None:
    assert "torch" not in vars(openmp)
