"""Temporary files of dead processes are swept up by whoever writes there next; those of living ones never."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from segfield.data import leftovers
from segfield.data.files import replacing_folder, write_text
from segfield.data.leftovers import host_name, is_running, is_temporary, sweep, temporary_beside
from segfield.data.unpack import unpack

TOKEN = "0123456789ab"


@pytest.fixture(scope="module")
def dead() -> int:
    """The id of a process that has ended."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


@pytest.fixture(autouse=True)
def _as_in_a_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "_swept", set())


@pytest.mark.parametrize(
    "form", [".segfield-{pid}-{token}.tmp", ".segfield-{host}-{pid}-{token}.tmp"], ids=["old", "new"]
)
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_the_next_write_sweeps_what_a_dead_process_left(tmp_path: Path, dead: int, form: str, kind: str) -> None:
    left = tmp_path / form.format(host=host_name(), pid=dead, token=TOKEN)
    if kind == "file":
        left.write_text("half a fi")
        write_text(tmp_path / "a.txt", "whole")
        assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]
    else:
        left.mkdir()
        (left / "0.png").write_text("x")
        with replacing_folder(tmp_path / "ids") as folder:
            (folder / "0.png").write_text("whole")
        assert [file.name for file in tmp_path.iterdir()] == ["ids"]


def test_nothing_else_is_touched(tmp_path: Path, dead: int) -> None:
    kept = [
        f".segfield-{host_name()}-{os.getpid()}-{TOKEN}.tmp",  # of a living process
        f".segfield-{os.getppid()}-{TOKEN}.tmp",
        f".segfield-elsewhere.example-{dead}-{TOKEN}.tmp",  # of another host, where it may live
        f".segfield-{dead}-{TOKEN}.tmp.png",
        f".segfield-{dead}.tmp",
        f"segfield-{dead}-{TOKEN}.tmp",
        "mine.tmp",
    ]
    for name in kept:
        (tmp_path / name).write_text("mine")
    write_text(tmp_path / "a.txt", "whole")
    assert {file.name for file in tmp_path.iterdir()} == {*kept, "a.txt"}


def test_a_link_goes_and_what_it_points_to_stays(tmp_path: Path, dead: int) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "a").write_text("x")
    (tmp_path / f".segfield-{dead}-{TOKEN}.tmp").symlink_to(precious)
    sweep(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["precious"] and (precious / "a").is_file()


def test_a_name_tells_host_and_process(tmp_path: Path) -> None:
    name = temporary_beside(tmp_path / "a.txt")
    assert is_temporary(name) and host_name() in name.name and f"-{os.getpid()}-" in name.name
    assert not is_temporary(tmp_path / "a.txt")


def test_a_living_process_that_began_later_is_another() -> None:
    """A container gives its first process the same id at every start."""
    assert is_running(os.getpid(), time.time())
    if sys.platform.startswith("linux"):
        assert not is_running(os.getpid(), time.time() - 7 * 24 * 3600)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems do not tell")
def test_a_process_that_was_not_fetched_by_its_parent_is_dead() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    try:
        assert not is_running(child.pid, time.time())
    finally:
        child.wait()


def test_a_folder_that_is_not_there_is_no_matter(tmp_path: Path) -> None:
    sweep(tmp_path / "none")


def test_an_archive_is_unpacked_beside_what_a_killed_start_left(tmp_path: Path, dead: int) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a/b.txt", "whole")
    left = tmp_path / "out" / f".segfield-{host_name()}-{dead}-{TOKEN}.tmp"
    (left / "a").mkdir(parents=True)
    (left / "a" / "b.txt").write_text("half a fi")
    unpack(tmp_path / "a.zip", tmp_path / "out")
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["a"]
