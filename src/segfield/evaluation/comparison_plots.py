"""Figures of a comparison: accuracy by speed with labels that keep clear of each other, and validation mIoU over time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.transforms import Bbox

from segfield.evaluation.comparison import Row
from segfield.evaluation.plots import BLUE, GREEN, INK, ORANGE, as_svg, dress, new_figure

COLOURS = (BLUE, ORANGE, GREEN, "#a855f7", "#e0527a", "#0ea5a5", "#c2a10a", "#8b5e3c", "#64748b", "#7c3aed")
SMALLEST, LARGEST = 30.0, 900.0
"""Area of a marker, in square points: of the network with fewest and with most parameters at the least and the most."""
_WAYS = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))
_LETTERS = {"textcoords": "offset points", "fontsize": 8, "color": INK, "va": "bottom"}
_DISTANCES = (3, 10, 20, 34, 52, 74)


def colour_of(index: int) -> str:
    """Of the recipe that was given as number `index`."""
    return COLOURS[index % len(COLOURS)]


def accuracy_speed(rows: Sequence[Row]) -> str:
    """mIoU (± its deviation) over images predicted a second, on a log axis; a marker's area grows with the parameters."""
    shown = [row for row in rows if row.runs]
    return as_svg(accuracy_speed_figure(shown)) if shown else ""


def accuracy_speed_figure(rows: Sequence[Row]) -> Any:
    """The figure of `accuracy_speed`; every row has a run."""
    figure = new_figure(7.4, 4.4)
    axes = figure.add_subplot()
    speeds, scores = [row.median("prediction_rate") for row in rows], [100 * row.mean_iou for row in rows]
    spreads = [0.0 if math.isnan(row.deviation) else 100 * row.deviation for row in rows]
    most = max(row.median("parameters") for row in rows)
    areas = [max(SMALLEST, LARGEST * row.median("parameters") / most) for row in rows]
    for i, (x, y, spread, area) in enumerate(zip(speeds, scores, spreads, areas)):
        axes.scatter(x, y, s=area, color=colour_of(i), alpha=0.75, linewidths=0, zorder=3 - area / LARGEST)
        axes.errorbar(x, y, yerr=spread, color=colour_of(i), lw=1.4, capsize=3 if spread else 0, zorder=3)
    axes.set_xscale("log")
    axes.set_xlim(min(speeds) / 2.5, max(speeds) * 2.5)
    low, high = min(map(float.__sub__, scores, spreads)), max(map(float.__add__, scores, spreads))
    edge = 0.18 * (high - low) + 1.0
    axes.set_ylim(low - edge, high + edge)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    dress(axes, x="images a second in prediction", y="mIoU, %")
    axes.tick_params(which="minor", length=0)
    figure.canvas.draw()  # from here on the layout stands, and texts can be measured
    figure.set_layout_engine("none")
    _label(axes, [row.name for row in rows], list(zip(speeds, scores)), areas, spreads)
    return figure


def _label(
    axes: Any,
    names: Sequence[str],
    points: Sequence[tuple[float, float]],
    areas: Sequence[float],
    spreads: Sequence[float],
) -> None:
    """Write each name beside its marker, at the nearest place where it covers no marker, no bar and no other name."""
    renderer, dots = axes.figure.canvas.get_renderer(), axes.figure.dpi / 72
    centres = [axes.transData.transform(point) for point in points]
    radii = [math.sqrt(area / math.pi) for area in areas]
    taken = [Bbox.from_extents(*(c - r * dots), *(c + r * dots)) for c, r in zip(centres, radii)]
    for (x, y), spread in zip(points, spreads):
        taken.append(Bbox.from_extents(*axes.transData.transform([(x, y - spread), (x, y + spread)]).ravel()).padded(1))
    inside = axes.get_window_extent(renderer)
    for name, point, centre, radius in zip(names, points, centres, radii):
        text = axes.annotate(name, point, (0, 0), **_LETTERS)
        size = text.get_window_extent(renderer)
        places = [
            (distance, way, _box(centre, radius * dots, distance * dots, way, size.width, size.height))
            for distance in _DISTANCES
            for way in _WAYS
        ]
        distance, _, box = min(places, key=lambda place: (_covered(place[2], taken, inside), place[0]))
        text.remove()
        taken.append(box)
        offset = (box.x0 - centre[0]) / dots, (box.y0 - centre[1]) / dots
        line = {"arrowstyle": "-", "color": INK, "alpha": 0.4, "lw": 0.7, "shrinkB": radius}
        axes.annotate(name, point, offset, arrowprops=line if distance > _DISTANCES[0] else None, **_LETTERS)


def _box(centre: Any, radius: float, distance: float, way: tuple[int, int], width: float, height: float) -> Bbox:
    """Where a text lies that stands off a marker in one of eight ways; all in pixels."""
    off = (radius if 0 in way else radius / math.sqrt(2)) + distance
    x = centre[0] + way[0] * off + (way[0] - 1) * width / 2
    y = centre[1] + way[1] * off + (way[1] - 1) * height / 2
    return Bbox.from_bounds(x, y, width, height)


def _covered(box: Bbox, taken: Sequence[Bbox], inside: Bbox) -> float:
    """Square pixels of a box that lie on what is taken or outside."""
    whole = box.width * box.height
    kept = Bbox.intersection(box, inside)
    outside = whole - (kept.width * kept.height if kept is not None else 0.0)
    overlaps = (Bbox.intersection(box, other) for other in taken)
    return round(outside + sum(found.width * found.height for found in overlaps if found is not None), 3)


def learning_curves(rows: Sequence[Row]) -> str:
    """Validation mIoU over the seconds of training: a line a run, a colour a recipe; '' where no run has two validations."""
    figure = new_figure(7.4, 3.2)
    axes = figure.add_subplot()
    drawn = False
    for i, row in enumerate(rows):
        for number, run in enumerate(run for run in row.runs if len(run.curves) > 1):
            points = [(point["seconds"], 100 * point["val_miou"]) for point in run.curves if "val_miou" in point]
            label = row.name if number == 0 else None
            axes.plot(*zip(*points), color=colour_of(i), lw=1.5, alpha=0.85, label=label)
            drawn = True
    if not drawn:
        return ""
    axes.legend(frameon=False, labelcolor=INK, fontsize=8, loc="lower right")
    dress(axes, x="seconds of training", y="validation mIoU, %")
    return as_svg(figure)
