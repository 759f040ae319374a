"""The report's figures as inline SVG that takes its ink from the page, so that one drawing serves light and dark."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from segfield.classes import Array
from segfield.evaluation.boundaries import Boundaries
from segfield.evaluation.calibration import Calibration
from segfield.evaluation.scores import ratio

INK, LINE = "#010203", "#040506"
"""Stand-ins for the page's own colours; no other part of a figure has them."""
BLUE, ORANGE, GREEN = "#3b82f6", "#f08c2e", "#22a06b"
IN_TRAINING = ("_accuracy_true", "_accuracy_predicted", "trusted_share")
"""Endings of what an adversary and images without masks add to the curves."""
BLUE_PARTS = (59 / 255, 130 / 255, 246 / 255)


def training_curves(rows: Sequence[Mapping[str, Any]]) -> str:
    """Losses, validation mIoU and learning rate by epoch, one panel each; panels without numbers are left out."""
    losses = [key for key in _keys(rows) if "loss" in key]
    panels = [
        ("loss", losses, 1.0),
        ("validation mIoU, %", [key for key in _keys(rows) if key.endswith("miou")], 100.0),
        ("measured in training, %", [key for key in _keys(rows) if key.endswith(IN_TRAINING)], 100.0),
        ("learning rate", [key for key in _keys(rows) if key == "learning_rate"], 1.0),
    ]
    shown = [panel for panel in panels if panel[1]]
    if not shown:
        return ""
    figure = new_figure(3.5 * len(shown), 2.7)
    for i, (title, keys, scale) in enumerate(shown):
        axes = figure.add_subplot(1, len(shown), i + 1)
        for key, colour in zip(keys, (BLUE, ORANGE, GREEN, "#a855f7", "#e0527a")):
            points = [(row.get("epoch", n), scale * row[key]) for n, row in enumerate(rows) if _number(row.get(key))]
            axes.plot(*zip(*points), color=colour, lw=1.8, marker="o" if len(points) < 25 else "", ms=3, label=key)
        if len(keys) > 1:
            axes.legend(frameon=False, labelcolor=INK, fontsize=8)
        dress(axes, title=title, x="epoch")
    return as_svg(figure)


def confusion_picture(matrix: Array, names: Sequence[str]) -> str:
    """Share of each true class (row) that was given to each class (column); numbers where there is room."""
    shares = np.nan_to_num(ratio(matrix, matrix.sum(axis=1, keepdims=True)))
    count = len(names)
    side = min(8.5, max(3.4, 0.42 * count + 1.4))
    figure = new_figure(side, side)
    axes = figure.add_subplot()
    picture = np.empty((count, count, 4))
    picture[..., :3] = BLUE_PARTS
    picture[..., 3] = np.sqrt(shares)  # the root makes a confusion of a few percent visible
    axes.imshow(picture, interpolation="nearest")
    if count <= 24:
        for i, j in zip(*np.nonzero(shares >= 0.005)):
            axes.text(j, i, f"{100 * shares[i, j]:.0f}", ha="center", va="center", fontsize=7, color=INK)
    if count <= 60:
        size = 8 if count <= 24 else 5
        axes.set_xticks(range(count), names, rotation=90, fontsize=size)
        axes.set_yticks(range(count), names, fontsize=size)
    dress(axes, x="predicted", y="truth", grid=False, fontsize=None)
    return as_svg(figure)


def trimap_curves(boundaries: Boundaries, mean_iou: float) -> str:
    """mIoU within w pixels of a boundary, for growing w; the mIoU of the whole images as a dashed line."""
    figure = new_figure(4.6, 3.0)
    axes = figure.add_subplot()
    for values, colour, label in (
        (boundaries.trimap, BLUE, "about boundaries between classes"),
        (boundaries.void_trimap, ORANGE, "about void (DeepLab)"),
    ):
        if np.isfinite(values).any():
            axes.plot(boundaries.widths, 100 * values, color=colour, lw=1.8, marker="o", ms=4, label=label)
    axes.axhline(100 * mean_iou, color=INK, lw=1, ls=(0, (4, 3)), alpha=0.6, label="whole images")
    axes.set_xscale("log")
    axes.set_xticks(boundaries.widths, [str(width) for width in boundaries.widths])
    axes.minorticks_off()
    axes.legend(frameon=False, labelcolor=INK, fontsize=8, loc="lower right")
    dress(axes, x="band width w, pixels", y="mIoU, %")
    return as_svg(figure)


