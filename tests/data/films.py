"""Small video files for tests, written and read by PyAV alone, so that what is tested is compared with something else."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import numpy as np


def pictures(count: int = 12, size: tuple[int, int] = (48, 64)) -> list[np.ndarray]:
    """Left half dark, right half bright, a red bar that moves two lines a frame; at the foot a grey that tells the frame."""
    drawn = []
    for number in range(count):
        picture = np.full((*size, 3), 20, np.uint8)
        picture[:, size[1] // 2 :] = 235
        picture[2 * number % (size[0] - 16) :][:4, : size[1] // 4] = (200, 30, 40)
        picture[-8:] = 16 + 12 * (number % 18)
        drawn.append(picture)
    return drawn


def write_film(
    file: Path,
    drawn: list[np.ndarray],
    rate: Fraction | int = 25,
    codec: str = "libx264",
    times: list[Fraction] | None = None,
    options: dict[str, str] | None = None,
    sound: bool = False,
    faststart: bool = False,
) -> Path:
    """Write pictures (H, W, 3) with any codec; with `times`, at those seconds."""
    import av

    file.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(file), "w", options={"movflags": "+faststart"} if faststart else {}) as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width = drawn[0].shape[:2]
        stream.pix_fmt = {"ffv1": "bgr0", "png": "rgb24"}.get(codec, "yuv420p")
        audio = container.add_stream("aac", rate=16000) if sound else None
        for number, picture in enumerate(drawn):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if times is not None:
                stream.codec_context.time_base = frame.time_base = Fraction(1, 1000)
                frame.pts = int(times[number] * 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if audio is not None:
            _add_silence(container, audio)
    return file


def write_sound(file: Path) -> Path:
    """A file of silence alone."""
    import av

    with av.open(str(file), "w") as container:
        _add_silence(container, container.add_stream("aac", rate=16000))
    return file


def _add_silence(container, stream) -> None:
    import av

    frame = av.AudioFrame.from_ndarray(np.zeros((1, 8192), np.float32), format="fltp", layout="mono")
    frame.rate = 16000
    container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def turn(file: Path, quarters: int) -> None:
    """Write into an MP4's track header (ISO/IEC 14496-12, 8.3.2) that it is to be shown turned clockwise by quarters."""
    data = bytearray(file.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 4 + 5 * 4 + 8 + 8  # name, version and flags, times and track, reserved, layer …
    a, b = [(1, 0), (0, 1), (-1, 0), (0, -1)][quarters % 4]
    one = 1 << 16
    data[matrix : matrix + 36] = struct.pack(">9i", a * one, b * one, 0, -b * one, a * one, 0, 0, 0, 1 << 30)
    file.write_bytes(data)
