"""The command line as a user meets it, a segmenter to work with, a disk that is soon full, and rights that bite."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from segfield.commands.main import main
from tests.bad_input.folders import NETWORK, write_folder
from tests.plain_figures import plain_figures

__all__ = ["plain_figures"]


class Told(NamedTuple):
    """What one command left on the terminal."""

    status: int
    out: str
    err: str


class CommandLine:
    """Runs verbs in this process; whatever they say, no traceback may be in it."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self._capfd = capfd

    def __call__(self, *words: object) -> Told:
        self._capfd.readouterr()
        status = main([str(word) for word in words])
        told = Told(status, *self._capfd.readouterr())
        assert "Traceback" not in told.out + told.err
        return told

    def works(self, *words: object) -> Told:
        """Asserts that the verb succeeds, and that nothing but its own statements is on stderr."""
        told = self(*words)
        assert told.status == 0, told
        own = ("note: ", "memory beside the image itself: ")
        assert all(line.startswith(own) or "are complete already" in line for line in told.err.splitlines()), told.err
        return told

    def refuses(self, *words: object) -> str:
        """Asserts exit status 2 and one sentence, and nothing else, on stderr. Returns the sentence."""
        told = self(*words)
        assert told.status == 2, told
        assert told.err.startswith("segfield: "), told.err
        assert told.err.count("\n") == 1, told.err
        return told.err


@pytest.fixture
def segfield(capfd: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(capfd)


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on a healthy folder of RGB images."""
    here = tmp_path_factory.mktemp("healthy")
    data = write_folder(here / "data")
    assert main(["train", str(data), "--out", str(here / "run"), *NETWORK]) == 0
    return here / "run"


@pytest.fixture(scope="session")
def segmenter(run: Path) -> Path:
    return run / "segmenter.safetensors"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A healthy folder, to be spoilt."""
    return write_folder(tmp_path / "data")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Gives a disk of so many bytes; called again, the same disk has another size."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = False

    def resize(size: str) -> Path:
        nonlocal mounted
        words = ["-o", f"remount,size={size}"] if mounted else ["-t", "tmpfs", "-o", f"size={size}", "tmpfs"]
        try:
            done = subprocess.run(["mount", *words, str(disk)], capture_output=True, text=True, check=False)
        except OSError as error:
            pytest.skip(f"no small disk can be made here: {error}")
        if done.returncode:
            pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
        mounted = True
        return disk

    yield resize
    if mounted:
        subprocess.run(["umount", str(disk)], check=True)


class _Capabilities(ctypes.Structure):
    _fields_ = [(f"{kind}{half}", ctypes.c_uint32) for half in (0, 1) for kind in ("effective", "permitted", "kept")]


@pytest.fixture
def rights_bite() -> Iterator[None]:
    """File rights hold for this process: the superuser lays down, for a while, what lets it read and write everything."""
    if not hasattr(os, "geteuid"):
        pytest.skip("file rights of another kind than POSIX's")
    if os.geteuid() != 0:
        yield
        return
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        head, held = (ctypes.c_uint32 * 2)(0x20080522, 0), _Capabilities()
        assert libc.capget(head, ctypes.byref(held)) == 0
        fewer = _Capabilities.from_buffer_copy(held)
        fewer.effective0 &= ~0b110  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        assert libc.capset(head, ctypes.byref(fewer)) == 0
    except (OSError, AttributeError, AssertionError):
        pytest.skip("the superuser may read everything, and lays that down on Linux alone")
    try:
        yield
    finally:
        libc.capset(head, ctypes.byref(held))
