"""Videos that are broken or none at all, and a machine without PyAV, by the real command line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bad_input.conftest import CommandLine
from tests.bad_input.folders import picture
from tests.data.films import pictures, write_film, write_sound
from tests.told import says

pytest.importorskip("av")


def _cut(file: Path) -> None:
    write_film(file, pictures(60), faststart=True)
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 6 // 10])


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "text": (lambda file: file.write_text("<html>404</html>" * 20), "cannot be read"),
    "empty": (lambda file: file.write_bytes(b""), "empty … copy it again"),
    "sound alone": (write_sound, "sound … no pictures … give the video"),
    "truncated": (_cut, "cut short"),
    "without its index": (
        lambda file: file.write_bytes(_film(file)[:1500]),
        "cut short … copy it again",
    ),
}


def _film(file: Path) -> bytes:
    return write_film(file, pictures(8)).read_bytes()


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_video_is_named_with_its_mend(
    segfield: CommandLine, segmenter: Path, tmp_path: Path, fault: str
) -> None:
    spoil, sentence = BROKEN[fault]
    films, out = tmp_path / "films", tmp_path / "out"
    write_film(films / "good.mp4", pictures(4))
    picture(0).save(films / "photo.png")
    bad = films / "bad.mp4"
    spoil(bad)
    told = segfield("predict", segmenter, films, "--out", out, "--device", "cpu")
    assert told.status == 2
    assert says(sentence, told.err) and str(bad) in told.err
    assert "1 of 3 files" in told.err.splitlines()[-1]
    assert sorted(file.name for file in (out / "overlay").iterdir()) == ["good.mp4", "photo.jpg"]
    write_film(bad, pictures(4))
    segfield.works("predict", segmenter, films, "--out", out, "--device", "cpu")
    assert (out / "overlay" / "bad.mp4").is_file()


def test_without_pyav_images_are_done_and_videos_named(
    segfield: CommandLine, segmenter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    films, out = tmp_path / "films", tmp_path / "out"
    clip = write_film(films / "clip.mp4", pictures(3))
    monkeypatch.setitem(sys.modules, "av", None)
    said = segfield.refuses("predict", segmenter, clip, "--out", out, "--device", "cpu")
    assert says("clip.mp4 … PyAV", said) and "pip install segfield[video]" in said
    assert not out.exists()
    picture(0).save(films / "photo.png")
    told = segfield("predict", segmenter, films, "--out", out, "--device", "cpu")
    assert told.status == 2 and "pip install segfield[video]" in told.err
    assert (out / "ids" / "photo.png").is_file()


def test_a_video_of_no_pixels_worth_naming_simply_works(segfield: CommandLine, segmenter: Path, tmp_path: Path) -> None:
    """Two pixels a side, one frame, a name with blanks and letters of everywhere."""
    clip = write_film(tmp_path / "mein Film é 東京.mkv", pictures(1, (18, 2)), codec="ffv1")
    told = segfield.works("predict", segmenter, clip, "--out", tmp_path / "out", "--device", "cpu")
    assert "1 frame of 18×2" in told.out
    assert (tmp_path / "out" / "overlay" / "mein Film é 東京.mp4").is_file()


STOPPED = """
import os, signal, sys
from segfield.commands.main import main
from segfield.data.video import VideoReader
real = VideoReader.__iter__
def frames(self):
    for number, frame in enumerate(real(self)):
        if number == int(sys.argv[1]):
            os.kill(os.getpid(), signal.SIGINT)
        yield frame
VideoReader.__iter__ = frames
sys.exit(main(sys.argv[2:]))
"""
"""A process that gets Ctrl-C as it reads the frame of that number: however busy the machine, in the middle of its work."""


@pytest.mark.thorough
@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
@pytest.mark.parametrize("frame", [1, 30])
def test_ctrl_c_in_the_middle_of_a_video(segmenter: Path, tmp_path: Path, frame: int) -> None:
    """By a true signal, which may come while any stage waits: no hang, no traceback, nothing left but what was finished."""
    clip, out = write_film(tmp_path / "clip.mp4", pictures(60, (96, 128))), tmp_path / "out"
    words = ("predict", segmenter, clip, "--out", out, "--device", "cpu")
    child = subprocess.run(
        [sys.executable, "-c", STOPPED, str(frame), *map(str, words)], capture_output=True, text=True, check=False
    )
    assert child.returncode == 2, child.stderr
    assert "Traceback" not in child.stderr
    assert says("stopped by Ctrl-C … 0 of 1 videos", child.stderr.splitlines()[-1])
    left = [file for file in out.rglob("*") if file.is_file() and file.parent.name != ".segfield"]
    assert [file.name for file in left] == ["predict.json"]  # and the record of what was written


def test_a_disk_full_in_the_middle_of_a_video(
    segfield: CommandLine, segmenter: Path, tmp_path: Path, small_disk: Callable[[str], Path]
) -> None:
    disk = small_disk("28k")
    clip = write_film(tmp_path / "clip.mp4", pictures(40, (96, 128)))
    words = ("predict", segmenter, clip, "--out", disk / "out", "--device", "cpu", "--save", "ids")
    told = segfield(*words)
    assert told.status == 2
    assert says("No space left … free some space", told.err.splitlines()[-1])
    assert not list(disk.rglob("*.tmp")) and not list(disk.rglob("*.png"))
    small_disk("8m")
    segfield.works(*words)
    assert len(list((disk / "out" / "ids" / "clip").iterdir())) == 40
