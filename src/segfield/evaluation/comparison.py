"""Recipes compared on the same images: the rows, their order, and paired bootstraps between neighbours. Nothing is run here."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from segfield.classes import Array
from segfield.errors import DataError
from segfield.evaluation.bootstrap import Difference, bootstrap_difference
from segfield.evaluation.scores import Floats, mean_iou_from_tally, without_nan

HOW_MEASURED = {
    "mIoU": "Mean over classes of IoU, from counts pooled over all images of the split, at their full size; here the mean "
    "over the seeds, ± the standard deviation over the seeds (n − 1).",
    "pixel, class accuracy": "Share of the pixels with known truth that are right; mean over classes of that share. Means "
    "over the seeds.",
    "boundary IoU": "IoU of the pixels of a class within 2 % of the diagonal of the class's outside (Cheng et al. 2021). Mean "
    "over the seeds.",
    "difference": "Paired bootstrap over images between neighbours in the ranking: the same images are drawn anew for both, "
    "for every seed that both have finished, and the mIoU of the seeds averaged. The interval and p tell how much the choice "
    "of images matters; the ± of the mIoU tells how much the seed does.",
    "parameters": "Those that training may change, in millions.",
    "multiply–adds": "Of convolutions and matrix products, for one whole image of the commonest size among those timed, in "
    "thousands of millions; counted by PyTorch's flop counter, halved.",
    "training, images/s": "Crops seen by the seconds of training, validations included; the median over the seeds.",
    "prediction, images/s": "One by the median time of predicting a whole image alone (scaling, network, labels in main "
    "memory; no reading of files), after two untimed predictions, on the device named below; the median over the seeds.",
    "memory": "On a GPU, the most that tensors took. On a CPU, the growth of the process's resident memory from its imports to "
    "its peak, images held for training included; training and prediction ran in processes of their own. The largest of the "
    "seeds.",
}
"""How each number of a comparison came about, by the name it is shown under."""


@dataclass(frozen=True)
class Costs:
    """What one run cost. Rates are images a second, memory is bytes; None where it could not be measured.

    Attributes:
        parameters: trainable ones.
        multiply_adds: for one image of `image_size`.
        image_size: (H, W).
        training_seconds, training_rate, training_memory: of training, validations included.
        prediction_rate, prediction_memory: of whole images.
        device: where prediction ran.
    """

    parameters: int
    multiply_adds: int
    image_size: tuple[int, int]
    training_seconds: float
    training_rate: float
    training_memory: int | None
    prediction_rate: float
    prediction_memory: int | None
    device: str


@dataclass(frozen=True)
class ScoredRun:
    """One recipe trained with one seed, and scored; scores 0..1, tallies (3, N, K) of the N images (`scores.tally`).

    Where its segmenter carries a refiner, it is scored with it; `unrefined` is its mIoU without.
    """

    recipe: str
    seed: int
    mean_iou: float
    pixel_accuracy: float
    mean_class_accuracy: float
    boundary_iou: float
    tallies: Array = field(repr=False, compare=False)
    costs: Costs
    curves: tuple[Mapping[str, float], ...] = field(default=(), repr=False, compare=False)
    unrefined: float | None = None

    @property
    def image_mean_iou(self) -> Floats:
        """(N,) mIoU of each image over the classes in its own truth."""
        return mean_iou_from_tally(*self.tallies)


@dataclass(frozen=True)
class FailedRun:
    """One recipe that could not be trained or scored with one seed, and why, in a sentence."""

    recipe: str
    seed: int
    reason: str


@dataclass(frozen=True)
class Row:
    """One recipe: its runs by seed, and what follows from them. Without a finished run all values are NaN."""

    name: str
    network: str
    runs: tuple[ScoredRun, ...]
    failures: tuple[FailedRun, ...] = ()

    @property
    def mean_iou(self) -> float:
        return self.mean("mean_iou")

    @property
    def deviation(self) -> float:
        """Standard deviation of mIoU over the seeds, n − 1; NaN for fewer than two."""
        return statistics.stdev(run.mean_iou for run in self.runs) if len(self.runs) > 1 else math.nan

    def mean(self, score: str) -> float:
        """Mean over the seeds of a score of the runs."""
        return statistics.fmean(getattr(run, score) for run in self.runs) if self.runs else math.nan

    def median(self, cost: str) -> float:
        """Median over the seeds of a cost that varies from run to run."""
        return statistics.median(getattr(run.costs, cost) for run in self.runs) if self.runs else math.nan

    def largest(self, cost: str) -> float:
        """The largest of the seeds; NaN where it was not measured."""
        known = [value for run in self.runs if (value := getattr(run.costs, cost)) is not None]
        return float(max(known)) if known else math.nan

    def as_dict(self) -> dict[str, Any]:
        """Plain lists and numbers for JSON; NaN becomes None."""
        numbers = {
            "mean_iou": self.mean_iou,
            "deviation": self.deviation,
            **{name: self.mean(name) for name in ("pixel_accuracy", "mean_class_accuracy", "boundary_iou")},
            **{name: self.largest(name) for name in ("parameters", "multiply_adds")},
            **{name: self.median(name) for name in ("training_seconds", "training_rate", "prediction_rate")},
            **{name: self.largest(name) for name in ("training_memory", "prediction_memory")},
        }
        runs = [
            {"seed": r.seed, "mean_iou": r.mean_iou, "unrefined": r.unrefined, **asdict(r.costs)} for r in self.runs
        ]
        failures = [{"seed": failed.seed, "reason": failed.reason} for failed in self.failures]
        return {
            "recipe": self.name,
            "network": self.network,
            **without_nan({**numbers, "runs": runs, "failures": failures}),
        }


@dataclass(frozen=True)
class Neighbours:
    """Two recipes that follow each other in the ranking: the better one's mIoU minus the other's, and over which seeds."""

    better: str
    worse: str
    seeds: tuple[int, ...]
    difference: Difference

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON."""
        seeds = list(self.seeds)
        told = {"better": self.better, "worse": self.worse, "seeds": seeds, "p_value": self.difference.p_value}
        return {**told, **self.difference.interval.as_dict()}


