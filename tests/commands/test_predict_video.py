"""The verb `predict` on videos, as a user meets it; results are read by PyAV in another process."""

import json
import subprocess
import sys
import threading
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from segfield.commands import predict as verb
from segfield.commands.predict import predict
from segfield.data.scenes import SCENE_CLASSES, draw_sequence
from segfield.data.video import VideoReader
from segfield.errors import DataError, SegfieldError, SettingError
from segfield.inference import video
from tests.commands.test_predict import segmenter_file, write_photo  # noqa: F401 (a fixture)
from tests.data.films import pictures, write_film
from tests.inference.networks import Confident, FakeSegmenter, pixelwise
from tests.told import says

pytest.importorskip("av")

LOOK = """
import sys, json, av, numpy as np
told = []
for name in sys.argv[2:]:
    with av.open(name) as container:
        stream = container.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    np.save(sys.argv[1], np.stack(frames))
    told.append([len(frames), *frames[0].shape[:2], str(stream.average_rate), stream.codec_context.name])
print(json.dumps(told))
"""


def look(file, tmp_path):
    """([frames, height, width, rate, codec], (T, H, W, 3) pixels) of a video, by PyAV alone, in its own process."""
    done = subprocess.run(
        [sys.executable, "-c", LOOK, str(tmp_path / "seen.npy"), str(file)], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)[0], np.load(tmp_path / "seen.npy").astype(int)


def predicted(segmenter, clip, out, **options):
    return predict(segmenter, [str(clip)], str(out), device="cpu", **{"quiet": True, **options})


@pytest.fixture
def clip(tmp_path):
    return write_film(tmp_path / "films" / "clip.mp4", pictures(10), rate=Fraction(30000, 1001))


def test_a_drawn_film_comes_out_with_its_classes_in_colour(tmp_path, monkeypatch):
    """The segmenter knows the exact labels: what the overlay shows is compared with them pixel by pixel."""
    images, labels = draw_sequence((96, 144), 3, 8)
    clip = write_film(tmp_path / "film.mp4", list(images.transpose(0, 2, 3, 1)), rate=17)
    turn = iter(labels)

    class Knowing(FakeSegmenter):
        def __init__(self):
            import torch

            def logits(tiles):
                truth = np.minimum(next(turn), len(SCENE_CLASSES) - 1)
                return torch.eye(len(SCENE_CLASSES))[torch.from_numpy(truth).long()].permute(2, 0, 1)[None]

            super().__init__(logits, SCENE_CLASSES)

    monkeypatch.setattr(verb, "load_segmenter", lambda file, device, engine: Knowing())
    file = tmp_path / "segmenter.safetensors"
    file.write_bytes(b"weights")
    out = tmp_path / "out"
    assert predicted(str(file), clip, out) == [out / "overlay" / "film.mp4"]
    told, shown = look(out / "overlay" / "film.mp4", tmp_path)
    assert told[:4] == [8, 96, 144, "17"] and told[4] in ("h264", "mpeg4")
    colours = SCENE_CLASSES.colour_array()[labels]
    expected = (colours.astype(int) + images.transpose(0, 2, 3, 1)) / 2
    flat = np.ones(labels.shape, bool)
    for axis in (1, 2):
        for step in (-2, -1, 1, 2):
            flat &= np.roll(labels, step, axis) == labels
    assert flat.mean() > 0.5
    assert np.abs(shown - expected)[flat].mean() < 6
    # and not the picture alone: overlay pixels differ where classes are
    assert np.abs(shown - images.transpose(0, 2, 3, 1))[flat].mean() > 20


