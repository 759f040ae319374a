"""Trials: what each setting scores on each image. A lattice is built once an image and bandwidth pair, for all weights."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import numpy as np
from rich.console import Console

from segfield.classes import Array, ClassTable
from segfield.crf.arrays import as_array
from segfield.crf.dense_crf import DenseCRF, PreparedCRF
from segfield.crf.refiner import works_on
from segfield.crf.threads import usable_threads
from segfield.crf.tuning.grid import OFF, Point
from segfield.crf.tuning.progress import stage
from segfield.crf.unary import check_probabilities, unary_from_probabilities
from segfield.errors import DataError
from segfield.evaluation.confusion import confusion_matrix
from segfield.evaluation.scores import mean_iou_from_tally, tally

TuningSample = tuple[Array, Array, Array]
"""Image (C, H, W), probabilities (K, H, W), labels (H, W) with the ignored id where nothing is known."""

Result = TypeVar("Result")


class Prepared(Protocol):
    """Kernels of one image at fixed bandwidths, as `DenseCRF.prepare` gives them."""

    def run(self, unary: Array, *, bilateral_weight: Any, gaussian_weight: Any) -> Any:
        """(K, H, W) unary → (K, H, W) probabilities, array or tensor; what is not named is as in the CRF that was prepared."""
        ...


Prepare = Callable[[Array, DenseCRF], Prepared]
"""Image (C, H, W) and a CRF, of which the bandwidths count → what runs at any weights."""


class Store(Protocol):
    """Keeps an image's tallies from one start to the next."""

    def read(self, name: str) -> dict[Point, Array]:
        """Point → (3, K); empty where nothing is kept."""
        ...

    def write(self, name: str, tallies: dict[Point, Array]) -> None:
        """Replace what is kept of the image."""
        ...


class Trials:
    """Scores of settings on images; a setting is tried once, however often it is asked for.

    Args:
        samples: (image, probabilities, labels); read one by one, again at each call of `run`.
        names: of the samples, for messages and the store.
        classes: the class table.
        base: what all settings share: the Gaussian kernel's bandwidth, iterations, normalisation, accuracy.
        prepare: builds an image's kernels; `DenseCRF.prepare` in use.
        threads: images at once; 0 takes one a core.
        console: where progress is shown.
        store: where tallies are kept from one start to the next.

    Attributes:
        tallies: setting → (3, N, K) hits, true and predicted pixels of each image (`scores.tally`).
        builds: kernels built so far.
        runs: mean fields run so far.
    """

    def __init__(
        self,
        samples: Sequence[TuningSample],
        names: Sequence[str],
        classes: ClassTable,
        base: DenseCRF,
        prepare: Prepare,
        threads: int = 0,
        console: Console | None = None,
        store: Store | None = None,
    ) -> None:
        self.samples, self.names, self.classes, self.base = samples, names, classes, base
        self.prepare, self.threads, self.console, self.store = prepare, threads, console, store
        self.tallies: dict[Point, Array] = {}
        self.builds = self.runs = 0
        self._kept: list[dict[Point, Array]] = [store.read(name) if store else {} for name in names]

    def run(self, points: Iterable[Point], what: str = "try") -> None:
        """Try the settings that were not tried yet on all images, several images at once.

        Raises:
            DataError: naming the image, if its parts do not fit together.
        """
        new = sorted({*points} - self.tallies.keys())
        if not new:
            return
        counted = over_images(
            lambda index: self._image(index, new), len(self.samples), self.threads, self.console, what
        )
        for _, builds, runs in counted:
            self.builds, self.runs = self.builds + builds, self.runs + runs
        for point in new:
            self.tallies[point] = np.stack([tallies[point] for tallies, _, _ in counted], axis=1)

    def mean_iou(self, point: Point, images: Sequence[int] | None = None) -> float:
        """Pooled mIoU of a setting that was tried, over the images named; NaN where no pixel of them is known."""
        tallies = self.tallies[point] if images is None else self.tallies[point][:, list(images)]
        return float(mean_iou_from_tally(*tallies.sum(axis=1)))

    def _image(self, index: int, points: Sequence[Point]) -> tuple[dict[Point, Array], int, int]:
        kept = self._kept[index]
        missing = [point for point in points if point not in kept]
        builds = runs = 0
        if missing:
            sample = checked_sample(self.samples[index], self.names[index], self.classes)
            for point, labels, built in refined_labels(sample, missing, self.base, self.prepare):
                kept[point] = tally(count(sample[2], labels, self.classes, self.names[index]))
                builds, runs = builds + built, runs + (point != OFF)
            if self.store is not None:
                self.store.write(self.names[index], kept)
        return {point: kept[point] for point in points}, builds, runs