@dataclass(frozen=True)
class Comparison:
    """Recipes on the same images, best first; those without a finished run last.

    Attributes:
        images: names of the N images they were scored on.
        rows: one a recipe.
        neighbours: of the ranking, from the top.
        settings: settings in which the recipes differ, by name: the value of each recipe.
        facts: data, split, budget, versions and the like.
    """

    images: tuple[str, ...]
    rows: tuple[Row, ...]
    neighbours: tuple[Neighbours, ...]
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def failures(self) -> list[FailedRun]:
        """All runs that failed, in the order of the rows."""
        return [failed for row in self.rows for failed in row.failures]

    @property
    def exit_status(self) -> int:
        """Of the command: 2 where a run failed."""
        return 2 if self.failures else 0

    def as_dict(self) -> dict[str, Any]:
        """Plain lists and numbers for JSON; NaN becomes None."""
        return {
            "facts": dict(self.facts),
            "images": len(self.images),
            "rows": [row.as_dict() for row in self.rows],
            "differences": [pair.as_dict() for pair in self.neighbours],
            "settings": {name: dict(values) for name, values in self.settings.items()},
            "how_measured": HOW_MEASURED,
        }

    def verdict(self) -> str:
        """The ranking's top in a sentence."""
        best = self.rows[0]
        spread = "" if math.isnan(best.deviation) else f" ± {100 * best.deviation:.2f}"
        text = f"{best.name} is first with mIoU {100 * best.mean_iou:.2f}{spread}"
        if not self.neighbours:
            return text
        found = self.neighbours[0]
        interval, level = found.difference.interval, 100 * found.difference.interval.level
        told = f"{100 * interval.value:.2f} points above {found.worse} ({level:.0f} % interval {in_points(interval)}"
        told += (
            ")"
            if len(found.seeds) == len(best.runs)
            else f", over the {len(found.seeds)} of its seeds that both finished)"
        )
        return f"{text}, {told}" + ("" if tells_apart(found) else "; these images do not tell the two apart")


def in_points(interval: Any) -> str:
    """'+0.10 to +2.31'."""
    return f"{100 * interval.low:+.2f} to {100 * interval.high:+.2f}"


