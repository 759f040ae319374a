"""Prediction of many images and videos into a folder: resumes, reports bad ones and goes on, states memory and time."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from segfield.classes import Array
from segfield.crf.refiner import Refiner, chosen_refiner, works_on
from segfield.data.images import fit_bands, read_image
from segfield.data.value_matching import RangeWarning
from segfield.data.video import is_video
from segfield.errors import DataError, SegfieldError
from segfield.inference.clips import ClipSettings, predict_clip
from segfield.inference.image import plan_for, predict_image
from segfield.inference.inputs import Input
from segfield.inference.memory import NetworkBytes, available_bytes, in_words, peak_bytes, refinement_bytes
from segfield.inference.range_notes import counted_range_notes
from segfield.inference.results import ResultsFolder
from segfield.inference.tiles import TiledSegmenter

_TOLD_AGAIN = 1.2  # the memory statement is repeated when an image needs that much more


@dataclass
class BatchPrediction:
    """One segmenter, one folder of results, one way to predict.

    Attributes:
        segmenter: what predicts.
        results: where outputs go, and which.
        options: of `predict_image`: tile, overlap, flips, scales, and refine where it is not the segmenter's own.
        source_values: ids are written as the data set's own files have them.
        quiet: no progress, no statements.
        clips: how videos are predicted.
    """

    segmenter: TiledSegmenter
    results: ResultsFolder
    options: dict[str, Any]
    source_values: bool = False
    quiet: bool = False
    clips: ClipSettings = field(default_factory=ClipSettings)
    failed: list[tuple[Input, str]] = field(default_factory=list, init=False)
    _told: float = field(default=0.0, init=False)
    _network: NetworkBytes | None = field(default=None, init=False)

    def run(self, images: Sequence[Input]) -> list[Path]:
        """Predict every image and video that is not complete yet; returns all output files of those that now are.

        A bad one is reported in a sentence and the rest go on; `failed` has them.

        Raises:
            SegfieldError: if it cannot go on (disk full, out of memory, stopped by Ctrl-C); finished images stay.
        """
        waiting = [image for image in images if not self.results.is_complete(image)]
        console = Console(stderr=True, quiet=self.quiet, highlight=False)
        if len(waiting) < len(images):
            console.print(
                f"{len(images) - len(waiting)} of {len(images)} {noun(images)} are complete already", markup=False
            )
        done = 0
        try:
            with (
                counted_range_notes(partial(console.print, markup=False, soft_wrap=True)),
                self.results.writing(),
                _progress(console) as progress,
            ):
                task = progress.add_task("predicting", total=len(images), completed=len(images) - len(waiting))
                for image in waiting:
                    try:
                        with _warnings_shown(console):
                            self._one(image, console, progress, task)
                        done += 1
                    except DataError as error:
                        self.failed.append((image, str(error)))
                        Console(stderr=True, highlight=False, soft_wrap=True).print(_naming(image, error), markup=False)
                    progress.update(task, completed=len(images) - len(waiting) + done + len(self.failed))
        except KeyboardInterrupt:
            raise SegfieldError(f"stopped by Ctrl-C; {self._how_to_go_on(images)}") from None
        except SegfieldError as error:
            raise type(error)(f"{error}; {self._how_to_go_on(images)}") from error
        bad = {image for image, _ in self.failed}
        return [file for image in images if image not in bad for file in self.results.outputs(image)]

    def _one(self, image: Input, console: Console, progress: Progress, task: TaskID) -> None:
        if is_video(image.file):
            self._clip(image, progress)
        else:
            self._image(image, console, progress, task)

    def _clip(self, clip: Input, progress: Progress) -> None:
        task = progress.add_task(clip.file.name, total=None)

        def on_frame(finished: int, frames: int) -> None:
            progress.update(task, completed=finished, total=max(frames, finished) if frames else None)

        try:
            report = predict_clip(
                self.segmenter, self.results, clip, self.options, self.clips, self.source_values, on_frame
            )
        finally:
            progress.remove_task(task)
        if not self.quiet:
            for sentence in report.sentences():
                print(f"{clip.name}: {sentence}")

    def _image(self, image: Input, console: Console, progress: Progress, task: TaskID) -> None:
        pixels = read_image(image.file)
        own = self.segmenter.in_own_units(pixels, str(image.file))
        fit_bands(own, self.segmenter.bands, str(image.file))  # what does not fit is told with the file's name
        self._tell_memory(image, own, console)
        before = progress.tasks[task].completed

        def on_lines(finished: int, lines: int) -> None:
            progress.update(task, completed=before + finished / lines)

        segmentation = predict_image(
            self.segmenter, own, name=image.name, on_lines=on_lines,
            keep_probabilities="probabilities" in self.results.kinds, keep_entropy="entropy" in self.results.kinds,
            **self.options,
        )  # fmt: skip
        segmentation.save(self.results.folder, self.results.kinds, image=pixels, source=self.source_values)

    def _tell_memory(self, image: Input, pixels: Array, console: Console) -> None:
        """Say what memory the image will take, before it is taken."""
        if self.quiet:
            return
        device = self.segmenter.device
        if self._network is None:
            self._network = self.segmenter.network_bytes()
        options = self.options
        height, width = pixels.shape[1:]
        plan = plan_for(self.segmenter, height, width, options["tile"], options["overlap"], options["scales"])
        refiner, classes = self._refiner(), len(self.segmenter.classes)
        peak = peak_bytes(
            plan, classes, self._network, bands=self.segmenter.bands,
            keep_probabilities="probabilities" in self.results.kinds, keep_entropy="entropy" in self.results.kinds,
            refining=refinement_bytes(refiner, pixels, classes, device),
            saving=self.results.kinds, scales=options["scales"],
        )  # fmt: skip
        if peak.total <= self._told * _TOLD_AGAIN:
            return
        self._told = peak.total
        refining = " and its refinement" if peak.refining else ""
        tiles = f"{len(plan)} tiles of up to {plan.tile_height}×{plan.tile_width}" if len(plan) > 1 else "whole"
        free = available_bytes(device)
        need = peak.total if device.type == "cpu" else peak.on_device
        if refiner is not None and works_on(refiner, device):  # the probabilities lie there, too
            need = max(need, 2 * classes * height * width + peak.refining)
        mend = "--refine off" if peak.refining > peak.on_device else "a smaller --tile"
        tight = f"; only {in_words(free)} are free: if it fails, give {mend}" if free and need > free else ""
        console.print(
            f"memory beside the image itself: about {in_words(need)} on {device} for '{image.name}' "
            f"({plan.height}×{plan.width}, {tiles}){refining}{tight}",
            markup=False,
            soft_wrap=True,
        )

    def _refiner(self) -> Refiner | None:
        return chosen_refiner(self.options.get("refine", "auto"), self.segmenter.refiner, self.segmenter.values)

    def _how_to_go_on(self, images: Sequence[Input]) -> str:
        complete = sum(self.results.is_complete(image) for image in images)
        return (
            f"{complete} of {len(images)} {noun(images)} are complete in '{self.results.folder}', "
            "and the same command goes on from there"
        )


def noun(inputs: Sequence[Input]) -> str:
    """What inputs are called together: images, videos, or files where there are both."""
    videos = sum(is_video(each.file) for each in inputs)
    return "images" if not videos else "videos" if videos == len(inputs) else "files"


def _naming(image: Input, error: DataError) -> str:
    """The sentence about a bad image; its file is named once."""
    told = str(error)
    return told if image.file.name in told else f"{image.file}: {told}"


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left:"),
        TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal,
    )  # fmt: skip


@contextlib.contextmanager
def _warnings_shown(console: Console) -> Iterator[None]:
    """Warnings about an image ('the first of 3 frames is read') as plain lines, not with a line of our source."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield
    for warning in caught:
        if issubclass(warning.category, UserWarning):
            if issubclass(warning.category, RangeWarning):
                warnings.warn(warning.message, stacklevel=2)  # counted over all images
            else:
                console.print(f"note: {warning.message}", markup=False, soft_wrap=True)
