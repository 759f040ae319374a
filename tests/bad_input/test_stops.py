"""Training stopped by real signals, in every way that there is, and started again: it ends as the run that was never stopped.

Stops and kills at every single step and file are in tests/training/test_stop_and_go.py, in one process.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.bad_input.folders import write_folder
from tests.training.test_stop_and_go import what_is_left

pytestmark = [pytest.mark.thorough, pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")]

WORDS = (
    "--out", "run", "--model", "unet_padded", "--weights", "none", "--options", "{width: 2, levels: 2}", "--steps", "120",
    "--batch_size", "2", "--validate_every", "8", "--device", "cpu", "--threads", "1", "--save_every", "0.2s",
)  # fmt: skip


def _start(here: Path, data: Path, workers: int) -> subprocess.Popen[str]:
    """`segfield train` as the first of a process group of its own, as a terminal, SLURM and Docker have it."""
    return subprocess.Popen(
        [sys.executable, "-m", "segfield", "train", str(data), *WORDS, "--workers", str(workers)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=here,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )


def _wait(child: subprocess.Popen[str], ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300
    while not ready() and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)


def _stop(child: subprocess.Popen[str], run: Path, how: str) -> None:
    """Stop it by real signals, once it has begun to train; "at the first file": as that appears."""
    if how == "kill -9 at the first file":
        _wait(child, lambda: run.is_dir() and any(file.suffix in (".tmp", ".yaml") for file in run.iterdir()))
        os.killpg(child.pid, signal.SIGKILL)
        return
    _wait(child, (run / "resume.safetensors").exists)
    time.sleep(0.3)
    if how == "kill -9":
        child.kill()  # its workers have to notice by themselves
    elif how == "SIGTERM to all":
        os.killpg(child.pid, signal.SIGTERM)
    else:
        os.killpg(child.pid, signal.SIGINT)
        if how == "Ctrl-C twice":
            time.sleep(0.05)
            os.killpg(child.pid, signal.SIGINT)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Ten images, and what a run on them leaves that is never stopped."""
    here = tmp_path_factory.mktemp("whole")
    data = write_folder(here / "data", count=10)
    done = _start(here, data, 0)
    _, told = done.communicate(timeout=600)
    assert done.returncode == 0, told
    return data, what_is_left(here / "run")


@pytest.mark.parametrize("again", [1, 2])
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("how", ["kill -9", "Ctrl-C", "Ctrl-C twice", "SIGTERM to all", "kill -9 at the first file"])
def test_it_ends_as_the_run_that_was_never_stopped(
    whole: tuple[Path, dict[str, Any]], tmp_path: Path, how: str, workers: int, again: int
) -> None:
    data, left = whole
    child = _start(tmp_path, data, workers)
    _stop(child, tmp_path / "run", how)
    _, told = child.communicate(timeout=300)
    assert "Traceback" not in told and "Exception ignored" not in told, told
    if "kill" in how:
        assert child.returncode == -signal.SIGKILL
    elif child.returncode != 0:  # else it was done before the signal came
        assert child.returncode == 2, told
        sentence = told.splitlines()[-1]
        assert sentence.startswith("segfield: stopped") and ("kept" in sentence or "nothing is lost" in sentence)
    child = _start(tmp_path, data, workers)
    _, told = child.communicate(timeout=300)
    assert child.returncode == 0, told
    found = what_is_left(tmp_path / "run")
    assert found.keys() == left.keys()
    for name in set(left) - {"report.html"}:  # which shows the number of workers among much else
        if name in ("recipe.yaml", "segmenter.safetensors"):
            found[name] = re.sub(rb"(workers[\\\": ]+)2", rb"\g<1>0", found[name])
        assert found[name] == left[name], name


def test_with_little_shared_memory_it_trains_all_the_same(tmp_path: Path) -> None:
    """As in a container: a batch of these images does not fit there even once."""
    data = write_folder(tmp_path / "data", count=6, size=(256, 256))
    words = [sys.executable, "-m", "segfield", "train", str(data), *WORDS, "--workers", "2", "--steps", "2"]
    mounted = "mount -t tmpfs -o size=9m tmpfs /dev/shm"
    if subprocess.run(["unshare", "-m", "sh", "-c", mounted], capture_output=True, check=False).returncode:
        pytest.skip("no small /dev/shm can be mounted here")
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", f'{mounted} && exec "$@"', "sh", *words],
        capture_output=True, text=True, timeout=300, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "--shm-size" in done.stderr and "Traceback" not in done.stderr
