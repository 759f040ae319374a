"""A video file → its frames, one at a time, upright and with their times: any codec that FFmpeg reads, by PyAV.

PyAV is an extra: `pip install segfield[video]`. How videos are written: `segfield.data.video_writing`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np

from segfield.classes import Array
from segfield.data.files import unreadable
from segfield.errors import DataError

VIDEO_SUFFIXES = frozenset(
    {
        ".3gp",
        ".avi",
        ".flv",
        ".m2ts",
        ".m4v",
        ".mkv",
        ".mov",
        ".mp4",
        ".mpeg",
        ".mpg",
        ".mts",
        ".ogv",
        ".ts",
        ".webm",
        ".wmv",
    }
)
_MOST_PIXELS = 1 << 27  # of a frame; a header that says more is taken for a damaged one
_COPY = "copy it again from where it came, or remove it"


def is_video(file: str | Path) -> bool:
    """Whether a file's name ends like a video's."""
    return Path(file).suffix.lower() in VIDEO_SUFFIXES


def load_av(file: str | Path) -> Any:
    """The module PyAV. Raises DataError, naming the video it is wanted for, where it is not installed."""
    try:
        import av
        import av.error
    except ImportError as error:
        raise DataError(
            f"{file} is a video, and PyAV, which reads and writes those, cannot be loaded ({error}); "
            "pip install segfield[video], or give images alone"
        ) from error
    return av


class Frame(NamedTuple):
    """One picture of a video.

    Attributes:
        image: (C, H, W) uint8, C = 3: red, green, blue; upright. A view of (H, W, 3) memory.
        time: seconds from the first frame.
    """

    image: Array
    time: Fraction


@dataclass(frozen=True)
class VideoFacts:
    """What is known of a video before it is read.

    Attributes:
        height, width: pixels of the upright frames.
        rate: frames a second, on average.
        time_base: seconds of one tick that its time stamps count.
        frames: as its header says, or its length tells; 0 where neither does.
        seconds: as its header says; 0 where it does not.
        pixel_aspect: width of a pixel over its height, as it is to be shown.
    """

    height: int
    width: int
    rate: Fraction
    time_base: Fraction
    frames: int
    seconds: Fraction
    pixel_aspect: Fraction


class VideoReader:
    """The frames of a video file in order, one at a time; sound and further streams are passed over.

    Args:
        path: the file. The first frame is decoded at once: it tells whether the file is usable, and its rotation.

    Raises:
        DataError: if the file is missing, empty, no video, sound alone or cut short, here or while iterating; or if PyAV is
            not installed.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._av = load_av(self.path)
        self._container = self._open()
        try:
            self._stream = self._picture_stream()
            self._refuse_huge()
            self._stream.thread_type = "AUTO"
            self._decoded = self._decode()
            first = next(self._decoded, None)
            if first is None:
                raise DataError(f"{self.path} holds no frame that can be decoded; {_COPY}")
            self._first = first
            self.facts = self._facts(first)
        except BaseException:
            self._container.close()
            raise

    def __iter__(self) -> Iterator[Frame]:
        """Frames with their times. May be gone through once."""
        shape, start, last = (self.facts.height, self.facts.width), _seconds(self._first), Fraction(-1)
        count = 0
        for frame in self._frames():
            image = _upright(frame)
            if image.shape[1:] != shape:
                raise DataError(
                    f"{self.path} changes its size from {shape[0]}×{shape[1]} to {image.shape[1]}×{image.shape[2]} at "
                    f"frame {count}; convert it to one size first: ffmpeg -i {self.path.name} mended.mp4"
                )
            stamp = _seconds(frame)
            time = count / self.facts.rate if stamp is None or start is None else stamp - start
            last = time if time > last else last + self.facts.time_base  # stamps of damaged headers may stand still
            yield Frame(image, last)
            count += 1
        self._refuse_short(count, last + getattr(frame, "duration", 0) * self.facts.time_base)

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self) -> Any:
        if self.path.is_dir():
            raise unreadable(self.path, IsADirectoryError(), "video")
        if not self.path.exists():
            raise unreadable(self.path, FileNotFoundError(), "video")
        if self.path.is_file() and self.path.stat().st_size == 0:
            raise unreadable(self.path, EOFError(), "video")
        try:
            # no protocol but file: a playlist that calls itself a video must not make us fetch anything
            return self._av.open(str(self.path.absolute()), options={"protocol_whitelist": "file"})
        except PermissionError as error:
            raise unreadable(self.path, error, "video") from error
        except (self._av.error.FFmpegError, ValueError) as error:
            raise DataError(
                f"{self.path} cannot be read as a video ({_reason(error)}): it is cut short or something else; {_COPY}"
            ) from error

    def _picture_stream(self) -> Any:
        attached = getattr(getattr(self._av.stream, "Disposition", None), "attached_pic", 0)
        for stream in self._container.streams.video:
            if not int(stream.disposition) & int(attached):  # the cover of a piece of music is no video
                return stream
        if self._container.streams.audio:
            raise DataError(f"{self.path} holds sound but no pictures; give the video itself")
        raise DataError(f"{self.path} holds no pictures: it is cut short or something else; {_COPY}")

    def _refuse_huge(self) -> None:
        height, width = self._stream.codec_context.height, self._stream.codec_context.width
        if height * width > _MOST_PIXELS:
            raise DataError(f"{self.path} says its frames are {height}×{width} pixels, which no video is; {_COPY}")

    def _decode(self) -> Iterator[Any]:
        count = 0
        try:
            for frame in self._container.decode(self._stream):
                yield frame
                count += 1
        except (self._av.error.FFmpegError, ValueError) as error:
            raise DataError(
                f"{self.path} is damaged or cut short at frame {count} ({_reason(error)}); copy it again from where it "
                f"came, or keep what is whole: ffmpeg -i {self.path.name} mended.mp4"
            ) from error

    def _frames(self) -> Iterator[Any]:
        yield self._first
        yield from self._decoded

    def _facts(self, first: Any) -> VideoFacts:
        stream = self._stream
        base = _fraction(stream.time_base) or Fraction(1, 1000)
        rate = _fraction(stream.average_rate) or _fraction(stream.guessed_rate) or Fraction(25)
        _, height, width = _upright(first).shape
        seconds = self._seconds_in_header(base)
        frames = int(stream.frames or round(seconds * rate))
        return VideoFacts(height, width, rate, base, frames, seconds, _aspect(first, stream))

    def _seconds_in_header(self, base: Fraction) -> Fraction:
        """The length the file claims; the container's counts only where it is not that of sound beside the pictures."""
        if self._stream.duration:
            return Fraction(self._stream.duration) * base
        alone = len(self._container.streams) == 1 and self._container.duration
        return Fraction(self._container.duration, self._av.time_base) if alone else Fraction(0)

    def _refuse_short(self, count: int, end: Fraction) -> None:
        """Some formats end without a word where the file does. Three frames, or a twentieth, may be a header's rounding."""
        facts = self.facts
        short = facts.seconds - end > max(3 / facts.rate, facts.seconds / 20)
        if "mp4" not in self._container.format.name:  # whose count includes frames that an edit list cuts away
            short = short or (self._stream.frames or 0) - count > max(3, facts.frames / 20)
        if short:
            raise DataError(
                f"{self.path} ends at frame {count} ({float(end):.1f} s) where its header promises {facts.frames}: it was cut "
                f"short; copy it again, or keep what is whole: ffmpeg -i {self.path.name} mended.mp4"
            )


def _upright(frame: Any) -> Array:
    """(3, H, W) uint8 of a decoded frame, turned as its display matrix says (counter-clockwise degrees)."""
    picture: Array = np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90) % 4)
    return np.ascontiguousarray(picture).transpose(2, 0, 1)  # (H, W, 3) → (3, H, W)


def _aspect(frame: Any, stream: Any) -> Fraction:
    aspect = _fraction(stream.sample_aspect_ratio) or Fraction(1)
    return 1 / aspect if round(frame.rotation / 90) % 2 else aspect


def _seconds(frame: Any) -> Fraction | None:
    if frame.pts is None or not frame.time_base:
        return None
    return int(frame.pts) * Fraction(int(frame.time_base.numerator), int(frame.time_base.denominator))


def _fraction(number: Any) -> Fraction | None:
    """A rational of PyAV's (of either type it has had) as Fraction; None where it is unset, 0 or below."""
    if number is None or not number.numerator or not number.denominator:
        return None
    found = Fraction(int(number.numerator), int(number.denominator))
    return found if found > 0 else None


def _reason(error: Exception) -> str:
    text = str(getattr(error, "strerror", None) or error)
    return " ".join(text.split())[:120].rstrip(".")