def test_everything_is_told_and_kept(segmenter_file, clip, tmp_path, capsys):  # noqa: F811
    out = tmp_path / "out"
    files = predicted(segmenter_file, clip, out, save="overlay,ids,palette", quiet=False)
    assert files == [out / "overlay" / "clip.mp4", out / "ids" / "clip", out / "palette" / "clip.mp4"]
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("clip: 10 frames of 48×64: ") and "frames a second" in told[0]
    assert told[1].startswith("clip: temporal consistency ")
    assert told[2].startswith(f"1 video (overlay, ids, palette) is in {out}; what the colours mean")
    assert look(files[0], tmp_path)[0][:4] == look(files[2], tmp_path)[0][:4] == [10, 48, 64, "30000/1001"]
    assert len(list(files[1].iterdir())) == 10
    report = json.loads((out / "video" / "clip.json").read_text())
    assert report["frames"] == 10 and report["temporal"]["pairs"] == 9 and report["smoothing"] is None


def test_images_and_videos_in_one_call(segmenter_file, clip, tmp_path, capsys):  # noqa: F811
    write_photo(clip.parent / "photo.png")
    write_photo(clip.parent / "sub" / "clip.png")
    write_film(clip.parent / "sub" / "clip.avi", pictures(3), codec="mpeg4")
    out = tmp_path / "out"
    files = predicted(segmenter_file, clip.parent, out, quiet=False)
    assert {file.relative_to(out).as_posix() for file in files} == {
        "overlay/clip.mp4", "overlay/sub/clip.avi.mp4",
        "ids/photo.png", "palette/photo.png", "overlay/photo.jpg",
        "ids/sub/clip.png.png", "palette/sub/clip.png.png", "overlay/sub/clip.png.jpg",
    }  # fmt: skip
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("2 segmentations (ids, palette, overlay) and 2 videos (overlay) are in")


def test_a_folder_of_frames_beside_the_video_keeps_its_ids_apart(segmenter_file, clip, tmp_path):  # noqa: F811
    for number in range(2):
        write_photo(clip.with_suffix("") / f"{number:06d}.png")
    out = tmp_path / "out"
    predicted(segmenter_file, clip.parent, out, save="ids")
    assert sorted(file.name for file in (out / "ids" / "clip").iterdir()) == ["000000.png", "000001.png"]
    assert len(list((out / "ids" / "clip.mp4").iterdir())) == 10
    # alone, the video's ids would be called like the frames' folder, and replace it
    with pytest.raises(SettingError, match=r"ids/clip' .*not made of a video"):
        predicted(segmenter_file, clip, out, save="ids")
    assert np.asarray(Image.open(out / "ids" / "clip" / "000001.png")).shape == (20, 20)


def test_a_finished_clip_is_not_repeated_and_other_settings_are_refused(segmenter_file, clip, tmp_path):  # noqa: F811
    out = tmp_path / "out"
    other = write_film(clip.parent / "other.mkv", pictures(3))
    first = predicted(segmenter_file, clip.parent, out, save="overlay,ids")
    stamps = {file: file.stat().st_mtime_ns for file in first}
    (out / "overlay" / "other.mp4").unlink()
    assert predicted(segmenter_file, clip.parent, out, save="overlay,ids") == first
    redone = {file.name for file in first if file.stat().st_mtime_ns != stamps[file]}
    assert redone == {"other.mp4", "other"}
    for change, told in (
        ({"smooth": True}, r"smoothing: none there, 0\.7 now"),
        ({"tile": 64}, r"video tile: none there, 64 now"),
        ({"flips": "all"}, r"flips: none there, all now"),
    ):
        with pytest.raises(SettingError, match=told):
            predicted(segmenter_file, clip.parent, out, **change)
    files = predicted(
        segmenter_file, clip.parent, out, save="overlay", smooth=True, smooth_strength=0.5, overwrite=True
    )
    assert not (out / "ids" / "clip").exists() and len(files) == 2
    assert json.loads((out / "predict.json").read_text())["smoothing"] == 0.5
    assert other.is_file()


