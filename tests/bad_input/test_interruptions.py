"""Ctrl-C, kill −9 and full disks, by the real command line: what was finished stays, and the same command goes on.

Real signals to real processes, at whatever moment they come, are left to `make test-all`: the same stops, at every file that
is written, are in tests/inference/test_stopped.py, and that an interrupted training ends with exactly the weights of an
uninterrupted one is in tests/training/.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bad_input.conftest import CommandLine
from tests.bad_input.folders import NETWORK, QUICK, contents, picture, truth, write_folder, write_mask
from tests.told import says
from tests.writes import stopped_by, watched_writes


@pytest.mark.filterwarnings("ignore:.*holds 2 frames")
@pytest.mark.parametrize("state", [1, 2])
def test_ctrl_c_as_a_state_is_kept(segfield: CommandLine, data: Path, tmp_path: Path, state: int) -> None:
    """In this process: the signal comes as the first, or second, resume state takes its name."""
    spoil_with_frames(data)
    run, states = tmp_path / "run", []

    def stop(_: int, file: Path) -> None:
        if file.name == "resume.safetensors":
            states.append(file)
            if len(states) == state:
                signal.raise_signal(signal.SIGINT)

    words = ("train", data, "--out", run, *NETWORK, "--epochs", 2, "--save_every", "0.000001s")
    with watched_writes(stop):
        told = segfield(*words)
    assert told.status == 2
    stopped = stopped_at(told.err, run)
    assert 1 <= stopped < 4
    went_on = segfield.works(*words).out
    assert f"going on at step {stopped} of {run}" in went_on.replace("\n", " ")
    assert (run / "report.html").is_file() and (run / "scores.json").is_file()


def spoil_with_frames(data: Path) -> None:
    """One more file, read with a warning."""
    picture().save(data / "images" / "train" / "4.gif", save_all=True, append_images=[picture(1)])
    write_mask(data / "masks" / "train" / "4.png", truth())


def stopped_at(told: str, run: Path) -> int:
    """The step, from the last line on stderr."""
    sentence = told.splitlines()[-1]
    assert says("segfield: stopped at step … nothing is lost … the same command", sentence) and f"({run})" in sentence
    return int(sentence.removeprefix("segfield: stopped at step ").split(";")[0])


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore:.*holds 2 frames")
@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_ctrl_c_in_training(segfield: CommandLine, data: Path, tmp_path: Path) -> None:
    spoil_with_frames(data)
    run = tmp_path / "run"
    words = ("train", data, "--out", run, *NETWORK, "--epochs", 6, "--save_every", "0.001s")
    child = stopped_by(signal.SIGINT, "resume.safetensors", 1, *words)
    assert child.returncode == 2, child.stderr
    told = child.stderr
    note, _ = told.splitlines()  # a library's warning is a line of ours, without our source; the stop is a sentence
    assert says("note: … 4.gif … frames", note)
    stopped = stopped_at(told, run)
    assert 1 <= stopped < 12
    told = segfield.works(*words).out
    assert f"going on at step {stopped} of {run}" in told.replace("\n", " ")
    assert (run / "report.html").is_file() and (run / "scores.json").is_file()


@pytest.mark.thorough
@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "kill -9"])
def test_prediction_stopped(segfield: CommandLine, segmenter: Path, tmp_path: Path, number: signal.Signals) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    for i in range(6):
        picture(i).save(photos / f"{i:02}.png")
    words = ("predict", segmenter, photos, "--out", out, "--device", "cpu", "--save", "ids,overlay")
    child = stopped_by(number, "overlay/*.jpg", 2, *words)
    told = child.stderr
    before = {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in out.glob("overlay/*.jpg")}
    assert 2 <= len(before) < 6
    assert "Traceback" not in told
    if number == signal.SIGINT:
        assert child.returncode == 2
        sentence = told.splitlines()[-1]
        assert sentence.startswith("segfield: stopped by Ctrl-C; ")
        assert sentence.endswith(f"of 6 images are complete in '{out}', and the same command goes on from there")
    else:
        assert child.returncode == -signal.SIGKILL
    segfield.works(*words)
    after = {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in before}
    # the image at work when it was stopped may lack one of its outputs, and is then made anew
    assert sum(after[file][0] == before[file][0] for file in before) >= len(before) - 1
    assert all(after[file][1] == before[file][1] for file in before)
    assert {kind: len(list((out / kind).iterdir())) for kind in ("ids", "overlay")} == {"ids": 6, "overlay": 6}


@pytest.mark.parametrize("size", ["4k", "12k", "24k", "48k"])
def test_a_disk_full_in_training(
    segfield: CommandLine, data: Path, small_disk: Callable[[str], Path], size: str
) -> None:
    """There is no room for the curves, the segmenter, the resume state, or the report."""
    disk = small_disk(size)
    words = ("train", data, "--out", disk / "run", *NETWORK)
    said = segfield.refuses(*words)
    assert says("No space left … free some space … another folder", said)
    before = contents(disk / "run")
    assert not [name for name in before if name.endswith(".tmp")]
    small_disk("4m")
    told = segfield.works(*words)
    assert ("epoch 1" in told.out) == ("resume.safetensors" not in before)  # what was trained is not trained again
    assert {"segmenter.safetensors", "report.html", "scores.json"} <= set(contents(disk / "run"))


def test_a_disk_full_in_prediction(
    segfield: CommandLine, data: Path, segmenter: Path, small_disk: Callable[[str], Path]
) -> None:
    disk = small_disk("24k")
    words = ("predict", segmenter, data / "images", "--out", disk / "out", "--device", "cpu")
    told = segfield(*words)
    assert told.status == 2
    sentence = told.err.splitlines()[-1]
    assert says("No space left … free some space", sentence)
    assert says("1 of 4 images … complete", sentence)
    before = contents(disk)
    assert not [name for name in before if name.endswith(".tmp")]
    small_disk("4m")
    segfield.works(*words)
    after = contents(disk)
    assert before.items() <= after.items()
    assert len([name for name in after if name.startswith("out/overlay/")]) == 4


def test_a_disk_full_in_evaluation_and_check(
    segfield: CommandLine, data: Path, segmenter: Path, small_disk: Callable[[str], Path]
) -> None:
    disk = small_disk("8k")
    (disk / "mine.txt").write_text("earlier")
    evaluate = ("evaluate", segmenter, data, "--out", disk / "scores", *QUICK)
    check = ("check", data, "--out", disk / "check.html")
    told = segfield(*evaluate)
    assert told.status == 2 and says("No space left … free some space", told.err)
    assert "pixel accuracy" in told.out  # the work of hours is shown before it is written
    assert says("check.html … No space left", segfield.refuses(*check))
    assert contents(disk) == {"mine.txt": b"earlier"}
    small_disk("4m")
    segfield.works(*evaluate)
    segfield.works(*check)


def test_a_folder_that_may_not_be_written_to(
    segfield: CommandLine, segmenter: Path, tmp_path: Path, rights_bite: None
) -> None:
    data, locked = write_folder(tmp_path / "data"), tmp_path / "locked"
    locked.mkdir()
    locked.chmod(0o500)
    for words in (
        ("train", data, "--out", locked / "run", *NETWORK),
        ("evaluate", segmenter, data, "--out", locked / "scores", *QUICK),
        ("predict", segmenter, data / "images", "--out", locked / "out", "--device", "cpu"),
        ("check", data, "--out", locked / "check.html"),
    ):
        assert "ermission" in segfield.refuses(*words)
    locked.chmod(0o700)
    assert not list(locked.iterdir())
