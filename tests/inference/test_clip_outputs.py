"""What is saved of a video: exact ids, pictures with the frames' times, and nothing at all where saving fails."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segfield.classes import ClassTable
from segfield.data.video import VideoFacts, VideoReader
from segfield.errors import SegfieldError
from segfield.inference.clip_outputs import CLIP_KINDS, LabelledFrame, saving
from segfield.segmentation import Segmentation

pytest.importorskip("av")

CLASSES = ClassTable(
    ("ground", "sky", "car"), ((10, 20, 30), (200, 100, 0), (0, 90, 250)), source_values={7: 0, 8: 1, 40: 2}
)
FACTS = VideoFacts(32, 48, Fraction(25), Fraction(1, 100), 3, Fraction(3, 25), Fraction(1))
TIMES = (Fraction(0), Fraction(4, 100), Fraction(16, 100))


def frames() -> list[LabelledFrame]:
    """Three grey frames; a block of sky moves to the right over the ground."""
    made = []
    for number, time in enumerate(TIMES):
        labels = np.zeros((32, 48), np.uint8)
        labels[8:24, 8 * number : 8 * number + 16] = 1
        made.append(LabelledFrame(number, np.full((3, 32, 48), 128, np.uint8), labels, time))
    return made


def places(folder: Path) -> dict[str, Path]:
    return {kind: folder / (kind + ending) for kind, ending in CLIP_KINDS.items()}


@pytest.mark.parametrize(("source", "values"), [(False, (0, 1)), (True, (7, 8))])
def test_ids_are_exact(tmp_path: Path, source: bool, values: tuple[int, int]) -> None:
    with saving({"ids": tmp_path / "ids"}, FACTS, CLASSES, source) as save:
        for frame in frames():
            save(frame)
    files = sorted((tmp_path / "ids").iterdir())
    assert [file.name for file in files] == ["000000.png", "000001.png", "000002.png"]
    for file, frame in zip(files, frames()):
        np.testing.assert_array_equal(np.asarray(Image.open(file)), np.array(values, np.uint8)[frame.labels])


@pytest.mark.parametrize("kind", ["palette", "overlay"])
def test_videos_show_the_pictures_at_the_frames_times(tmp_path: Path, kind: str) -> None:
    file = places(tmp_path)[kind]
    with saving({kind: file}, FACTS, CLASSES) as save:
        for frame in frames():
            save(frame)
    with VideoReader(file) as video:
        read = list(video)
    assert [frame.time for frame in read] == list(TIMES)
    for seen, frame in zip(read, frames()):
        segmentation = Segmentation(frame.labels, CLASSES)
        drawn = (
            segmentation.palette_image() if kind == "palette" else segmentation.overlay(frame.image, boundaries=True)
        )
        assert (
            abs(seen.image.transpose(1, 2, 0).astype(int) - drawn).mean() < 8
        )  # compressed, colours at half resolution


def test_an_error_leaves_nothing_of_any_kind(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="the network broke"), saving(places(tmp_path), FACTS, CLASSES) as save:
        save(frames()[0])
        raise RuntimeError("the network broke")
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with (
        pytest.raises(SegfieldError, match="taken"),
        saving({"ids": tmp_path / "taken" / "ids"}, FACTS, CLASSES) as save,
    ):
        save(frames()[0])
    assert (tmp_path / "taken").read_text() == "a file"
