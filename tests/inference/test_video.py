"""A clip through all stages: what is written is what was predicted, whole or not at all; figures are true."""

import json
import threading
import time
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from segfield.classes import ClassTable
from segfield.data.files import replacing_folder
from segfield.data.flow import DenseInverseSearch
from segfield.data.video import VideoReader
from segfield.errors import DataError, SegfieldError
from segfield.evaluation.temporal import TemporalConsistency, TemporalScores
from segfield.inference import video as module
from segfield.inference.frames import FramePredictor
from segfield.inference.smoothing import FlowSmoother
from segfield.inference.video import ROOM, ClipReport, predict_video, write_report
from tests.data.films import pictures, write_film
from tests.inference.networks import THREE, FakeSegmenter, pixelwise

pytest.importorskip("av")


@pytest.fixture
def clip(tmp_path):
    return write_film(tmp_path / "clip.mp4", pictures(12), rate=Fraction(30000, 1001))


def places(folder, kinds=("overlay", "palette", "ids")):
    return {kind: folder / kind / ("clip" if kind == "ids" else "clip.mp4") for kind in kinds}


def predictor(window_logits=pixelwise, **options):
    return FramePredictor(FakeSegmenter(window_logits), **options)


def read(file):
    with VideoReader(file) as video:
        return video.facts, [frame.image.transpose(1, 2, 0).astype(int) for frame in video]


def test_every_frame_is_written_in_every_form(clip, tmp_path):
    out = places(tmp_path / "out")
    report = predict_video(predictor(), clip, out)
    _, film = read(clip)
    ids = [np.asarray(Image.open(file)) for file in sorted(out["ids"].iterdir())]
    assert [file.name for file in sorted(out["ids"].iterdir())][::11] == ["000000.png", "000011.png"]
    assert (report.frames, report.height, report.width) == (len(ids), 48, 64) == (12, 48, 64)
    for number, image in enumerate(film):
        assert np.array_equal(ids[number], predictor()(image.astype(np.uint8).transpose(2, 0, 1)))
    for kind in ("overlay", "palette"):
        facts, shown = read(out[kind])
        assert (facts.height, facts.width, facts.rate, len(shown)) == (48, 64, Fraction(30000, 1001), 12)
        for number, picture in enumerate(shown):
            colours = THREE.colour_array()[ids[number]].astype(int)
            expected = colours if kind == "palette" else (colours + film[number]) / 2
            here = (slice(22, 26), slice(40, 56))  # bright in all frames, away from borders and what moves
            assert np.abs(picture[here] - expected[here]).max() < 14
    assert not list(tmp_path.rglob("*.tmp"))


def test_ids_may_be_written_as_the_files_own_values(clip, tmp_path):
    table = ClassTable(("a", "b", "c"), source_values={7: 0, 8: 1, 300: 2})
    predictor = FramePredictor(FakeSegmenter(pixelwise, table))
    predict_video(predictor, clip, places(tmp_path / "out", ("ids",)), source_values=True)
    values = np.asarray(Image.open(tmp_path / "out" / "ids" / "clip" / "000000.png"))
    assert set(np.unique(values)) <= {7, 8, 300} and values[24, 50] == 300 and values[24, 30] == 7


def test_times_and_odd_sizes_are_kept(tmp_path):
    times = [Fraction(t, 1000) for t in (0, 40, 120, 400)]
    clip = write_film(tmp_path / "uneven.mkv", pictures(4, (40, 62)), times=times)
    predict_video(predictor(), clip, {"overlay": tmp_path / "o.mp4"})
    with VideoReader(tmp_path / "o.mp4") as video:
        assert [round(float(frame.time), 3) for frame in video] == [0, 0.04, 0.12, 0.4]


def test_few_frames_are_held_however_long_the_clip(tmp_path, monkeypatch):
    clip = write_film(tmp_path / "long.mp4", pictures(120))
    decoded, ahead, never = [0], [], threading.Event()

    class Counting(VideoReader):
        def __iter__(self):
            for frame in super().__iter__():
                decoded[0] += 1
                yield frame

    def slow(tiles):
        ahead.append(decoded[0] - len(ahead))
        never.wait(0.002)  # room for a reader that would run ahead
        return pixelwise(tiles)

    monkeypatch.setattr(module, "VideoReader", Counting)
    predict_video(predictor(slow), clip, {"overlay": tmp_path / "o.mp4"})
    assert len(ahead) == 120
    assert max(ahead) <= ROOM + 2


