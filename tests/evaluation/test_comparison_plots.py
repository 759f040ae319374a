"""Figures of a comparison: labels keep clear of markers and of each other, the axis is logarithmic, nothing is lost."""

from __future__ import annotations

import itertools
import math
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from segfield.evaluation import comparison_plots as plots
from segfield.evaluation.comparison import FailedRun, compare_runs
from tests.evaluation.compared import NAMES, scored


def rows(count: int, spread: float):
    """Recipes whose speeds lie within a factor, and whose scores are nearly alike."""
    rng = np.random.default_rng(count)
    runs = []
    for i in range(count):
        costs = {"prediction_rate": 10 * spread ** rng.random(), "parameters": 10 ** (4 + i % 4)}
        runs += [scored(f"recipe_number_{i}", seed, 0.7 + 0.002 * i, **costs) for seed in range(2)]
    return compare_runs({run.recipe: "unet" for run in runs}, runs, images=NAMES).rows


def markers(axes):
    return [marks for marks in axes.collections if isinstance(marks, PathCollection)]


@pytest.mark.parametrize(("count", "spread"), [(1, 1.0), (2, 1.0), (8, 1.5), (12, 20.0)])
def test_labels_cover_nothing(count: int, spread: float) -> None:
    figure = plots.accuracy_speed_figure(rows(count, spread))
    figure.canvas.draw()
    axes, renderer = figure.axes[0], figure.canvas.get_renderer()
    boxes = {text.get_text(): Text.get_window_extent(text, renderer) for text in axes.texts}
    assert len(boxes) == count
    for first, second in itertools.combinations(boxes.values(), 2):
        assert not first.overlaps(second)
    inside = axes.get_window_extent(renderer)
    dots = figure.dpi / 72
    for marks in markers(axes):
        centre = axes.transData.transform(marks.get_offsets()[0])
        radius = math.sqrt(marks.get_sizes()[0] / math.pi) * dots * 0.98
        marker = Bbox.from_extents(*(centre - radius), *(centre + radius))
        assert not any(marker.overlaps(box) for box in boxes.values())
    for box in boxes.values():
        assert inside.x0 <= box.x0 and box.x1 <= inside.x1 and inside.y0 <= box.y0 and box.y1 <= inside.y1


def test_the_axis_is_logarithmic_and_a_marker_grows_with_the_parameters() -> None:
    runs = [scored("a", 0, 0.5, parameters=10**6), scored("b", 0, 0.6, parameters=4 * 10**6, prediction_rate=80.0)]
    axes = plots.accuracy_speed_figure(compare_runs({"a": "u", "b": "u"}, runs, images=NAMES).rows).axes[0]
    assert axes.get_xscale() == "log"
    sizes = {marks.get_offsets()[0][0]: marks.get_sizes()[0] for marks in markers(axes)}
    assert sizes[80.0] == 4 * sizes[10.0]
    assert [text.get_text() for text in axes.texts] == ["b", "a"]


def test_figures_are_well_formed_and_leave_out_what_failed() -> None:
    runs = [scored(name, seed, share) for name, share in (("a & b", 0.5), ("c", 0.7)) for seed in range(2)]
    networks = {"a & b": "u", "c": "u", "broken": "u"}
    found = compare_runs(networks, runs, [FailedRun("broken", 0, "why")], images=NAMES)
    for text in (plots.accuracy_speed(found.rows), plots.learning_curves(found.rows)):
        assert ElementTree.fromstring(text).tag.endswith("svg")
        assert "a &amp; b" in text and "broken" not in text and plots.INK not in text


def test_without_runs_or_validations_there_is_no_figure() -> None:
    failed = compare_runs({"a": "u"}, [], [FailedRun("a", 0, "why")], images=())
    assert plots.accuracy_speed(failed.rows) == plots.learning_curves(failed.rows) == ""
