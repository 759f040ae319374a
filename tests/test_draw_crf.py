"""The pictures of docs/refine.md: the script draws every one the page shows, and those kept are small."""

from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image

from tests.test_docs import ROOT, load_script

PAGE = ROOT / "docs" / "refine.md"


@pytest.fixture(scope="module")
def script():
    return load_script("draw_crf")


def shown() -> set[str]:
    return set(re.findall(r"pictures/([\w.]+)\)", PAGE.read_text(encoding="utf-8")))


def test_every_picture_of_the_page_is_drawn(script, tmp_path):
    script.draw(tmp_path, size=(48, 72))
    drawn = {file.name for file in tmp_path.iterdir()}
    assert shown() - drawn <= {"crf_alternatives.png"}  # which needs the extra 'edge'
    assert drawn <= shown()
    for file in tmp_path.glob("*.png"):
        assert len(np.unique(np.asarray(Image.open(file).convert("L")))) > 3, f"{file.name} is empty"


def test_the_pictures_kept_are_small():
    for name in shown():
        assert (ROOT / "docs" / "pictures" / name).stat().st_size < 150_000


def test_the_scene_is_right_to_explain_with(script):
    """The classifier errs, the CRF mends more than it breaks."""
    scene = script.Scene((96, 144))
    before = (scene.probabilities.argmax(axis=0) != scene.labels).mean()
    refined = script.CRF(scene.image, probabilities=scene.probabilities)
    assert 0.01 < before < 0.2
    assert (refined.argmax(axis=0) != scene.labels).mean() < before
    np.testing.assert_allclose(scene.probabilities.sum(axis=0), 1, atol=1e-5)


def test_the_ringed_pixel_lies_inside(script):
    labels = np.zeros((20, 30), np.uint8)
    labels[5:14, 10:21] = 3
    row, column = script.inner_pixel(labels, 3)
    assert row == 9 and 14 <= column <= 16
