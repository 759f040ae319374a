"""Draws the pictures of docs/refine.md: what the dense CRF connects, and what its parameters do, on drawn street scenes.

python docs/draw_crf.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import distance_transform_edt, zoom

from segfield.classes import ClassTable
from segfield.crf import DenseCRF, unary_from_labels
from segfield.crf.features import bilateral_features, position_features
from segfield.data.preview import preview
from segfield.data.scenes import open_scenes
from segfield.drawing import legend_font
from segfield.errors import SettingError

sys.path.insert(0, str(Path(__file__).parent))
import make_pictures
from make_pictures import above, beside

plt = make_pictures.plt

PICTURES = Path(__file__).parent / "pictures"
CRF = DenseCRF(bilateral_weight=4, bilateral_sxy=20, bilateral_srgb=10, gaussian_weight=2, gaussian_sxy=1)
STRIDE = 4  # pixels: what a classifier of this output stride does not see
HEAT = matplotlib.colormaps["inferno"]


class Scene:
    """A drawn scene, and what a coarse and noisy classifier might say of it.

    Attributes:
        image: (3, H, W) uint8, with the noise of a camera.
        labels: (H, W) true ids.
        probabilities: (K, H, W) float32 of the classifier.
    """

    def __init__(self, size: tuple[int, int] = (144, 216), seed: int = 1) -> None:
        scenes = open_scenes(f"count=1,size={size[0]}x{size[1]},seed={seed}")
        sample, random = scenes[0], np.random.default_rng(seed)
        self.classes: ClassTable = scenes.classes
        self.labels = sample.labels
        self.image = np.clip(sample.image + random.normal(0, 3, sample.image.shape), 0, 255).astype(np.uint8)
        one_hot = (self.labels == np.arange(len(scenes.classes))[:, None, None]).astype(np.float32)
        height, width = (-(-side // STRIDE) * STRIDE for side in size)
        padded = np.pad(one_hot, ((0, 0), (0, height - size[0]), (0, width - size[1])), mode="edge")
        coarse = padded.reshape(len(one_hot), height // STRIDE, STRIDE, width // STRIDE, STRIDE).mean(axis=(2, 4))
        coarse += random.normal(0, 0.12, coarse.shape)
        logits = 5 * zoom(coarse, (1, STRIDE, STRIDE), order=1, grid_mode=True, mode="nearest")[:, : size[0], : size[1]]
        logits += random.normal(0, 0.6, logits.shape)
        exponentials = np.exp(logits - logits.max(axis=0))
        self.probabilities = (exponentials / exponentials.sum(axis=0)).astype(np.float32)

    def coloured(self, labels: np.ndarray) -> np.ndarray:
        """(H, W) ids → (H, W, 3)."""
        return self.classes.colour_array()[labels]

    def refined(self, refiner: object = CRF) -> np.ndarray:
        """The refined labels in colours."""
        return self.coloured(refiner(self.image, probabilities=self.probabilities).argmax(axis=0))


def titled(picture: np.ndarray, title: str) -> np.ndarray:
    """The picture with a line of text above it."""
    strip = Image.new("RGB", (picture.shape[1], 20), "white")
    ImageDraw.Draw(strip).text((picture.shape[1] // 2, 10), title, fill="black", font=legend_font(), anchor="mm")
    return np.vstack([np.asarray(strip), picture])


def before_and_after(scene: Scene, folder: Path) -> None:
    """Image, the classifier's labels, the refined ones and the truth."""
    panels = [
        (preview(scene.image), "image"),
        (scene.coloured(scene.probabilities.argmax(axis=0)), "classifier"),
        (scene.refined(), "refined"),
        (scene.coloured(scene.labels), "truth"),
    ]
    save(folder, "crf_refined.png", beside(*(titled(*panel) for panel in panels)))


def connections(folder: Path) -> None:
    """The edges of one pixel in a grid CRF and in a fully connected one."""
    figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.4), layout="constrained")
    ys, xs = np.mgrid[0:9, 0:9]
    for axis, title in zip(axes, ("grid CRF: 4 neighbours", "fully connected: every pixel")):
        dense = axis is axes[1]
        for y, x in zip(ys.ravel(), xs.ravel()):
            squared = (x - 4) ** 2 + (y - 4) ** 2
            if squared and (dense or squared == 1):
                weight = float(np.exp(-squared / (2 * 2.2**2))) if dense else 1.0
                axis.plot([4, x], [4, y], color="#c0392b", linewidth=0.4 + 2.2 * weight, alpha=0.25 + 0.7 * weight)
        if not dense:
            for i in range(9):
                axis.plot([0, 8], [i, i], color="0.8", linewidth=0.8, zorder=0)
                axis.plot([i, i], [0, 8], color="0.8", linewidth=0.8, zorder=0)
        axis.plot(xs.ravel(), ys.ravel(), "o", color="0.35", markersize=4)
        axis.plot([4], [4], "o", color="#c0392b", markersize=8)
        axis.set_title(title, fontsize=10)
        axis.set_aspect("equal")
        axis.axis("off")
    figure.savefig(folder / "crf_edges.svg", metadata={"Date": None})
    plt.close(figure)