def unrefined(runs: Iterable[ScoredRun]) -> dict[str, float]:
    """{recipe: mean of its runs' mIoU without the refiner}, of the recipes whose segmenters carry one."""
    found: dict[str, list[float]] = {}
    for run in runs:
        if run.unrefined is not None:
            found.setdefault(run.recipe, []).append(run.unrefined)
    return {name: statistics.fmean(values) for name, values in found.items()}


def tells_apart(pair: Neighbours) -> bool:
    """Whether the interval of the difference leaves 0 out."""
    return pair.difference.is_gain


def compare_runs(
    networks: Mapping[str, str],
    runs: Iterable[ScoredRun],
    failures: Iterable[FailedRun] = (),
    *,
    images: Sequence[str],
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    facts: Mapping[str, Any] | None = None,
    resamples: int = 1000,
) -> Comparison:
    """Rank recipes by their mean mIoU over the seeds, and compare neighbours.

    Args:
        networks: the network of each recipe, in the order they were given, which decides between equals.
        runs, failures: of these recipes.
        images: names of the images all runs were scored on, in the order of the tallies.
        settings: all settings of each recipe, by its name; those that differ are kept.
        facts: shown beside.
        resamples: of the bootstrap.

    Raises:
        DataError: if the runs were not scored on the same images with the same truth.
    """
    runs, failures = list(runs), list(failures)
    rows = [
        Row(
            name,
            network,
            tuple(sorted((run for run in runs if run.recipe == name), key=lambda run: run.seed)),
            tuple(failed for failed in failures if failed.recipe == name),
        )
        for name, network in networks.items()
    ]
    rows.sort(key=lambda row: -math.inf if math.isnan(row.mean_iou) else row.mean_iou, reverse=True)
    pairs = (_neighbours(better, worse, resamples) for better, worse in itertools.pairwise(rows))
    return Comparison(
        tuple(images),
        tuple(rows),
        tuple(pair for pair in pairs if pair is not None),
        differing_settings(settings or {}),
        facts or {},
    )


def _neighbours(better: Row, worse: Row, resamples: int) -> Neighbours | None:
    """The paired bootstrap over the seeds both have; None where they have none in common.

    The seeds' tallies stand side by side as if each seed's classes were classes of their own: the truth is the same for
    all, so the mean over all these classes is the mean over the seeds of their mIoU, in every resample.
    """
    first, second = ({run.seed: run.tallies for run in row.runs} for row in (worse, better))
    seeds = tuple(seed for seed in first if seed in second)
    if not seeds:
        return None
    lower, upper = (
        np.concatenate([tallies[seed] for seed in seeds], axis=-1) for tallies in (first, second)
    )  # (3, N, S·K)
    try:
        return Neighbours(better.name, worse.name, seeds, bootstrap_difference(lower, upper, resamples))
    except DataError as error:
        raise DataError(
            f"'{better.name}' and '{worse.name}' were scored on other images or masks; the data changed between them: "
            "give another --out, so that all are trained and scored anew"
        ) from error


def most_disputed(comparison: Comparison, count: int) -> list[int]:
    """Positions of the images on which the recipes' own mIoU (first seed of each) lie furthest apart, furthest first."""
    values = np.stack([row.runs[0].image_mean_iou for row in comparison.rows if row.runs])  # (recipes, N)
    apart = values.max(axis=0) - values.min(axis=0)
    order = [int(i) for i in np.argsort(-apart, kind="stable") if np.isfinite(apart[i])]
    return order[:count]


def differing_settings(settings: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Of the settings of each recipe, those in which they differ: {setting: {recipe: value}}; None where one lacks it."""
    flat = {recipe: flattened(values) for recipe, values in settings.items()}
    names = dict.fromkeys(name for values in flat.values() for name in values)
    table = {name: {recipe: values.get(name) for recipe, values in flat.items()} for name in names}
    return {name: values for name, values in table.items() if len({repr(value) for value in values.values()}) > 1}


def flattened(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{augment: {flip: true}} → {augment.flip: true}."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat.update(flattened(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value})
    return flat
