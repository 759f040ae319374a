"""Parameters of the dense CRF by cross-validation on held-out images, as DeepLab found them (Chen et al. 2015, section 4).

No Bayesian search (optuna) for four numbers: a grid shares each lattice among all weights, and can be shown as a picture.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console

from segfield.classes import Array, ClassTable
from segfield.crf.dense_crf import DenseCRF
from segfield.crf.image_range import in_byte_units, white_value
from segfield.crf.tuning.cross_validation import Fold, cross_validate, fold_images
from segfield.crf.tuning.grid import OFF, PAPER_RANGE, Grid, Point
from segfield.crf.tuning.measures import Measures, measure, verdict
from segfield.crf.tuning.trials import Prepare, Store, Trials, TuningSample, as_crf, prepare_crf
from segfield.errors import DataError, SettingError
from segfield.evaluation.bootstrap import Difference, bootstrap_difference
from segfield.evaluation.scores import without_nan

GLANCE = 16
"""Images whose size and range of values the default grid is made for."""


@dataclass(frozen=True)
class Tuning:
    """What a tuning found.

    Attributes:
        classes: the class table.
        names: of the N images.
        refiner: the CRF to use, with what all images chose; None where it does not help (and was not asked to be kept).
        best: the best CRF tried, whether it helps or not.
        best_point: its weights and bilateral bandwidths.
        verdict: whether it helps, in a sentence.
        helps: the cross-validated gain is above 0 with all of its interval, and the best setting is not OFF.
        gain: cross-validated mIoU with the CRF minus without, with its paired bootstrap interval; 0..1.
        folds: what each fold was given, and how that did.
        before: measures of the classifier alone.
        after: measures with the CRF, each image with what the other folds chose.
        grid: the coarse grid.
        rounds: refinements after it.
        tried: setting → mIoU over all images.
        base: what the settings share.
        builds: kernels built.
        runs: mean fields run.
        seconds: it took.
    """

    classes: ClassTable
    names: tuple[str, ...]
    refiner: DenseCRF | None
    best: DenseCRF
    best_point: Point
    verdict: str
    helps: bool
    gain: Difference
    folds: tuple[Fold, ...]
    before: Measures
    after: Measures
    grid: Grid
    rounds: int
    tried: dict[Point, float]
    base: DenseCRF
    builds: int
    runs: int
    seconds: float

    @property
    def at_rim(self) -> tuple[str, ...]:
        """Names of the parameters whose best value is the least or the largest tried, and not 0: more may lie beyond."""
        on = [point for point in self.tried if point != OFF]
        spans = {name: sorted({getattr(point, name) for point in on}) for name in Point._fields}
        return tuple(
            name
            for name, values in spans.items()
            if len(values) > 1 and getattr(self.best_point, name) in {values[0], values[-1]} - {0}
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain lists and numbers for JSON; NaN becomes None."""
        return {
            "verdict": self.verdict,
            "helps": self.helps,
            "refiner": None if self.refiner is None else self.refiner.as_dict(),
            "best": self.best.as_dict(),
            "at_rim": list(self.at_rim),
            "images": len(self.names),
            "gain": {**self.gain.interval.as_dict(), "p_value": without_nan(self.gain.p_value)},
            "before": {**self.before.scores.as_dict(), "boundaries": self.before.boundaries.as_dict()},
            "after": {**self.after.scores.as_dict(), "boundaries": self.after.boundaries.as_dict()},
            "folds": [
                {**without_nan(dataclasses.asdict(fold)), "point": fold.point._asdict(), "images": list(fold.images)}
                for fold in self.folds
            ],
            "tried": [{**point._asdict(), "mean_iou": without_nan(score)} for point, score in self.tried.items()],
            "builds": self.builds,
            "runs": self.runs,
            "seconds": round(self.seconds, 1),
        }


