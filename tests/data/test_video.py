"""Video files of several kinds, read; compared with the pictures they were made of. What is broken is named."""

import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from segfield.data.video import VIDEO_SUFFIXES, VideoReader, is_video, load_av
from segfield.errors import DataError
from tests.data.films import pictures, turn, write_film, write_sound

pytest.importorskip("av")


def read(file):
    with VideoReader(file) as video:
        return video.facts, list(video)


@pytest.mark.parametrize(
    ("name", "codec", "near"),
    [
        ("a.mp4", "libx264", 12),
        ("a.avi", "mpeg4", 12),
        ("a.mkv", "ffv1", 0),
        ("a.mov", "png", 0),
        ("a.webm", "libvpx", 16),
        ("a.ts", "mpeg2video", 12),
    ],
)
def test_frames_are_the_pictures(tmp_path, name, codec, near):
    drawn = pictures()
    facts, frames = read(
        write_film(tmp_path / name, drawn, codec=codec, options={"cpu-used": "8"} if "vp" in codec else {})
    )
    assert (facts.height, facts.width) == (48, 64)
    assert facts.rate == 25
    assert len(frames) == len(drawn)
    for number, (frame, picture) in enumerate(zip(frames, drawn)):
        assert frame.image.dtype == np.uint8
        assert frame.image.shape == (3, 48, 64)
        assert float(frame.time) == pytest.approx(number / 25, abs=0.002)
        # away from edges, which lossy codecs blur
        for place in ((20, 20), (20, 50), (-4, 30)):
            assert np.abs(frame.image[(slice(None), *place)].astype(int) - picture[place].astype(int)).max() <= near


def test_facts_tell_the_length_before_it_is_read(tmp_path):
    for name, codec in (
        ("a.mp4", "libx264"),
        ("a.mkv", "libx264"),
    ):  # the one's header counts frames, the other's does not
        with VideoReader(write_film(tmp_path / name, pictures(30), rate=Fraction(30000, 1001), codec=codec)) as video:
            assert video.facts.frames == 30
            assert video.facts.rate == Fraction(30000, 1001)


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_a_turned_camera_is_turned_back(tmp_path, quarters):
    drawn = pictures(3)
    file = write_film(tmp_path / "phone.mp4", drawn)
    turn(file, quarters)
    facts, frames = read(file)
    upright = np.rot90(drawn[0], -quarters)
    assert (facts.height, facts.width) == upright.shape[:2]
    image = frames[0].image.transpose(1, 2, 0)
    assert image.shape == upright.shape
    assert np.abs(image.astype(int) - upright.astype(int)).mean() < 4
    if quarters:
        assert np.abs(image.astype(int) - np.rot90(upright, 2).astype(int)).mean() > 30


def test_uneven_times_are_kept(tmp_path):
    times = [Fraction(t, 1000) for t in (0, 40, 120, 125, 400, 1000)]
    _, frames = read(write_film(tmp_path / "uneven.mp4", pictures(6), times=times))
    assert [round(float(frame.time), 3) for frame in frames] == [0, 0.04, 0.12, 0.125, 0.4, 1]


def test_sound_is_passed_over(tmp_path):
    _, frames = read(write_film(tmp_path / "loud.mp4", pictures(5), sound=True))
    assert len(frames) == 5


def test_videos_are_known_by_their_names():
    assert is_video("a/b.MP4") and is_video(Path("c.webm"))
    assert not is_video("mp4") and not is_video("a.png") and not is_video("a.gif")
    assert all(suffix == suffix.lower() and suffix[0] == "." for suffix in VIDEO_SUFFIXES)


def cut(file: Path, share: float) -> Path:
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])
    return file


BROKEN = {
    "text": (lambda f: f.write_text("no video\n" * 50), "cannot be read"),
    "playlist": (lambda f: f.write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n"), "cannot be read"),
    "empty": (lambda f: f.write_bytes(b""), r"empty \(0 bytes\)"),
    "missing": (lambda f: None, "no such video file"),
    "folder": (lambda f: f.mkdir(), "is a folder.*one video"),
    "sound": (write_sound, "sound.*no pictures"),
    "without index": (lambda f: cut(write_film(f, pictures()), 0.6), "cut short.*copy it again"),
    "cut": (lambda f: cut(write_film(f, pictures(80), faststart=True), 0.6), "cut short"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_what_is_no_video_is_named(tmp_path, fault):
    spoil, told = BROKEN[fault]
    file = tmp_path / "bad.mp4"
    spoil(file)
    with pytest.raises(DataError, match=told) as raised:
        read(file)
    assert str(file) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_formats_that_end_without_a_word_are_found_short(tmp_path):
    for name, codec in (("a.mkv", "libx264"), ("a.avi", "mpeg4")):
        file = cut(write_film(tmp_path / name, pictures(80), codec=codec), 0.6)
        with pytest.raises(DataError, match=r"frame \d+ \(\d\.\d s\).*80.*cut short"):
            read(file)


def test_a_change_of_size_is_told(tmp_path):
    parts = [write_film(tmp_path / f"{i}.h264", pictures(3, size)) for i, size in enumerate([(48, 64), (64, 48)])]
    both = tmp_path / "both.h264"
    both.write_bytes(b"".join(part.read_bytes() for part in parts))
    with pytest.raises(DataError, match=r"48×64 to 64×48 at frame 3.*convert it"):
        read(both)


def test_without_pyav_a_sentence_says_what_to_install(tmp_path, monkeypatch):
    file = write_film(tmp_path / "a.mp4", pictures(2))
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(DataError, match=r"a\.mp4 .*PyAV.*pip install segfield\[video\]"):
        VideoReader(file)
    with pytest.raises(DataError, match=r"pip install segfield\[video\]"):
        load_av(file)
