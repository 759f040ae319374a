"""Videos written, then read by PyAV alone."""

import os
from fractions import Fraction

import numpy as np
import pytest

from segfield.data import video_writing
from segfield.data.files import replacing
from segfield.data.video_writing import VideoWriter
from segfield.errors import DataError, SegfieldError, SettingError
from tests.data.films import pictures

av = pytest.importorskip("av")


def look(file):
    """(codec, rate, [(seconds, (H, W, 3) picture)])."""
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        frames = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(stream)]
        return stream.codec_context.name, stream.average_rate, frames


@pytest.mark.parametrize("codec", ["h264", "mpeg4"])
@pytest.mark.parametrize("rate", [Fraction(25), Fraction(30000, 1001), Fraction(5, 2)])
def test_pictures_come_back_at_their_rate(tmp_path, monkeypatch, codec, rate):
    if codec == "mpeg4":
        monkeypatch.setattr(video_writing, "_encoder", lambda av: "mpeg4")
    elif "libx264" not in av.codecs_available:
        pytest.skip("this FFmpeg has no libx264")
    drawn = pictures(10)
    with VideoWriter(tmp_path / "a.mp4", (48, 64), rate) as writer:
        for picture in drawn:
            writer.write(picture)
    name, found, frames = look(tmp_path / "a.mp4")
    assert (name, Fraction(found)) == (codec, rate)
    assert [time for time, _ in frames] == pytest.approx([i / float(rate) for i in range(10)], abs=1e-4)
    for (_, frame), picture in zip(frames, drawn):
        assert frame.shape == picture.shape
        assert np.abs(frame.astype(int) - picture.astype(int)).mean() < 4
        assert np.abs(frame[-4, 30].astype(int) - picture[-4, 30].astype(int)).max() <= 5  # which frame it is


def test_uneven_times_are_kept_and_never_go_back(tmp_path):
    times = [Fraction(t, 1000) for t in (0, 40, 120, 120, 100, 400)]
    with VideoWriter(tmp_path / "a.mp4", (48, 64), 25, time_base=Fraction(1, 1000)) as writer:
        for picture, time in zip(pictures(6), times):
            writer.write(picture, time)
    _, _, frames = look(tmp_path / "a.mp4")
    assert [round(time, 3) for time, _ in frames] == [0, 0.04, 0.12, 0.121, 0.122, 0.4]


@pytest.mark.parametrize("size", [(47, 63), (1, 1), (2, 301)])
def test_odd_sides_are_one_longer_with_the_border_twice(tmp_path, size):
    picture = np.random.default_rng(0).integers(0, 2, (*size, 1), np.uint8).repeat(3, 2) * 200 + 20
    with VideoWriter(tmp_path / "a.mp4", size, 10) as writer:
        writer.write(picture)
        writer.write(picture)
    _, _, frames = look(tmp_path / "a.mp4")
    height, width = size
    frame = frames[1][1]
    assert frame.shape == (height + height % 2, width + width % 2, 3)
    assert np.abs(frame[:height, :width].astype(int) - picture.astype(int)).mean() < 8
    assert np.abs(frame[-1].astype(int) - frame[height - 1].astype(int)).mean() < 8


def test_saturated_colours_survive(tmp_path):
    colours = np.array(
        [(0, 0, 142), (220, 20, 60), (107, 142, 35), (250, 170, 30), (255, 255, 255), (0, 0, 0)], np.uint8
    )
    picture = colours.repeat(16, 0)[None].repeat(32, 0)
    with VideoWriter(tmp_path / "a.mp4", picture.shape[:2], 10) as writer:
        writer.write(picture)
    frame = look(tmp_path / "a.mp4")[2][0][1]
    assert np.abs(frame[16, 8::16].astype(int) - colours.astype(int)).max() <= 8


def test_the_shape_of_pixels_is_kept(tmp_path):
    with VideoWriter(tmp_path / "a.mp4", (48, 64), 10, pixel_aspect=Fraction(16, 11)) as writer:
        writer.write(pictures(1)[0])
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert Fraction(container.streams.video[0].sample_aspect_ratio) == Fraction(16, 11)


def test_what_is_stopped_leaves_nothing(tmp_path):
    with (
        pytest.raises(KeyboardInterrupt),
        replacing(tmp_path / "a.mp4") as file,
        VideoWriter(file, (48, 64), 10) as writer,
    ):
        writer.write(pictures(1)[0])
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux's full disk")  # noqa: PTH110
def test_a_full_disk_is_told_as_such(tmp_path):
    drawn = [np.random.default_rng(i).integers(0, 255, (480, 640, 3), np.uint8) for i in range(3)]
    with pytest.raises(OSError, match="No space left"), VideoWriter("/dev/full", (480, 640), 10) as writer:
        for i in range(60):
            writer.write(drawn[i % 3])
    with pytest.raises(SegfieldError, match="could not be written"), replacing(tmp_path / "no" / "a.mp4") as file:
        (tmp_path / "no").rmdir()
        VideoWriter(file, (48, 64), 10)


def test_what_is_no_picture_of_it_is_refused(tmp_path):
    with VideoWriter(tmp_path / "a.mp4", (48, 64), 10) as writer:
        writer.write(pictures(1)[0])
        for wrong in (
            np.zeros((48, 63, 3), np.uint8),
            np.zeros((48, 64, 3), np.float32),
            np.zeros((3, 48, 64), np.uint8),
        ):
            with pytest.raises(DataError, match=r"pictures are \(48, 64, 3\) uint8; found"):
                writer.write(wrong)
    for size, rate in (((0, 4), 10), ((4, 4), 0)):
        with pytest.raises(SettingError, match="1 or more"):
            VideoWriter(tmp_path / "b.mp4", size, rate)
