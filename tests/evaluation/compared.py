"""Runs with tallies drawn from a seed, for tests of the comparison, its figures and its page."""

from __future__ import annotations

import numpy as np

from segfield.classes import Array
from segfield.evaluation.comparison import Costs, ScoredRun
from segfield.evaluation.scores import mean_iou_from_tally

IMAGES, CLASSES = 12, 4
NAMES = [f"image{i}" for i in range(IMAGES)]


def tallies(share: float, seed: int) -> Array:
    """(3, N, K): about `share` of each image's pixels of each class are right; the truth is always the same."""
    truth = np.random.default_rng(99).integers(50, 400, (IMAGES, CLASSES))
    hit = np.random.default_rng(seed).binomial(truth, share)
    predicted = hit + np.roll(truth - hit, 1, axis=1)
    return np.stack([hit, truth, predicted])


def scored(recipe: str, seed: int, share: float, **changed: object) -> ScoredRun:
    """A run of that share of right pixels, with costs that differ in what is given."""
    counts = tallies(share, seed)
    costs = {
        "parameters": 2_000_000, "multiply_adds": 3_000_000_000, "image_size": (48, 64), "training_seconds": 60.0,
        "training_rate": 20.0, "training_memory": 512 * 2**20, "prediction_rate": 10.0, "prediction_memory": 128 * 2**20,
        "device": "cpu", **changed,
    }  # fmt: skip
    mean_iou = float(mean_iou_from_tally(*counts.sum(axis=1)))
    curves = tuple({"seconds": 10.0 * i, "val_miou": mean_iou * i / 3} for i in range(1, 4))
    return ScoredRun(recipe, seed, mean_iou, share, share, share / 2, counts, Costs(**costs), curves)  # type: ignore[arg-type]
