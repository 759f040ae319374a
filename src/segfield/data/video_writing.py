"""RGB pictures → an MP4 file, by PyAV: H.264 where the installed FFmpeg has libx264, else MPEG-4 part 2.

PyAV is an extra: `pip install segfield[video]`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from segfield.classes import Array
from segfield.data.video import load_av
from segfield.errors import DataError, SettingError

_FAST = {"libx264": {"preset": "veryfast", "crf": "20"}, "mpeg4": {}}
_COARSEST_MPEG4 = 65535  # ticks a second that MPEG-4 part 2 can count
_BT601 = 6  # FFmpeg's number of the matrix its scaler makes YUV with, written beside the pixels
_LIMITED = 1  # FFmpeg's number of the range 16..235


class VideoWriter:
    """Writes an MP4 of RGB pictures.

    Sides of an odd number of pixels are written one longer, the last line or column twice: the chroma of H.264's common form
    has half the lines and columns.

    Args:
        path: the file, whatever its ending; use it within `segfield.data.files.replacing` to have it whole or not at all.
        size: (H, W) of the pictures.
        rate: frames a second.
        time_base: seconds a tick of the time stamps; one frame by default.
        pixel_aspect: width of a pixel over its height.

    Raises:
        DataError: if PyAV is not installed.
        SettingError: if size or rate is not positive.
        OSError: here or later, if the file cannot be written.
    """

    def __init__(
        self,
        path: str | Path,
        size: tuple[int, int],
        rate: Fraction | int,
        time_base: Fraction | None = None,
        pixel_aspect: Fraction = Fraction(1),
    ) -> None:
        if min(size) < 1 or rate <= 0:
            raise SettingError(f"a video has 1 or more pixels and frames a second; found {size} at {rate}")
        self.size = size
        self._av = load_av(path)
        self._last = -1
        codec = _encoder(self._av)
        rate = Fraction(rate).limit_denominator(1001 if codec == "mpeg4" else 1 << 20)
        self._one_frame, self._next = 1 / rate, Fraction(0)
        self._base = time_base or 1 / rate
        if codec == "mpeg4" and self._base.denominator > _COARSEST_MPEG4:
            self._base = 1 / rate
        with self._os_errors():
            self._container = self._av.open(str(Path(path).absolute()), "w", format="mp4")
            self._stream = self._container.add_stream(codec, rate=rate, options=_FAST[codec])
        self._stream.height, self._stream.width = (side + side % 2 for side in size)
        self._stream.pix_fmt = "yuv420p"
        self._stream.time_base = self._stream.codec_context.time_base = self._base
        self._stream.codec_context.sample_aspect_ratio = pixel_aspect
        self._stream.codec_context.colorspace, self._stream.codec_context.color_range = _BT601, _LIMITED
        if codec == "mpeg4":
            self._stream.codec_context.bit_rate = int(size[0] * size[1] * rate / 4) + 100_000

    def write(self, picture: Array, time: Fraction | None = None) -> None:
        """Add a picture.

        Args:
            picture: (H, W, 3) uint8, red, green, blue.
            time: seconds from the first frame; one frame after the last by default. Times that do not grow are moved on.

        Raises:
            DataError: if the picture is of another size or type.
            OSError: if the disk is full, or the like.
        """
        if picture.shape != (*self.size, 3) or picture.dtype != np.uint8:
            raise DataError(f"the video's pictures are {(*self.size, 3)} uint8; found {picture.shape} {picture.dtype}")
        height, width = self.size
        if height % 2 or width % 2:
            picture = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        seconds = self._next if time is None else time
        self._next = seconds + self._one_frame
        self._last = max(round(seconds / self._base), self._last + 1)
        frame.pts, frame.time_base = self._last, self._base
        self._mux(frame)

    def close(self) -> None:
        """Write what the encoder still holds, and the index."""
        if self._last >= 0:
            self._mux(None)
        with self._os_errors():
            self._container.close()

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
            return
        with contextlib.suppress(Exception):  # the file is thrown away; what stopped us is what counts
            self._container.close()

    def _mux(self, frame: Any) -> None:
        with self._os_errors():
            self._container.mux(self._stream.encode(frame))

    @contextlib.contextmanager
    def _os_errors(self) -> Iterator[None]:
        """FFmpeg's errors as the system's: a full disk is not the encoder's affair."""
        try:
            yield
        except OSError:
            raise
        except self._av.error.FFmpegError as error:
            raise OSError(error.errno, error.strerror) from error


def _encoder(av: Any) -> str:
    """'libx264', or 'mpeg4', which every FFmpeg has."""
    return "libx264" if "libx264" in av.codecs_available else "mpeg4"
