"""Figures: well-formed SVG, no outside names, the page's ink, the right amount of marks."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import matplotlib
import numpy as np
import pytest

from segfield.evaluation import plots
from segfield.evaluation.boundaries import boundaries
from segfield.evaluation.calibration import calibration
from tests.evaluation.label_maps import patches

ROWS = [
    {"epoch": 1, "seconds": 3.0, "loss": 2.0, "val_loss": 2.1, "val_miou": 0.2, "learning_rate": 1e-3},
    {"epoch": 2, "seconds": 6.0, "loss": 1.5, "val_loss": None, "val_miou": 0.4, "learning_rate": 9e-4},
    {"epoch": 3, "seconds": 9.0, "loss": 1.2, "val_miou": float("nan"), "learning_rate": 8e-4},
]


def drawn():
    truth, predicted = patches(seed=1)
    probabilities = np.full((4, *truth.shape), 0.1, np.float32)
    np.put_along_axis(probabilities, predicted[None].astype(np.int64), 0.7, axis=0)
    matrix = np.array([[90, 10, 0], [0, 50, 50], [0, 0, 0]])
    return {
        "curves": plots.training_curves(ROWS),
        "confusion": plots.confusion_picture(matrix, ("sky", "road & path", "<b>")),
        "trimap": plots.trimap_curves(boundaries(truth, predicted, 4, 255), 0.7),
        "reliability": plots.reliability(calibration(probabilities, truth, 255)),
        "images": plots.image_histogram(np.array([0.2, 0.5, np.nan])),
    }


@pytest.fixture(scope="module")
def figures():
    return drawn()


@pytest.mark.parametrize("name", ["curves", "confusion", "trimap", "reliability", "images"])
def test_is_well_formed_and_takes_the_pages_ink(figures, name):
    text = figures[name]
    root = ElementTree.fromstring(text)
    assert root.tag.endswith("svg") and "viewBox" in root.attrib and "height" not in root.attrib
    assert "currentColor" in text and plots.INK not in text and plots.LINE not in text
    references = re.findall(r'(?:href|url)\(?="?([^")]+)', text)
    assert all(reference.startswith(("#", "data:")) for reference in references)
    assert "<metadata" not in text and "!DOCTYPE" not in text


def test_ids_are_only_those_that_are_used(figures):
    text = figures["trimap"]
    ids = re.findall(r' id="([^"]+)"', text)
    assert ids and all(f"#{name}" in text for name in ids)


def test_confusion_numbers_names_and_escapes(figures):
    words = re.findall(r">([^<>]+)</text>", figures["confusion"])
    assert {"90", "10", "50", "sky", "road &amp; path", "&lt;b&gt;"} <= set(words)
    assert words.count("50") == 2 and "0" not in words


def test_many_classes_are_drawn_without_numbers():
    names = [f"class {i}" for i in range(70)]
    text = plots.confusion_picture(np.eye(70, dtype=int), names)
    assert "class 3" not in text and "<image" in text


def test_curves_have_a_panel_for_each_kind_and_skip_what_is_missing(figures):
    assert all(word in figures["curves"] for word in ("val_loss", "validation mIoU, %", "learning rate"))
    lossless = plots.training_curves([{"epoch": 1, "val_miou": 0.5}])
    assert "validation mIoU" in lossless and "learning rate" not in lossless
    assert plots.training_curves([]) == "" == plots.training_curves([{"epoch": 1, "note": "text", "loss": None}])


def test_drawing_leaves_no_trace_and_repeats_exactly():
    before = dict(matplotlib.rcParams)
    assert drawn() == drawn()
    assert dict(matplotlib.rcParams) == before
