"""Figures of the tuning page, in the report's manner: the grid as heat maps, mIoU over both weights, trimap curves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from segfield.crf.tuning.grid import OFF, Point
from segfield.crf.tuning.measures import Measures
from segfield.evaluation.plots import BLUE, GREEN, INK, ORANGE, as_svg, dress, new_figure

if TYPE_CHECKING:
    from segfield.crf.tune import Tuning

RGB = {BLUE: (59 / 255, 130 / 255, 246 / 255), ORANGE: (240 / 255, 140 / 255, 46 / 255)}
MOST_PANELS = 6


def grid_picture(tuning: Tuning) -> str:
    """Gain in mIoU points over sxy × srgb at the best weights; what was tried of it, the best cell framed."""
    weight, gaussian = tuning.best_point.weight, tuning.best_point.gaussian_weight
    points = _at_weights(tuning.tried, weight, gaussian)
    width, height = (len({point[axis] for point in points}) for axis in (2, 1))
    figure = new_figure(max(3.8, 0.62 * width + 1.6), max(2.8, 0.46 * height + 1.3))
    axes = figure.add_subplot()
    _heat_map(axes, tuning, points, _largest_change(tuning))
    dress(axes, title=_title(weight, gaussian), x="srgb, units of 0..255", y="sxy, pixels", grid=False)
    return str(as_svg(figure))


def weight_pictures(tuning: Tuning) -> str:
    """The coarse grid at its best Gaussian weight: one heat map a bilateral weight, all with one colour scale."""
    coarse = [point for point in tuning.grid.points() if point != OFF]
    gaussian = max(coarse, key=tuning.tried.__getitem__).gaussian_weight
    weights = [weight for weight in tuning.grid.weights if weight > 0][:MOST_PANELS]
    side = max(2.2, 0.5 * len(tuning.grid.srgb) + 0.7)
    figure = new_figure(side * len(weights), max(2.4, 0.42 * len(tuning.grid.sxy) + 1.2))
    for i, weight in enumerate(weights):
        axes = figure.add_subplot(1, len(weights), i + 1)
        _heat_map(axes, tuning, _at_weights(coarse, weight, gaussian), _largest_change(tuning))
        dress(axes, title=_title(weight, gaussian), x="srgb", y="" if i else "sxy, pixels", grid=False)
    return str(as_svg(figure))


def weight_curve(tuning: Tuning) -> str:
    """mIoU over the bilateral weight: all else as in the best setting, and at its own best; the classifier alone at 0."""
    best = tuning.best_point
    others = f"sxy {best.sxy:g}, srgb {best.srgb:g}, Gaussian {best.gaussian_weight:g}"
    return _curve(tuning, "weight", {0.0: tuning.tried[OFF]}, others, "bilateral weight")


def gaussian_curve(tuning: Tuning) -> str:
    """mIoU over the Gaussian kernel's weight: all else as in the best setting, and at its own best."""
    best = tuning.best_point
    others = f"weight {best.weight:g}, sxy {best.sxy:g}, srgb {best.srgb:g}"
    return _curve(tuning, "gaussian_weight", {}, others, "Gaussian weight")


def _curve(tuning: Tuning, axis: str, start: dict[float, float], others: str, x: str) -> str:
    """mIoU over the values tried of one axis, after the points of `start`; the best is circled."""
    best, off = tuning.best_point, tuning.tried[OFF]
    here, top = dict(start), dict(start)
    for point, score in tuning.tried.items():
        value = getattr(point, axis)
        if point != OFF:
            top[value] = max(score, top.get(value, 0.0))
        if point != OFF and point._replace(**{axis: getattr(best, axis)}) == best:
            here[value] = score
    figure = new_figure(4.6, 3.0)
    axes = figure.add_subplot()
    for scores, colour, label in (
        (here, BLUE, others),
        (top, ORANGE, "the others at their best"),
    ):
        values = sorted(scores)
        axes.plot(
            values, [100 * scores[value] for value in values], color=colour, lw=1.8, marker="o", ms=4, label=label
        )
    axes.axhline(100 * off, color=INK, lw=1, ls=(0, (4, 3)), alpha=0.6, label="classifier alone")
    axes.plot([getattr(best, axis)], [100 * tuning.tried[best]], marker="o", ms=9, mfc="none", mec=INK, mew=1.5)
    axes.legend(frameon=False, labelcolor=INK, fontsize=8, loc="best")
    dress(axes, x=x, y="mIoU, %")
    return str(as_svg(figure))


def gain_histogram(before: Measures, after: Measures) -> str:
    """How each image's own mIoU changed, in points."""
    change = 100 * (after.image_mean_iou - before.image_mean_iou)
    change = change[np.isfinite(change)]
    figure = new_figure(4.6, 2.4)
    axes = figure.add_subplot()
    if change.size:
        reach = max(1.0, float(np.abs(change).max()))
        bins = np.linspace(-reach, reach, 22)  # an odd number of bins: one about no change
        for part, colour in ((change[change > 0], GREEN), (change[change < 0], ORANGE), (change[change == 0], INK)):
            if part.size:
                axes.hist(part, bins=bins, rwidth=0.9, color=colour)
    axes.yaxis.get_major_locator().set_params(integer=True)
    dress(axes, x="change of an image's own mIoU, points", y="images")
    return str(as_svg(figure))


def _at_weights(points: Iterable[Point], weight: float, gaussian: float) -> list[Point]:
    return [point for point in points if point != OFF and (point.weight, point.gaussian_weight) == (weight, gaussian)]


def _title(weight: float, gaussian: float) -> str:
    return f"weight {weight:g}, Gaussian {gaussian:g}"


def _largest_change(tuning: Tuning) -> float:
    off = tuning.tried[OFF]
    return max(max(abs(score - off) for score in tuning.tried.values()), 1e-6)


def _heat_map(axes: Any, tuning: Tuning, points: Sequence[Point], largest: float) -> None:
    """Blue where the CRF helps, orange where it harms; cells that were not tried are empty."""
    rows, columns = sorted({point.sxy for point in points}), sorted({point.srgb for point in points})
    off = tuning.tried[OFF]
    cells = np.zeros((len(rows), len(columns), 4))
    for point in points:
        at = rows.index(point.sxy), columns.index(point.srgb)
        gain = tuning.tried[point] - off
        cells[at][:3] = RGB[BLUE if gain >= 0 else ORANGE]
        cells[at][3] = 0.08 + 0.82 * (abs(gain) / largest) ** 0.5  # the root shows small changes
        axes.text(at[1], at[0], f"{100 * gain:+.1f}", ha="center", va="center", fontsize=7, color=INK)
        if point == tuning.best_point:
            frame = {"fill": False, "edgecolor": INK, "linewidth": 2}
            axes.add_patch(_rectangle((at[1] - 0.5, at[0] - 0.5), **frame))
    axes.imshow(cells, interpolation="nearest", origin="lower", aspect="auto")
    axes.set_xticks(range(len(columns)), [f"{value:g}" for value in columns])
    axes.set_yticks(range(len(rows)), [f"{value:g}" for value in rows])


def _rectangle(corner: tuple[float, float], **style: Any) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle(corner, 1, 1, **style)