def test_results_of_images_may_be_joined_by_a_video_s(segmenter_file, clip, tmp_path):  # noqa: F811
    write_photo(clip.parent / "photo.png")
    clip.rename(tmp_path / "clip.mp4")
    predicted(segmenter_file, clip.parent, tmp_path / "out")
    (tmp_path / "clip.mp4").rename(clip)
    assert len(predicted(segmenter_file, clip.parent, tmp_path / "out")) == 4


def test_what_is_saved_of_images_alone_is_said(segmenter_file, clip, tmp_path, capsys):  # noqa: F811
    told = "polygons and entropy.*images alone.*ids, overlay, palette"
    with pytest.raises(SettingError, match=told):
        predicted(segmenter_file, clip, tmp_path / "out", save="polygons,overlay,entropy")
    write_photo(clip.parent / "photo.png")
    with pytest.raises(SettingError, match=r"probabilities.*images alone"):
        predicted(segmenter_file, clip.parent, tmp_path / "out", save="probabilities")
    assert not (tmp_path / "out").exists()
    files = predicted(segmenter_file, clip.parent, tmp_path / "out", save="polygons,overlay", quiet=False)
    assert len(files) == 3
    assert says("polygons … images alone", capsys.readouterr().err)


def test_a_refiner_works_on_every_frame_unless_off(segmenter_file, clip, tmp_path, monkeypatch):  # noqa: F811
    refiner = Confident(favoured=1)
    monkeypatch.setattr(verb, "load_segmenter", lambda file, device, engine: FakeSegmenter(pixelwise, refiner=refiner))
    predicted(segmenter_file, clip, tmp_path / "a", save="ids")
    assert len(refiner.calls) == 10
    assert np.asarray(Image.open(tmp_path / "a" / "ids" / "clip" / "000003.png"))[20, 50] == 1
    predicted(segmenter_file, clip, tmp_path / "b", save="ids", refine="off")
    assert len(refiner.calls) == 10


def test_bad_clips_are_named_and_the_rest_done(segmenter_file, clip, tmp_path, capsys):  # noqa: F811
    (clip.parent / "text.mp4").write_text("hello")
    cut = write_film(clip.parent / "cut.mkv", pictures(80))
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    with pytest.raises(DataError, match=r"2 of 3 videos.*other 1"):
        predicted(segmenter_file, clip.parent, tmp_path / "out")
    told = capsys.readouterr().err
    assert says("text.mp4 … video", told) and "cut.mkv ends at frame" in told
    assert [file.name for file in (tmp_path / "out" / "overlay").iterdir()] == ["clip.mp4"]


def test_parts_share_videos(segmenter_file, clip, tmp_path):  # noqa: F811
    write_film(clip.parent / "other.mp4", pictures(3))
    out = tmp_path / "out"
    files = [predicted(segmenter_file, clip.parent, out, part=f"{i}/2") for i in (1, 2)]
    assert [[file.name for file in part] for part in files] == [["clip.mp4"], ["other.mp4"]]


def test_smoothing_and_measuring_without_opencv(segmenter_file, clip, tmp_path, monkeypatch, capsys):  # noqa: F811
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(SettingError, match=r"optical flow is OpenCV's.*pip install segfield\[video\]"):
        predicted(segmenter_file, clip, tmp_path / "out", smooth=True)
    assert not (tmp_path / "out").exists()
    predicted(segmenter_file, clip, tmp_path / "out", quiet=False)
    told = capsys.readouterr()
    assert "pixels change their label" in told.out and "temporal consistency" not in told.out
    assert says("without OpenCV … pip install segfield[video]", told.err)


