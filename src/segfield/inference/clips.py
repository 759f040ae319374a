"""One video of a job: from the settings of `predict` to its outputs and its figures in the results folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from segfield.crf.refiner import chosen_refiner
from segfield.data.flow import DenseInverseSearch
from segfield.data.video import VideoFacts
from segfield.errors import SettingError, did_you_mean
from segfield.evaluation.temporal import TemporalConsistency
from segfield.inference.clip_outputs import CLIP_KINDS
from segfield.inference.frames import FramePredictor
from segfield.inference.inputs import Input
from segfield.inference.results import ResultsFolder
from segfield.inference.smoothing import FlowSmoother
from segfield.inference.tiles import TiledSegmenter
from segfield.inference.video import ClipReport, flow_if_installed, predict_video, write_report
from segfield.segmentation import KINDS


@dataclass(frozen=True)
class ClipSettings:
    """How videos are predicted, beside what holds for images as well.

    Attributes:
        tile: pixels a side of a tile; None predicts whole frames.
        smoothing: strength, 0 to below 1; None for none.
        consistency: measure how steady the labels are.
    """

    tile: int | None = None
    smoothing: float | None = None
    consistency: bool = True

    def __post_init__(self) -> None:
        if self.smoothing is not None:
            FlowSmoother(self.smoothing, DenseInverseSearch())  # for their sentences, before any work

    def as_settings(self) -> dict[str, Any]:
        """What results depend on; nothing where all is as by default."""
        named = {"video_tile": self.tile, "smoothing": self.smoothing}
        return {name: value for name, value in named.items() if value is not None}


def checked_clip_kinds(kinds: Sequence[str], images_too: bool) -> tuple[list[str], list[str]]:
    """(what of `kinds` is saved of a video, what is of images alone).

    Raises:
        SettingError: if that leaves nothing for the videos, or some of it where there are no images.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise SettingError(f"'{kind}' cannot be saved; {did_you_mean(kind, KINDS)}")
    kept = [kind for kind in kinds if kind in CLIP_KINDS]
    images_alone = [kind for kind in kinds if kind not in CLIP_KINDS]
    if images_alone and not (kept and images_too):
        raise SettingError(
            f"{' and '.join(images_alone)} {'is' if len(images_alone) == 1 else 'are'} saved of images alone, not of videos; "
            f"give --save with {', '.join(sorted(CLIP_KINDS))}, or save the video's frames as images first"
        )
    return kept, images_alone


def predict_clip(
    segmenter: TiledSegmenter,
    results: ResultsFolder,
    clip: Input,
    options: Mapping[str, Any],
    settings: ClipSettings,
    source_values: bool = False,
    on_frame: Callable[[int, int], None] | None = None,
) -> ClipReport:
    """Predict one video into a results folder.

    Args:
        segmenter: what predicts.
        results: where outputs go, and which.
        clip: the video.
        options: of `predict_image`: overlap, flips, scales, and refine where it is not the segmenter's own.
        settings: of videos alone.
        source_values: ids are written as the data set's own files have them.
        on_frame: called with (frames predicted, frames in all or 0 where the file does not tell).

    Raises:
        DataError: if the file cannot be read to its end as a video, or does not fit the segmenter.
        SegfieldError: if an output cannot be written.
    """
    strength = settings.smoothing
    predictor = FramePredictor(
        segmenter, tile=settings.tile, overlap=options["overlap"], flips=options["flips"], scales=options["scales"],
        refiner=chosen_refiner(options.get("refine", "auto"), segmenter.refiner, segmenter.values),
        smoother=FlowSmoother(strength, DenseInverseSearch()) if strength is not None else None,
    )  # fmt: skip
    temporal = None
    if settings.consistency:
        classes = segmenter.classes
        temporal = TemporalConsistency(len(classes), classes.ignored_id, flow_if_installed())

    def told(finished: int, facts: VideoFacts) -> None:
        if on_frame is not None:
            on_frame(finished, facts.frames)

    report = predict_video(
        predictor, clip.file, results.clip_outputs(clip), source_values=source_values, temporal=temporal,
        name=clip.name, on_frame=told,
    )  # fmt: skip
    write_report(results.clip_report(clip), report)
    return report
