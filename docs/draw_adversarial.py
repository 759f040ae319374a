"""Draws the pictures of docs/adversarial.md: the same scenes by a network trained one way and another, differences marked.

python docs/draw_adversarial.py            trains on drawn scenes first, some minutes on two cores
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import segfield as sf
from segfield.data.preview import preview
from segfield.data.scenes import open_scenes

sys.path.insert(0, str(Path(__file__).parent))
from make_pictures import above, beside, save

BETTER, WORSE = (0, 158, 115), (213, 94, 0)
"""Where the second network is right and the first is wrong, and the other way round."""

SHARED: dict[str, Any] = {
    "data": "scenes:count=10,size=96x144", "model": "unet_padded", "weights": "none", "options": {"width": 12, "levels": 4},
    "batch_size": 4, "keep": "last", "validate_every": 1000, "learning_rate": 0.003, "precision": "32-true", "ema": 0.99,
    "augment": {"scale": [0.75, 1.5]},
}  # fmt: skip

WAYS: dict[str, dict[str, Any]] = {
    "masks alone": {},
    "with an adversary": {"adversary": "smallfov_light", "adversarial": {"weight": 0.1, "stride": 4}},
    "with images without masks": {"unlabelled": "scenes:count=200,size=96x144,seed=7"},
}


def trained(folder: Path, name: str, steps: int) -> Any:
    """A segmenter trained one way of `WAYS`."""
    settings = {**SHARED, **WAYS[name], "steps": steps, "out": str(folder / name.replace(" ", "-"))}
    return sf.Segmenter.load(sf.train(sf.Recipe.from_dict(settings)).segmenter)


def marked(first: np.ndarray, second: np.ndarray, labels: np.ndarray, ignored_id: int) -> np.ndarray:
    """(H, W, 3): white where both are right or both wrong, `BETTER` and `WORSE` where one is."""
    known = labels != ignored_id
    picture = np.full((*labels.shape, 3), 255, np.uint8)
    picture[known & (first != labels) & (second == labels)] = BETTER
    picture[known & (first == labels) & (second != labels)] = WORSE
    return picture


def rows(segmenters: dict[str, Any], count: int = 3) -> np.ndarray:
    """Image, truth, masks alone, and each other way with what it changed."""
    scenes = open_scenes(f"count={count},size=96x144,seed=3")
    colours = scenes.classes.colour_array()
    drawn = []
    for sample in scenes:
        said = {name: segmenter(sample.image).labels for name, segmenter in segmenters.items()}
        alone = said.pop("masks alone")
        panels = [preview(sample.image), colours[sample.labels], colours[alone]]
        for labels in said.values():
            panels += [colours[labels], marked(alone, labels, sample.labels, scenes.classes.ignored_id)]
        drawn.append(beside(*panels))
    return above(*drawn)


def main(steps: int = 300) -> None:
    with tempfile.TemporaryDirectory() as folder:
        segmenters = {name: trained(Path(folder), name, steps) for name in WAYS}
        save("adversarial.png", rows(segmenters))


if __name__ == "__main__":
    main()
