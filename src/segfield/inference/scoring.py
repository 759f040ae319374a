"""A segmenter over a labelled data set: every measure of the evaluation, and the gallery of the worst images."""

from __future__ import annotations

import contextlib
import platform
import warnings
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from segfield.classes import Array
from segfield.crf.refiner import Refine, chosen_refiner
from segfield.data.dataset import Dataset
from segfield.data.value_matching import RangeWarning
from segfield.errors import DataError
from segfield.evaluation.evaluator import Evaluation, Evaluator
from segfield.inference.image import kept_for, predict_image
from segfield.inference.refining import refine_segmentation
from segfield.inference.tiles import TiledSegmenter
from segfield.inference.views import Flips

Gallery = list[tuple[str, Array, Array, Array]]


def evaluate_segmenter(
    segmenter: TiledSegmenter,
    dataset: Dataset,
    *,
    flips: Flips = "none",
    scales: tuple[float, ...] = (1.0,),
    tile: int | None = None,
    refine: Refine = "auto",
    unrefined: Evaluator | None = None,
    boundaries: bool = True,
    calibration: bool = True,
    worst: int = 8,
    console: Console | None = None,
) -> tuple[Evaluation, Gallery]:
    """Predict every labelled sample, whole, and measure.

    Args:
        segmenter: what predicts.
        dataset: samples with labels; those without are passed over.
        flips, scales, tile, refine: of prediction.
        unrefined: counts what the classifier alone says, where there is a refiner; no probabilities are given to it.
        boundaries, calibration: measure these as well.
        worst: how many images with the lowest mIoU the gallery gets.
        console: where progress is shown.

    Returns:
        The evaluation, and (name, image (C, H, W), labels (H, W), predicted (H, W)) of the worst images, worst first.

    Raises:
        DataError: if the classes differ, or no sample has labels.
    """
    check_same_classes(segmenter, dataset)
    evaluator = Evaluator(segmenter.classes, boundaries=boundaries, calibration=calibration)
    refiner = chosen_refiner(refine, segmenter.refiner, segmenter.values)
    position: dict[str, int] = {}
    labelled = False
    for index in _with_progress(len(dataset), console):
        sample = dataset[index]
        if sample.labels is None:
            continue
        image = segmenter.in_own_units(sample.image, sample.name)
        found = predict_image(
            segmenter,
            image,
            tile=tile,
            flips=flips,
            scales=scales,
            keep_probabilities=calibration if refiner is None else kept_for(refiner, segmenter),
            refine="off",
            name=sample.name,
        )
        if refiner is not None:
            if unrefined is not None:
                unrefined.update(sample.name, sample.labels, found.labels)
            found = refine_segmentation(found, image, refiner, keep_probabilities=calibration)
        labelled = labelled or bool((sample.labels != segmenter.classes.ignored_id).any())
        evaluator.update(sample.name, sample.labels, found.labels, found.probabilities)
        position[sample.name] = index
    if not labelled:
        what = "has a pixel that is not ignored" if position else "has labels"
        raise DataError(
            f"no sample of split '{dataset.split_name}' {what}, so nothing can be scored; give another --split"
        )
    evaluation = evaluator.result()
    gallery: Gallery = []
    for name in evaluation.worst(worst):
        sample = dataset[position[name]]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RangeWarning)  # said above
            image = segmenter.in_own_units(sample.image, sample.name)
        predicted = predict_image(segmenter, image, tile=tile, flips=flips, scales=scales, refine=refiner).labels
        if sample.labels is not None:
            gallery.append((name, sample.image, sample.labels, predicted))
    return evaluation, gallery


def check_same_classes(segmenter: TiledSegmenter, dataset: Dataset) -> None:
    """Raises DataError where the data set's classes are not the segmenter's, saying which differ."""
    ours, theirs = segmenter.classes.names, dataset.classes.names
    if len(ours) != len(theirs):
        raise DataError(
            f"the segmenter knows {len(ours)} classes ({_some(ours)}) and the data set has {len(theirs)} "
            f"({_some(theirs)}); give the data set's table with --classes, or the segmenter trained on this data"
        )
    unlike = [f"{i}: {a} / {b}" for i, (a, b) in enumerate(zip(ours, theirs)) if a != b]
    if unlike:
        raise DataError(
            f"segmenter and data set name their classes differently ({_some(unlike)}); if they are the same, "
            "give the segmenter's names with --classes"
        )


def report_facts(seed: int | None, data_hash: str | None, data: str, split: str) -> dict[str, Any]:
    """What makes a result repeatable: versions, seed, data and its hash."""
    import numpy
    import torch

    import segfield

    return {
        "data": data,
        "split": split,
        "data hash (SHA-256 of the training pixels)": data_hash,
        "seed": seed,
        "segfield": segfield.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "processor": platform.processor() or platform.machine(),
    }


def _with_progress(count: int, console: Console | None) -> Any:
    bar: Any = contextlib.nullcontext()
    if console is None or not console.is_terminal:
        return range(count)
    bar = Progress(
        TextColumn("[bold]evaluate"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
    )

    def walk() -> Any:
        with bar:
            yield from bar.track(range(count), total=count)

    return walk()


def _some(names: Any, count: int = 4) -> str:
    return ", ".join(names[:count]) + (", …" if len(names) > count else "")
