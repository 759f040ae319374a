"""Choosing parameters without looking at the images they are judged on: each fold is scored with what the others chose."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from segfield.crf.tuning.grid import OFF, Grid, Point, refined
from segfield.crf.tuning.trials import Trials
from segfield.data.dataset import stretches
from segfield.errors import SettingError


@dataclass(frozen=True)
class Fold:
    """One fold: what the other folds chose, and how that does here.

    Attributes:
        images: positions of the held-out images.
        point: what the images of the other folds chose; OFF where nothing beat the classifier alone.
        chosen_at: mIoU of `point` on the images that chose it.
        before, after: mIoU of the held-out images without and with it.
    """

    images: tuple[int, ...]
    point: Point
    chosen_at: float
    before: float
    after: float


class Search:
    """Coarse to fine over some of the images; what it tries follows from these images alone.

    Args:
        trials: gives scores.
        grid: where it begins.
        images: positions of the images it may look at.
    """

    def __init__(self, trials: Trials, grid: Grid, images: Sequence[int]) -> None:
        self.trials, self.images = trials, tuple(images)
        self.candidates = grid.points()

    def score(self, point: Point) -> float:
        """Pooled mIoU over the images of the search."""
        return self.trials.mean_iou(point, self.images)

    def best(self, among: Sequence[Point] | None = None) -> Point:
        """The candidate of the highest mIoU; of equals the gentlest, so OFF where nothing is better."""
        best, best_score = OFF, -math.inf
        for point in sorted(self.candidates if among is None else among):
            score = self.score(point)
            if score > best_score:
                best, best_score = point, score
        return best

    def best_on(self) -> Point:
        """The best candidate with the CRF on."""
        return self.best([point for point in self.candidates if point != OFF])

    def refine(self) -> list[Point]:
        """Adds the points about the best one with the CRF on to the candidates, and gives them."""
        new = refined(self.best_on(), self.candidates)
        self.candidates += new
        return new


def fold_images(count: int, folds: int) -> list[tuple[int, ...]]:
    """Positions of each fold's held-out images: every image once, each fold a stretch of the list (`stretches`).

    Raises:
        SettingError: if there are fewer than two folds or fewer images than two.
    """
    if folds < 2 or count < 2:
        raise SettingError(
            f"{folds} folds of {count} images cannot be made; give 2 folds or more, and 2 labelled images or more"
        )
    return stretches(count, min(folds, count))


def cross_validate(
    trials: Trials, grid: Grid, held_out: Sequence[Sequence[int]], rounds: int = 1
) -> tuple[list[Fold], Search]:
    """Search once a fold over the images of the others, and once over all.

    The searches run side by side, so that a point several of them ask for is tried once.

    Args:
        trials: of all images.
        grid: coarse grid.
        held_out: images of each fold.
        rounds: refinements after the coarse grid; each halves the steps about the best.

    Returns:
        the folds, and the search over all images.
    """
    everything = range(len(trials.samples))
    searches = [Search(trials, grid, sorted({*everything} - {*part})) for part in held_out]
    final = Search(trials, grid, everything)
    trials.run(grid.points(), "coarse grid")
    for _ in range(rounds):
        trials.run([point for search in (*searches, final) for point in search.refine()], "refine")
    folds = []
    for part, search in zip(held_out, searches):
        point = search.best()
        before, after = trials.mean_iou(OFF, part), trials.mean_iou(point, part)
        folds.append(Fold(tuple(part), point, search.score(point), before, after))
    return folds, final