def trimap_before_after(before: Boundaries, after: Boundaries) -> str:
    """mIoU within w pixels of a boundary between classes, and about void: the classifier alone, and with the CRF."""
    figure = new_figure(4.6, 3.0)
    axes = figure.add_subplot()
    for values, colour, label, dashes in (
        (after.trimap, BLUE, "with the CRF", "-"),
        (before.trimap, ORANGE, "classifier alone", "-"),
        (after.void_trimap, BLUE, "with the CRF, about void", (0, (2, 2))),
        (before.void_trimap, ORANGE, "classifier alone, about void", (0, (2, 2))),
    ):
        if np.isfinite(values).any():
            axes.plot(before.widths, 100 * values, color=colour, lw=1.8, ls=dashes, label=label)
    axes.set_xlim(0, before.widths[-1] + 1)
    if axes.lines:
        axes.legend(frameon=False, labelcolor=INK, fontsize=8, loc="lower right")
    dress(axes, x="band width w, pixels", y="mIoU, %")
    return as_svg(figure)


def reliability(calibration: Calibration) -> str:
    """Accuracy by confidence, the gap to the diagonal, and below how many pixels each bin holds."""
    bins = calibration.counts.size
    edges = np.linspace(0, 1, bins + 1)
    middles = (edges[:-1] + edges[1:]) / 2
    accuracy = ratio(calibration.correct, calibration.counts)
    confidence = ratio(calibration.confidence, calibration.counts)
    figure = new_figure(4.6, 3.8)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.bar(middles, accuracy, width=0.9 / bins, color=BLUE, label="accuracy")
    gap = confidence - accuracy
    above.bar(middles, gap, bottom=accuracy, width=0.9 / bins, color=ORANGE, alpha=0.45, label="gap to confidence")
    above.plot([0, 1], [0, 1], color=INK, lw=1, ls=(0, (4, 3)), alpha=0.6)
    above.set_ylim(0, 1)
    above.legend(frameon=False, labelcolor=INK, fontsize=8, loc="upper left")
    below.bar(middles, 100 * ratio(calibration.counts, calibration.pixels), width=0.9 / bins, color=INK, alpha=0.35)
    below.set_xlim(0, 1)
    dress(above, y="accuracy")
    dress(below, x="confidence", y="pixels, %")
    return as_svg(figure)


def image_histogram(values: Array) -> str:
    """How the images' own mIoU is spread."""
    known = values[np.isfinite(values)]
    figure = new_figure(4.6, 2.4)
    axes = figure.add_subplot()
    axes.hist(100 * known, bins=np.linspace(0, 100, 26), color=BLUE, rwidth=0.9)
    axes.set_xlim(0, 100)
    axes.yaxis.get_major_locator().set_params(integer=True)
    dress(axes, x="an image's own mIoU, %", y="images")
    return as_svg(figure)


def new_figure(width: float, height: float) -> Any:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    figure.patch.set_alpha(0)
    return figure


def dress(axes: Any, title: str = "", x: str = "", y: str = "", grid: bool = True, fontsize: int | None = 8) -> None:
    axes.patch.set_alpha(0)
    axes.set_title(title, fontsize=9, color=INK, loc="left")
    axes.set_xlabel(x, fontsize=8, color=INK)
    axes.set_ylabel(y, fontsize=8, color=INK)
    axes.tick_params(colors=INK, length=0, **({} if fontsize is None else {"labelsize": fontsize}))
    axes.spines[:].set_visible(False)
    if grid:
        axes.grid(color=LINE, lw=0.7)
        axes.set_axisbelow(True)


def as_svg(figure: Any) -> str:
    """The drawing as an <svg> element: its ink is the page's, its size the column's, and it names nothing outside."""
    target = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "segfield"}):
        figure.savefig(target, format="svg", metadata={"Date": None})
    text = target.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = text.replace(INK, "currentColor").replace(LINE, "var(--line)")
    text = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font: \1 system-ui, sans-serif", text)
    used = set(re.findall(r"#([\w-]+)", text))
    text = re.sub(r' id="([\w.-]+)"', lambda found: found[0] if found[1] in used else "", text)
    width = float(re.search(r'width="([\d.]+)pt"', text)[1])  # type: ignore[index]
    return re.sub(r'width="[\d.]+pt" height="[\d.]+pt"|height="[\d.]+pt" ', "", text, count=1).replace(
        "<svg", f'<svg role="img" style="width:100%;max-width:{width * 4 / 3:.0f}px"', 1
    )


def _keys(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Keys that hold a number in any row, in the order they first stand."""
    return list(dict.fromkeys(key for row in rows for key, value in row.items() if _number(value)))


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))
