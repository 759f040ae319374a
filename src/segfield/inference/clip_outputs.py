"""What is saved of a video: overlay and palette as MP4, ids as a folder of PNGs; each whole at its place or not there at all."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from segfield.classes import Array, ClassTable
from segfield.data.files import replacing, replacing_folder, unwritable
from segfield.data.video import VideoFacts
from segfield.data.video_writing import VideoWriter
from segfield.drawing import Picture
from segfield.segmentation import Segmentation, png_values

CLIP_KINDS = {"ids": "", "palette": ".mp4", "overlay": ".mp4"}
"""What can be saved of a video, with the ending of its file; ids are a folder of that name."""


class LabelledFrame(NamedTuple):
    """A frame with its prediction.

    Attributes:
        number: from 0.
        image: (C, H, W) uint8.
        labels: (H, W) ids.
        time: seconds from the first frame.
    """

    number: int
    image: Array
    labels: Array
    time: Fraction


Save = Callable[[LabelledFrame], None]


@contextlib.contextmanager
def saving(outputs: Mapping[str, Path], facts: VideoFacts, classes: ClassTable, source: bool = False) -> Iterator[Save]:
    """A function that saves frames, in order, in every form asked for.

    When the context ends well, files and folders appear under their names; if it fails, nothing does.

    Args:
        outputs: kind → its file or folder.
        facts: of the video predicted; its size, rate, time stamps and shape of pixels are kept, its sound is not.
        classes: the colours, and ids to values.
        source: write the values of the data set's own files, in place of ids.

    Raises:
        SegfieldError: if the disk is full, a folder is not writable or the like.
        DataError: if PyAV is not installed.
    """
    with contextlib.ExitStack() as stack:
        savers = {
            file: stack.enter_context(_saver(kind, file, facts, classes, source)) for kind, file in outputs.items()
        }

        def save(frame: LabelledFrame) -> None:
            for file, saver in savers.items():
                try:
                    saver(frame)
                except OSError as error:
                    raise unwritable(file, error) from error

        yield save


@contextlib.contextmanager
def _saver(kind: str, file: Path, facts: VideoFacts, classes: ClassTable, source: bool) -> Iterator[Save]:
    if kind == "ids":
        with replacing_folder(file) as folder:
            yield lambda frame: _save_ids(folder / f"{frame.number:06d}.png", frame.labels, classes, source)
        return
    with (
        replacing(file) as unfinished,
        VideoWriter(unfinished, (facts.height, facts.width), facts.rate, facts.time_base, facts.pixel_aspect) as writer,
    ):
        yield lambda frame: writer.write(_picture(kind, frame, classes), frame.time)


def _picture(kind: str, frame: LabelledFrame, classes: ClassTable) -> Picture:
    """(H, W, 3) uint8."""
    segmentation = Segmentation(frame.labels, classes)
    return segmentation.palette_image() if kind == "palette" else segmentation.overlay(frame.image, boundaries=True)


def _save_ids(file: Path, labels: Array, classes: ClassTable, source: bool) -> None:
    values = png_values(classes.to_source(labels) if source else labels)
    Image.fromarray(values).save(file, compress_level=1)
