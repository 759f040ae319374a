"""The figures: every cell says the gain of its setting, and the best one has the frame."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from segfield.crf.tune import Tuning, tune
from segfield.crf.tuning import plots
from segfield.crf.tuning.grid import OFF, Grid
from segfield.evaluation.plots import GREEN, ORANGE, trimap_before_after
from tests.crf.tuning.planted import CLASSES, CRF, planted

GRID = Grid((2.0, 6.0), (5.0, 12.0), (8.0, 20.0, 60.0), (0.0, 1.0))


@pytest.fixture(scope="module")
def tuning() -> Tuning:
    return tune(planted(4), CLASSES, base=CRF, grid=GRID, folds=2, rounds=0, threads=1)


def _texts(drawing: str) -> list[str]:
    return [
        (node.text or "").replace("\N{MINUS SIGN}", "-")
        for node in ElementTree.fromstring(drawing).iter()
        if node.tag.endswith("text")
    ]


def test_the_grid_shows_each_gain_at_the_best_weights(tuning: Tuning) -> None:
    texts = _texts(plots.grid_picture(tuning))
    best = tuning.best_point
    shown = sorted(text for text in texts if re.fullmatch(r"[+-]\d+\.\d", text))
    same = [point for point in GRID.points()[1:] if (point[0], point[3]) == (best[0], best[3])]
    gains = [tuning.tried[point] - tuning.tried[OFF] for point in same]
    assert shown == sorted(f"{100 * gain:+.1f}" for gain in gains)
    assert len(gains) == 6
    assert f"weight {best.weight:g}, Gaussian {best.gaussian_weight:g}" in texts
    assert {"5", "12", "8", "20", "60"} <= {*texts}


def test_one_map_a_weight_and_one_frame_in_all(tuning: Tuning) -> None:
    drawing = plots.weight_pictures(tuning)
    texts = _texts(drawing)
    gaussian = tuning.best_point.gaussian_weight
    assert {f"weight 2, Gaussian {gaussian:g}", f"weight 6, Gaussian {gaussian:g}"} <= {*texts}
    assert sum(bool(re.fullmatch(r"[+-]\d+\.\d", text)) for text in texts) == (len(tuning.tried) - 1) / 2
    assert drawing.count("stroke-width: 2;") == 1, "the best cell"
    assert drawing.count("<image") == 2


def test_the_curves_show_every_value_tried_of_each_weight(tuning: Tuning) -> None:
    """Markers in the drawing: one a value and line, and the ring about the best; the bilateral ones begin at 0, off."""
    best = tuning.best_point
    for drawing, values, label in (
        (plots.weight_curve(tuning), 1 + 2, f"sxy {best.sxy:g}, srgb {best.srgb:g}, Gaussian {best.gaussian_weight:g}"),
        (plots.gaussian_curve(tuning), 2, f"weight {best.weight:g}, sxy {best.sxy:g}, srgb {best.srgb:g}"),
    ):
        texts = _texts(drawing)
        assert {"classifier alone", "the others at their best", label} <= {*texts}
        legend = 2
        assert drawing.count("<use ") == 2 * values + 1 + legend


def test_trimap_curves_before_and_after(tuning: Tuning) -> None:
    drawing = trimap_before_after(tuning.before.boundaries, tuning.after.boundaries)
    texts = _texts(drawing)
    assert {"with the CRF", "classifier alone"} <= {*texts}
    assert not any("void" in text for text in texts), "there is none"


def test_changes_that_help_and_harm_differ_in_colour(tuning: Tuning) -> None:
    assert (tuning.after.image_mean_iou > tuning.before.image_mean_iou).all()
    better, worse = plots.gain_histogram(tuning.before, tuning.after), plots.gain_histogram(tuning.after, tuning.before)
    same = plots.gain_histogram(tuning.before, tuning.before)
    assert [[colour in drawing for colour in (GREEN, ORANGE)] for drawing in (better, worse, same)] == [
        [True, False], [False, True], [False, False],
    ]  # fmt: skip