def test_wrong_settings_are_refused_before_anything_is_written(segmenter_file, clip, tmp_path):  # noqa: F811
    for options, told in (
        ({"smooth": True, "smooth_strength": 1.0}, "smoothing strength is 1.0; give 0"),
        ({"save": "overlays"}, "did you mean overlay"),
        ({"tile": 8}, "tile is 8 pixels.*64"),
    ):
        with pytest.raises(SettingError, match=told):
            predicted(segmenter_file, clip, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_ctrl_c_leaves_no_partial_video(segmenter_file, clip, tmp_path, monkeypatch):  # noqa: F811
    count = []

    def stop(tiles):
        count.append(1)
        if len(count) > 14:
            raise KeyboardInterrupt
        return pixelwise(tiles)

    write_film(clip.parent / "second.mp4", pictures(10))
    monkeypatch.setattr(verb, "load_segmenter", lambda file, device, engine: FakeSegmenter(stop))
    out = tmp_path / "out"
    with pytest.raises(SegfieldError, match=r"Ctrl-C.*1 of 2 videos.*goes on"):
        predicted(segmenter_file, clip.parent, out)
    left = [file for file in out.rglob("*") if file.is_file() and file.suffix != ".json"]
    assert [file.name for file in left if file.parent.name != ".segfield"] == ["clip.mp4"]
    monkeypatch.setattr(verb, "load_segmenter", lambda file, device, engine: FakeSegmenter(pixelwise))
    stamp = (out / "overlay" / "clip.mp4").stat().st_mtime_ns
    predicted(segmenter_file, clip.parent, out)
    assert (out / "overlay" / "clip.mp4").stat().st_mtime_ns == stamp
    assert look(out / "overlay" / "second.mp4", tmp_path)[0][0] == 10


def test_help_names_the_network_for_video(capsys):
    from segfield.commands.main import main

    assert main(["predict", "--help"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "--model icnet" in told and "--smooth" in told and "segfield[video]" in told


@pytest.mark.thorough
@pytest.mark.shared
def test_real_frames_of_davis(shared_data, tmp_path, monkeypatch):
    """The dark object of a real film, with compression, camera motion and 480 lines: all frames come through, steadily."""
    pytest.importorskip("cv2")
    frames = sorted((shared_data / "davis2016" / "DAVIS" / "JPEGImages" / "480p" / "car-shadow").glob("*.jpg"))[:4]
    drawn = [np.asarray(Image.open(frame)) for frame in frames]
    clip = write_film(tmp_path / "car.mp4", drawn, rate=24)
    monkeypatch.setattr(verb, "load_segmenter", lambda file, device, engine: FakeSegmenter(pixelwise))
    (tmp_path / "s.safetensors").write_bytes(b"weights")
    scores = {}
    for smooth in (False, True):
        out = tmp_path / f"out{smooth}"
        predicted(str(tmp_path / "s.safetensors"), clip, out, smooth=smooth)
        scores[smooth] = json.loads((out / "video" / "car.json").read_text())["temporal"]
        told, shown = look(out / "overlay" / "car.mp4", tmp_path)
        assert told[:4] == [4, 480, 854, "24"]
        assert np.abs(shown - np.stack(drawn)).mean() > 10
    assert scores[False]["compared"] > 0.7 and scores[False]["mean_iou"] > 0.6
    assert scores[True]["mean_iou"] > scores[False]["mean_iou"]


def test_reading_and_predicting_overlap(segmenter_file, tmp_path, monkeypatch):  # noqa: F811
    """The network waits, in every frame, until the next one has been read: one after the other, it would wait for ever."""
    clip = write_film(tmp_path / "clip.mp4", pictures(12))
    read = [threading.Event() for _ in range(14)]

    class Told(VideoReader):
        def __iter__(self):
            for number, frame in enumerate(super().__iter__()):
                read[number].set()
                yield frame
            read[12].set()

    waited = []

    def patient(tiles):
        waited.append(read[len(waited) + 1].wait(300))
        return pixelwise(tiles)

    monkeypatch.setattr(video, "VideoReader", Told)
    monkeypatch.setattr(verb, "load_segmenter", lambda file, device, engine: FakeSegmenter(patient))
    predicted(segmenter_file, clip, tmp_path / "out")
    assert waited == [True] * 12
