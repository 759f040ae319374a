"""Draws 24 grey microscope pictures of cells with their masks (0 background, 255 cell), to follow the tutorial with.

    python docs/draw_cells.py cells

Cells are wobbly discs with bright rims and dark nuclei; many touch, which is what the border weight map is for.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

SIZE = 128


def draw(seed: int, size: int = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """An image (H, W) uint8 and its mask (H, W) uint8 of 0 and 255. A line of background parts cells that touch."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size].astype(np.float64)
    image = 90 + 18 * smooth(rng, size, 24) + 10 * smooth(rng, size, 3)
    mask = np.zeros((size, size), bool)
    for _ in range(round(rng.integers(9, 15) * (size / SIZE) ** 2)):
        cy, cx, radius = *rng.uniform(0, size, 2), rng.uniform(9, 16)
        angle, distance = np.arctan2(y - cy, x - cx), np.hypot(y - cy, x - cx)
        waves = sum(rng.normal(0, 0.05) * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in (2, 3, 5))
        outline = distance / (radius * (1 + waves))  # 1 at the membrane
        cell = (outline < 1) & ~ndimage.binary_dilation(mask, iterations=2)
        if cell.sum() < 80:
            continue
        body = rng.uniform(35, 60) * (0.5 + 0.5 * smooth(rng, size, 2))
        rim = 45 * np.exp(-(((outline - 0.95) * radius / 1.5) ** 2))
        nucleus = -30 * (np.hypot(y - cy + rng.normal(0, 2), x - cx + rng.normal(0, 2)) < 0.35 * radius)
        image = np.where(cell, image + body + rim + nucleus, image)
        mask |= cell
    image = ndimage.gaussian_filter(image, 0.8) + rng.normal(0, 8, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8), np.where(mask, 255, 0).astype(np.uint8)


def smooth(rng: np.random.Generator, size: int, sigma: float) -> np.ndarray:
    """(size, size) noise of standard deviation 1 whose grains are about `sigma` pixels wide."""
    noise = ndimage.gaussian_filter(rng.normal(size=(size, size)), sigma)
    return (noise - noise.mean()) / noise.std()


def write(folder: Path, count: int = 24, size: int = SIZE) -> None:
    """FOLDER/images/cellNN.png and FOLDER/masks/cellNN.png."""
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for i in range(count):
        image, mask = draw(i, size)
        Image.fromarray(image).save(folder / "images" / f"cell{i + 1:02}.png")
        Image.fromarray(mask).save(folder / "masks" / f"cell{i + 1:02}.png")


if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else "cells"))