def kernel_rows(scene: Scene, folder: Path) -> None:
    """How strongly one pixel is tied to every other: its row of the position kernel, and of the bilateral one."""
    height, width = scene.labels.shape
    row, column = inner_pixel(scene.labels, scene.classes.names.index("car"))
    chosen = row * width + column
    panels = [titled(marked(preview(scene.image), row, column), "image, one pixel")]
    position = position_features((height, width), 12.0)
    for features, title in [
        (position, "position: sxy 12"),
        (bilateral_features(scene.image, 20.0, 10.0), "bilateral: sxy 20, srgb 10"),
        (bilateral_features(scene.image, 20.0, 60.0), "bilateral: sxy 20, srgb 60"),
    ]:
        weights = np.exp(-0.5 * ((features - features[chosen]) ** 2).sum(axis=1)).reshape(height, width)
        heat = (HEAT(weights)[..., :3] * 255).astype(np.uint8)
        panels.append(titled(marked(heat, row, column), title))
    save(folder, "crf_kernels.png", beside(*panels))


def inner_pixel(labels: np.ndarray, class_id: int) -> tuple[int, int]:
    """The pixel of a class that lies furthest inside."""
    depth = distance_transform_edt(labels == class_id)
    row, column = np.unravel_index(depth.argmax(), depth.shape)
    return int(row), int(column)


def marked(picture: np.ndarray, row: int, column: int) -> np.ndarray:
    """A cyan ring about a pixel."""
    image = Image.fromarray(picture)
    ImageDraw.Draw(image).ellipse((column - 4, row - 4, column + 4, row + 4), outline=(0, 230, 230), width=2)
    return np.asarray(image)


def bandwidths(scene: Scene, folder: Path) -> None:
    """Refined labels over a grid of sxy and srgb."""
    rows = []
    for srgb in (2.0, 10.0, 50.0):
        row = []
        for sxy in (4.0, 20.0, 100.0):
            crf = DenseCRF(bilateral_weight=10, bilateral_sxy=sxy, bilateral_srgb=srgb, gaussian_weight=0)
            row.append(titled(scene.refined(crf), f"sxy {sxy:.0f}, srgb {srgb:.0f}"))
        rows.append(beside(*row))
    save(folder, "crf_bandwidths.png", above(*rows))


def iterations(scene: Scene, folder: Path) -> None:
    """Labels after 0, 1, 2 and 10 iterations, in a part of the scene, twice enlarged."""
    panels = []
    for count in (0, 1, 2, 10):
        crf = DenseCRF.from_dict({**CRF.as_dict(), "iterations": count})
        height, width = scene.labels.shape
        part = scene.refined(crf)[height // 2 :, width // 4 : width * 3 // 4]
        panels.append(titled(part.repeat(2, axis=0).repeat(2, axis=1), f"{count} iteration{'s' * (count != 1)}"))
    save(folder, "crf_iterations.png", beside(*panels))


def scribbles(scene: Scene, folder: Path) -> None:
    """A few strokes of labels, all else unknown, and what the CRF makes of them."""
    height, width = scene.labels.shape
    known = np.zeros((height, width), bool)
    known[height // 8 :: height // 4] = True
    known[:, width // 12 :: width // 6] = True
    given = np.where(known, scene.labels, 255)
    unary = unary_from_labels(given, len(scene.classes), confidence=0.9, unknown_id=255)
    found = CRF(scene.image, unary=unary).argmax(axis=0)
    panels = [
        (preview(scene.image), "image"),
        (np.where(known[..., None], scene.coloured(scene.labels), 0).astype(np.uint8), "known labels"),
        (scene.coloured(found), "filled"),
        (scene.coloured(scene.labels), "truth"),
    ]
    save(folder, "crf_scribbles.png", beside(*(titled(*panel) for panel in panels)))


def alternatives(scene: Scene, folder: Path) -> None:
    """CRF, guided filter and domain transform side by side."""
    from segfield.crf.edge_aware import DomainTransform, GuidedFilter

    panels = [titled(scene.coloured(scene.probabilities.argmax(axis=0)), "classifier")]
    for refiner, title in (
        (CRF, "dense CRF"),
        (GuidedFilter(), "guided filter"),
        (DomainTransform(), "domain transform"),
    ):
        panels.append(titled(scene.refined(refiner), title))
    save(folder, "crf_alternatives.png", beside(*panels))


def save(folder: Path, name: str, picture: np.ndarray) -> None:
    """A palette PNG: a picture of the documentation, not data."""
    image = Image.fromarray(np.ascontiguousarray(picture)).quantize(96, dither=Image.Dither.NONE)
    image.save(folder / name, optimize=True)


def draw(folder: Path = PICTURES, size: tuple[int, int] = (144, 216)) -> None:
    """All pictures of the page, into a folder. Those of the edge-aware filters need the extra `edge`."""
    folder.mkdir(parents=True, exist_ok=True)
    scene = Scene(size)
    connections(folder)
    for figure in (before_and_after, kernel_rows, bandwidths, iterations, scribbles):
        figure(scene, folder)
    try:
        alternatives(scene, folder)
    except SettingError as error:
        print(f"crf_alternatives.png stays as it was: {error}")


if __name__ == "__main__":
    draw()