def refined_labels(
    sample: TuningSample, points: Sequence[Point], base: DenseCRF, prepare: Prepare
) -> Iterable[tuple[Point, Array, bool]]:
    """Yields (setting, labels (H, W), whether kernels were built for it), bandwidth pair by bandwidth pair."""
    image, probabilities, _ = sample
    if OFF in points:
        yield OFF, probabilities.argmax(axis=0), False
    on = sorted((point for point in points if point != OFF), key=lambda point: (point.sxy, point.srgb, point))
    unary = unary_from_probabilities(probabilities) if on else probabilities
    for _, pair in itertools.groupby(on, key=lambda point: (point.sxy, point.srgb)):
        prepared: Prepared | None = None
        for point in pair:
            built = prepared is None
            prepared = prepared or prepare(image, as_crf(point, base))
            found = prepared.run(unary, bilateral_weight=point.weight, gaussian_weight=point.gaussian_weight)
            yield point, as_array(found.argmax(0)), built


def prepare_crf(image: Array, crf: DenseCRF) -> Prepared:
    """The kernels of an image (C, H, W) at the bandwidths of `crf`, built and run on one thread: images share the others."""
    return crf.prepare(image, threads=1)


class PrepareOn:
    """`Prepare` on a torch device: each image and its unary are sent there once for all weights; the result stays there.

    Args:
        device: of torch.
    """

    def __init__(self, device: Any) -> None:
        self.device = device

    def __call__(self, image: Array, crf: DenseCRF) -> Prepared:
        import torch

        return _OnDevice(crf.prepare(torch.from_numpy(np.ascontiguousarray(image)).to(self.device)), self.device)


class _OnDevice:
    def __init__(self, prepared: PreparedCRF, device: Any) -> None:
        self._prepared, self._device = prepared, device
        self._given: Array | None = None
        self._unary: Any = None

    def run(self, unary: Array, *, bilateral_weight: Any, gaussian_weight: Any) -> Any:
        if unary is not self._given:
            import torch

            self._given, self._unary = unary, torch.from_numpy(np.ascontiguousarray(unary)).to(self._device)
        return self._prepared.run(self._unary, bilateral_weight=bilateral_weight, gaussian_weight=gaussian_weight)


def prepare_where(device: Any) -> Prepare:
    """What prepares images: on a torch device, or for None and the processor on one thread for each image."""
    return prepare_crf if device is None or device.type == "cpu" else PrepareOn(device)


def gpu_of(device: Any) -> Any:
    """The torch device if the dense CRF works there, else None: the processor then does its work."""
    return device if works_on(DenseCRF(), device) else None


def as_crf(point: Point, base: DenseCRF) -> DenseCRF:
    """The base with the setting's weights and bandwidths; for OFF with neither kernel."""
    if point == OFF:
        return dataclasses.replace(base, bilateral_weight=0.0, gaussian_weight=0.0)
    return dataclasses.replace(
        base,
        bilateral_weight=point.weight,
        bilateral_sxy=point.sxy,
        bilateral_srgb=point.srgb,
        gaussian_weight=point.gaussian_weight,
    )


def checked_sample(sample: TuningSample, name: str, classes: ClassTable) -> TuningSample:
    """The sample with probabilities as float32 that sum to one (float16 ones do not quite).

    Raises:
        DataError: naming the sample, if shapes do not fit together or a pixel's probabilities are no distribution.
    """
    image, probabilities, labels = sample
    wanted = (len(classes), *image.shape[1:])
    if image.ndim != 3 or probabilities.shape != wanted or labels.shape != image.shape[1:]:
        raise DataError(
            f"{name}: image {image.shape}, probabilities {probabilities.shape} and labels {labels.shape} do not fit "
            f"together; give (C, H, W), ({len(classes)}, H, W) and (H, W) of one size"
        )
    single = np.asarray(probabilities, np.float32)
    try:
        check_probabilities(single)
    except DataError as error:
        raise DataError(f"{name}: {error}") from error
    return image, single / single.sum(axis=0), labels


def count(labels: Array, predicted: Array, classes: ClassTable, name: str) -> Array:
    """(K, K) confusion counts. Raises DataError with the image's name."""
    try:
        return confusion_matrix(labels, predicted.astype(labels.dtype), len(classes), classes.ignored_id)
    except DataError as error:
        raise DataError(f"{name}: {error}") from error


def over_images(
    work: Callable[[int], Result], images: int, threads: int, console: Console | None, what: str
) -> list[Result]:
    """`work(0)`, `work(1)` …, several at once, in order; the first error stops what has not begun."""
    results: list[Result] = []
    with stage(console, what, images) as advance, ThreadPoolExecutor(usable_threads(threads or None)) as pool:
        jobs = [pool.submit(work, index) for index in range(images)]
        try:
            for job in jobs:
                results.append(job.result())
                advance()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return results