def tune(
    samples: Iterable[TuningSample],
    classes: ClassTable,
    *,
    names: Sequence[str] | None = None,
    base: DenseCRF | None = None,
    grid: Grid | None = None,
    rounds: int = 1,
    folds: int = 5,
    keep: bool = False,
    seed: int = 0,
    threads: int = 0,
    console: Console | None = None,
    prepare: Prepare = prepare_crf,
    store: Store | None = None,
) -> Tuning:
    """Find the dense CRF's weights and its bilateral bandwidths, and say whether it is worth switching on.

    The score is mIoU of counts pooled over images, ignored pixels out. Parameters for the folds are chosen on the other
    folds' images alone, so that the gain told is one on unseen images; the parameters that come out are chosen on all.
    The classifier must not have been trained on the images: it is too sure there, and weights come out too small.

    Args:
        samples: (image (C, H, W), probabilities (K, H, W), labels (H, W)); a sequence is read lazily, several times.
        classes: the class table: K and the ignored id.
        names: of the samples.
        base: what all settings share: the Gaussian kernel's sxy (3 pixels as in DeepLab; None: that kernel stays off),
            iterations, normalisation.
        grid: coarse grid; by default `Grid.for_images`.
        rounds: refinements about the best of the coarse grid, each with half the steps.
        folds: of the cross-validation, stretches of the list; as many as images where these are fewer.
        keep: give a refiner even where it does not help.
        seed: of the bootstrap.
        threads: images at once; 0 takes one a core. The result does not depend on it.
        console: where progress is shown.
        prepare: builds an image's kernels; `DenseCRF.prepare` by default.
        store: keeps trials from one start to the next.

    Raises:
        DataError: if a sample's parts do not fit together, or no pixel is known.
        SettingError: if there are fewer than two images or folds.
    """
    began = time.monotonic()
    listed: Sequence[TuningSample] = samples if isinstance(samples, Sequence) else list(samples)
    titles = tuple(names) if names is not None else tuple(f"image {i}" for i in range(len(listed)))
    held_out = _checked_folds(listed, titles, folds, rounds)
    base = base or DenseCRF()
    grid = grid or default_grid(listed, base.image_range)
    if base.gaussian_sxy is None:
        grid = dataclasses.replace(grid, gaussian_weights=(0.0,))  # others would give the same
    trials = Trials(listed, titles, classes, base, prepare, threads, console, store)
    trials.run([OFF], "check")  # what is wrong with a sample shows now, not after the grid
    if np.isnan(trials.mean_iou(OFF)):
        raise DataError(
            f"no pixel of the {len(listed)} images has a known class, so nothing can be scored; give labels"
        )
    parts, final = cross_validate(trials, grid, held_out, rounds)
    own = {image: fold.point for fold in parts for image in fold.images}
    before, after = measure(trials, [own[i] for i in range(len(listed))])
    gain = bootstrap_difference(before.tallies, after.tallies, seed=seed)
    point = final.best_on()
    helps = final.best() != OFF and gain.is_gain
    best = as_crf(point, base)
    return Tuning(
        classes=classes,
        names=titles,
        refiner=best if helps or keep else None,
        best=best,
        best_point=point,
        verdict=verdict(
            "The CRF", before.scores.mean_iou, after.scores.mean_iou, gain, len(listed), len(parts), helps, keep
        ),
        helps=helps,
        gain=gain,
        folds=tuple(parts),
        before=before,
        after=after,
        grid=grid,
        rounds=rounds,
        tried={tried: trials.mean_iou(tried) for tried in sorted(trials.tallies)},
        base=base,
        builds=trials.builds,
        runs=trials.runs,
        seconds=time.monotonic() - began,
    )


def default_grid(samples: Sequence[TuningSample], image_range: float | None = None) -> Grid:
    """`Grid.for_images` for the sizes and the range of values of some of the samples.

    The range is 255 for uint8; for other depths it is measured from the first to the last percentile, since few sensors
    fill their 16 bits, in units of 0..255 as the bandwidth is (`image_range` counts as white, see `DenseCRF`).
    """
    positions = np.linspace(0, len(samples) - 1, min(GLANCE, len(samples))).round().astype(int)
    shapes, ranges = [], []
    for position in positions:
        image = samples[position][0]
        height, width = image.shape[-2:]
        shapes.append((height, width))
        ranges.append(PAPER_RANGE if image.dtype == np.uint8 else _spread(image, image_range))
    colour_range = float(np.median(ranges))
    return Grid.for_images(shapes, colour_range if colour_range > 0 else PAPER_RANGE)


def _spread(image: Array, image_range: float | None) -> float:
    low, high = np.percentile(in_byte_units(image, white_value(image, image_range)), [1, 99])
    return float(high - low)


def _checked_folds(
    samples: Sequence[TuningSample], names: Sequence[str], folds: int, rounds: int
) -> list[tuple[int, ...]]:
    if len(names) != len(samples) or len({*names}) != len(names):
        raise DataError(f"{len(samples)} samples have {len({*names})} different names; give each its own")
    if rounds < 0:
        raise SettingError(f"rounds is {rounds}; give the number of refinements, 0 or more")
    return fold_images(len(samples), folds)
