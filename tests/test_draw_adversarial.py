"""The pictures of docs/adversarial.md are drawn by the code they show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.test_docs import load_script


@pytest.mark.thorough
def test_rows_of_every_way(tmp_path: Path) -> None:
    script = load_script("draw_adversarial")
    script.SHARED.update(options={"width": 2, "levels": 2})
    segmenters = {name: script.trained(tmp_path, name, 2) for name in script.WAYS}
    picture = script.rows(segmenters, count=1)
    assert picture.dtype == np.uint8 and picture.shape == (96, 7 * 144 + 6 * 6, 3)


def test_what_is_marked() -> None:
    script = load_script("draw_adversarial")
    labels = np.array([[0, 1, 2, 255]])
    picture = script.marked(np.array([[0, 0, 2, 0]]), np.array([[0, 1, 1, 0]]), labels, 255)
    assert [tuple(pixel) for pixel in picture[0].tolist()] == [(255,) * 3, script.BETTER, script.WORSE, (255,) * 3]