@pytest.mark.parametrize("error", [KeyboardInterrupt, DataError("bad")])
def test_what_is_stopped_leaves_nothing_and_keeps_what_was_there(clip, tmp_path, error):
    out = places(tmp_path / "out")
    out["overlay"].parent.mkdir(parents=True)
    out["overlay"].write_bytes(b"earlier")
    with replacing_folder(out["ids"]) as folder:
        (folder / "000000.png").write_bytes(b"earlier")
    count = []

    def stop(tiles):
        count.append(1)
        if len(count) == 6:
            raise error
        return pixelwise(tiles)

    with pytest.raises(type(error) if isinstance(error, Exception) else error):
        predict_video(predictor(stop), clip, out)
    assert out["overlay"].read_bytes() == b"earlier"
    assert [file.read_bytes() for file in out["ids"].iterdir()] == [b"earlier"]
    assert not out["palette"].exists()
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_clip_cut_short_leaves_nothing(tmp_path):
    clip = write_film(tmp_path / "cut.mkv", pictures(80))
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    with pytest.raises(DataError, match=r"cut\.mkv ends at frame"):
        predict_video(predictor(), clip, places(tmp_path / "out"))
    assert not [file for file in (tmp_path / "out").rglob("*") if file.is_file()]


def test_an_output_that_cannot_be_written_is_named(clip, tmp_path, monkeypatch):
    def full(*anything, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(SegfieldError, match=r"ids/clip.*No space left.*free some space"):
        predict_video(predictor(), clip, places(tmp_path / "out"))
    assert not [file for file in (tmp_path / "out").rglob("*") if file.is_file()]


def test_steadiness_is_measured_while_it_runs(clip):
    pytest.importorskip("cv2")
    alone = TemporalConsistency(3, 255, DenseInverseSearch())
    with VideoReader(clip) as video:
        for frame in video:
            alone.update(frame.image, predictor()(frame.image))
    together = TemporalConsistency(3, 255, DenseInverseSearch())
    report = predict_video(predictor(), clip, {}, temporal=together)
    assert report.temporal == alone.result()
    assert report.temporal.pairs == 11 and report.temporal.mean_iou > 0.5
    smooth = predictor(smoother=FlowSmoother(0.5, DenseInverseSearch()))
    report = predict_video(smooth, clip, {}, temporal=TemporalConsistency(3, 255, DenseInverseSearch()))
    assert report.smoothing == 0.5 and report.temporal.pairs == 11


def test_figures_are_those_of_the_clock(clip, monkeypatch):
    """A clock that the network alone moves on: 50 ms a frame, three of them 80, and the first, left out of latencies, 900."""
    now, taken = [100.0], iter([0.9, *[0.05] * 8, *[0.08] * 3])

    def slow(tiles):
        now[0] += next(taken)
        return pixelwise(tiles)

    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    report = predict_video(predictor(slow), clip, {})
    assert report.latency == pytest.approx(0.05) and report.latency_95 == pytest.approx(0.08)
    assert report.seconds == pytest.approx(0.9 + 8 * 0.05 + 3 * 0.08)
    assert report.frames_a_second == pytest.approx(12 / report.seconds)
    assert not report.real_time and not report.network_in_time
    assert "slower than real time" in report.sentences()[0]


def test_what_a_report_says(tmp_path):
    steady = TemporalScores(11, 0.9312, 0.97, 0.5, 0.0042)
    report = ClipReport(100, 360, 640, 25.0, 2.0, 0.0123, 0.0312, None, steady)
    assert report.sentences() == [
        "100 frames of 360×640: 50.0 frames a second end to end, the clip has 25; latency 12.3 ms, 95th percentile 31.2 ms: "
        "real time",
        "temporal consistency 93.1 (mIoU along the motion, 97 % of the pixels); 0.42 % of still pixels change their label "
        "(50 % are still)",
    ]
    slower = ClipReport(100, 360, 640, 25.0, 5.0, 0.0123, 0.0312)
    assert slower.sentences()[0].endswith("the network alone would be in real time")
    assert len(slower.sentences()) == 1
    nan = float("nan")
    assert ClipReport(2, 1, 1, 1.0, 1.0, 0.1, 0.1, None, TemporalScores(1, nan, nan, 1.0, 0.25)).sentences()[1] == (
        "25.00 % of still pixels change their label (100 % are still)"
    )
    write_report(tmp_path / "a" / "clip.json", report)
    kept = json.loads((tmp_path / "a" / "clip.json").read_text())
    assert kept["frames_a_second"] == 50 and kept["real_time"] is True and kept["temporal"]["flicker"] == 0.0042
