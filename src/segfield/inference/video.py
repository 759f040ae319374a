"""A video in, its labels as video out: reading, network, measuring and writing at the same time, a few frames apart.

Memory does not grow with the length: a few frames wait between neighbouring stages, and a fast one waits for a slow one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from segfield.classes import Array
from segfield.data.files import write_text
from segfield.data.flow import DenseInverseSearch, Flow
from segfield.data.video import VideoFacts, VideoReader
from segfield.errors import SettingError
from segfield.evaluation.temporal import TemporalConsistency, TemporalScores
from segfield.inference.clip_outputs import LabelledFrame, saving
from segfield.inference.frames import FramePredictor
from segfield.inference.stages import Stages

ROOM = 4
"""Frames that may wait between two stages."""


@dataclass(frozen=True)
class ClipReport:
    """How the prediction of a video went.

    Attributes:
        frames: predicted.
        height, width: of a frame, in pixels.
        rate: frames a second of the video.
        seconds: from opening the file to the last byte written; loading the segmenter is not in it.
        latency: median seconds of a frame, pixels in memory to labels in memory (`FramePredictor`); the first is left out.
        latency_95: the 95th percentile of the same.
        smoothing: strength of the smoothing; None for none.
        temporal: how steady the labels are; None where that was not asked for.
    """

    frames: int
    height: int
    width: int
    rate: float
    seconds: float
    latency: float
    latency_95: float
    smoothing: float | None = None
    temporal: TemporalScores | None = None

    @property
    def frames_a_second(self) -> float:
        """End to end: reading, predicting, measuring, writing."""
        return self.frames / self.seconds

    @property
    def real_time(self) -> bool:
        """Whether all of it keeps up with the video as it plays."""
        return self.frames_a_second >= self.rate

    @property
    def network_in_time(self) -> bool:
        """Whether the labels alone, without reading, measuring and writing, would keep up, 19 frames in 20."""
        return self.latency_95 <= 1 / self.rate

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        temporal = None if self.temporal is None else self.temporal.as_dict()
        verdicts = {"frames_a_second": self.frames_a_second, "real_time": self.real_time}
        return {**asdict(self), "temporal": temporal, **verdicts, "network_in_time": self.network_in_time}

    def sentences(self) -> list[str]:
        """For a person."""
        if self.real_time:
            verdict = "real time"
        elif self.network_in_time:
            verdict = "the network alone would be in real time"
        else:
            verdict = "slower than real time"
        told = [
            f"{self.frames} {'frame' if self.frames == 1 else 'frames'} of {self.height}×{self.width}: "
            f"{self.frames_a_second:.1f} frames a second end to end, the clip has {self.rate:.4g}; "
            f"latency {1000 * self.latency:.1f} ms, 95th percentile {1000 * self.latency_95:.1f} ms: {verdict}"
        ]
        if self.temporal is not None and self.temporal.pairs:
            told.append(_steadiness(self.temporal))
        return told


def predict_video(
    predictor: FramePredictor,
    clip: str | Path,
    outputs: Mapping[str, Path],
    *,
    source_values: bool = False,
    temporal: TemporalConsistency | None = None,
    name: str = "",
    on_frame: Callable[[int, VideoFacts], None] | None = None,
) -> ClipReport:
    """Predict every frame of a video and save what is asked for.

    Args:
        predictor: of frames; made for this clip alone, since it may smooth from frame to frame.
        clip: the video file.
        outputs: kind ('overlay', 'palette': an MP4; 'ids': a folder of PNGs) → where it goes.
        source_values: ids are written as the values of the data set's own files.
        temporal: takes the frames in, to measure how steady the labels are.
        name: of the clip in messages.
        on_frame: called with the number of frames predicted so far.

    Raises:
        DataError: if the file cannot be read to its end as a video, or its bands do not fit the segmenter.
        SegfieldError: if an output cannot be written, or a frame does not fit into memory. Nothing of the clip is left then.
    """
    began = time.perf_counter()
    name = name or Path(clip).name
    classes = predictor.segmenter.classes
    frames = 0
    with (
        VideoReader(clip) as video,
        saving(outputs, video.facts, classes, source_values) as save,
        Stages(ROOM) as stages,
    ):
        write = stages.sink(save)
        measure = stages.sink(_measuring(temporal)) if temporal is not None else None
        for frame in stages.source(video):
            labels = predictor(frame.image, name)
            write(LabelledFrame(frames, frame.image, labels, frame.time))
            if measure is not None:
                backward = predictor.smoother.backward if predictor.smoother is not None else None
                measure(_Seen(frame.image, labels, backward))
            frames += 1
            if on_frame is not None:
                on_frame(frames, video.facts)
    seconds = np.asarray(predictor.latencies[1:] or predictor.latencies)
    return ClipReport(
        frames, video.facts.height, video.facts.width, float(video.facts.rate), time.perf_counter() - began,
        float(np.median(seconds)), float(np.percentile(seconds, 95)),
        predictor.smoother.strength if predictor.smoother is not None else None,
        temporal.result() if temporal is not None else None,
    )  # fmt: skip


def flow_if_installed() -> DenseInverseSearch | None:
    """What estimates optical flow; None without OpenCV."""
    try:
        return DenseInverseSearch()
    except SettingError:
        return None


def write_report(file: Path, report: ClipReport) -> None:
    """Keep the figures as JSON."""
    write_text(file, json.dumps(report.as_dict(), indent=2) + "\n")


class _Seen(NamedTuple):
    image: Array
    labels: Array
    backward: Flow | None


def _measuring(temporal: TemporalConsistency) -> Callable[[_Seen], None]:
    return lambda seen: temporal.update(seen.image, seen.labels, seen.backward)


def _steadiness(scores: TemporalScores) -> str:
    told = []
    if scores.mean_iou == scores.mean_iou:  # not NaN
        told.append(
            f"temporal consistency {100 * scores.mean_iou:.1f} (mIoU along the motion, {100 * scores.compared:.0f} % of the "
            "pixels)"
        )
    if scores.flicker == scores.flicker:
        told.append(
            f"{100 * scores.flicker:.2f} % of still pixels change their label ({100 * scores.still:.0f} % are still)"
        )
    return "; ".join(told) or "nothing to say about steadiness: the flow is nowhere to be trusted and no pixel is still"
