"""Draws the pictures of the documentation into docs/pictures, from the code they explain.

python docs/make_pictures.py
python docs/make_pictures.py runs/cells/segmenter.safetensors   (also the picture of the tutorial's own prediction)
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
import numpy as np
import torch
from PIL import Image

from segfield.classes import ClassTable
from segfield.commands.demo import contact_sheet
from segfield.data.augment import Augmentation
from segfield.data.augmentation import AugmentationConfig
from segfield.data.scenes import open_scenes
from segfield.drawing import draw_legend
from segfield.evaluation.edges import contour, square_depth, square_distance
from segfield.inference.tiles import TilePlan, blend_weights
from segfield.losses.weight_map import border_weight_map
from segfield.segmenter import Segmenter

matplotlib.use("svg")
matplotlib.rcParams.update({"svg.hashsalt": "segfield", "svg.fonttype": "none", "font.family": "sans-serif"})
import matplotlib.pyplot as plt  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent))
import draw_cells  # noqa: E402

PICTURES = Path(__file__).parent / "pictures"
WHITE = 255
CELLS = ClassTable(("background", "cell"), ((0, 0, 0), (255, 176, 0)))


def save(name: str, picture: np.ndarray, colours: int = 128, enlarge: int = 1) -> None:
    """A palette PNG: a picture of the documentation, not data."""
    image = Image.fromarray(np.ascontiguousarray(picture)).quantize(colours, dither=Image.Dither.NONE)
    if enlarge > 1:
        image = image.resize((image.width * enlarge, image.height * enlarge), Image.Resampling.NEAREST)
    image.save(PICTURES / name, optimize=True)


def beside(*pictures: np.ndarray, gap: int = 6) -> np.ndarray:
    """(H, W, 3) pictures of one height in a row, with white between."""
    space = np.full((pictures[0].shape[0], gap, 3), WHITE, np.uint8)
    return np.hstack([part for picture in pictures for part in (picture, space)][:-1])


def above(*pictures: np.ndarray, gap: int = 6) -> np.ndarray:
    """(H, W, 3) pictures in a column, padded with white to the widest."""
    width = max(picture.shape[1] for picture in pictures)
    rows = []
    for picture in pictures:
        rows.append(np.pad(picture, ((0, gap), (0, width - picture.shape[1]), (0, 0)), constant_values=WHITE))
    return np.vstack(rows)[:-gap]


def grey(values: np.ndarray) -> np.ndarray:
    """(H, W) uint8 → (H, W, 3)."""
    return np.repeat(values[..., None], 3, axis=2)


def drawn_scenes() -> None:
    """Three drawn scenes over their labels, with the legend."""
    scenes = open_scenes("count=3,size=144x216,seed=2")
    samples = [scenes[i] for i in range(3)]
    colours = scenes.classes.colour_array()
    images = beside(*(sample.image.transpose(1, 2, 0) for sample in samples))
    labels = beside(*(colours[sample.labels] for sample in samples))
    both = above(images, labels)
    legend = draw_legend(scenes.classes, height=both.shape[0])
    legend = np.pad(legend, ((0, both.shape[0] - legend.shape[0]), (0, 0), (0, 0)), constant_values=WHITE)
    save("scenes.png", np.hstack([both, legend]), colours=96)


def elastic_cells() -> None:
    """A cell picture and four draws of the augmentation from it, their masks and border weights, row by row."""
    image, mask = draw_cells.draw(2)
    labels = (mask == 255).astype(np.uint8)
    weights = border_weight_map(labels, 255)
    config = AugmentationConfig(scale=(1, 1), elastic=10, rotate=20, brightness=0.1, contrast=0.2, flip=False)
    augmentation = Augmentation(config, ignored_id=255)
    views = [(image, labels, weights)]
    for seed in range(4):
        given = torch.from_numpy(image)[None], torch.from_numpy(labels), seed, torch.from_numpy(weights)
        changed, changed_labels, changed_weights = augmentation(*given)
        bent = changed[0].numpy().round().clip(0, 255).astype(np.uint8)
        views.append((bent, changed_labels.numpy(), changed_weights.numpy()))
    colours = np.full((256, 3), 90, np.uint8)
    colours[:2] = CELLS.colours
    heat = matplotlib.colormaps["inferno"]
    rows = [
        beside(*(grey(image) for image, _, _ in views)),
        beside(*(colours[labels] for _, labels, _ in views)),
        beside(*((heat(weights / 11)[..., :3] * 255).astype(np.uint8) for _, _, weights in views)),
    ]
    save("elastic.png", above(*rows), colours=256)


def blending() -> None:
    """The weight of each tile along one axis, and their sum."""
    plan = TilePlan.of(1, 1100, tile=512, margin=64, overlap=160, stride=32)
    figure, axis = plt.subplots(figsize=(7.2, 2.3), layout="constrained")
    total = np.zeros(plan.width)
    for number, (span, weight) in enumerate(zip(plan.columns, blend_weights(plan.columns, plan.margin)), 1):
        pixels = np.arange(span.start, span.stop)
        total[span.start : span.stop] += weight
        (line,) = axis.plot(
            pixels[::4], weight[::4], label=f"tile {number}: {span.start} to {span.stop - 1}", linewidth=2
        )
        axis.fill_between(pixels[::4], weight[::4], alpha=0.12, color=line.get_color())
    axis.plot(np.arange(plan.width)[::4], total[::4], color="0.35", linestyle=":", label="sum")
    axis.set(xlabel="column of the image, pixels", ylabel="weight", ylim=(0, 1.08), xlim=(0, plan.width - 1))
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    figure.savefig(PICTURES / "tiles.svg", metadata={"Date": None})
    plt.close(figure)


def edges() -> None:
    """Truth, a prediction two pixels off, their differences, the trimap bands 3 and 8, and the bands of boundary IoU."""
    scenes = open_scenes("count=1,size=144x216,seed=5")
    labels = scenes[0].labels
    colours = scenes.classes.colour_array()
    predicted = np.roll(labels, 2, axis=1)
    wrong = np.where((predicted != labels)[..., None], np.array([255, 45, 85], np.uint8), colours[labels] // 4)
    distance = square_distance(contour(labels.astype(np.int32))) + 1
    depth = square_depth(labels.astype(np.int32))
    kept = np.where((distance <= 8)[..., None], colours[labels], 255)
    kept = np.where((distance <= 3)[..., None], kept // 2, kept).astype(np.uint8)
    limit = max(1, round(0.02 * float(np.hypot(*labels.shape))))
    band = np.where((depth <= limit)[..., None], colours[labels], 255).astype(np.uint8)
    save("edges.png", beside(colours[labels], wrong.astype(np.uint8), kept, band), colours=48)


def predicted_cells(segmenter: Segmenter, seeds: tuple[int, ...] = (101, 102, 103)) -> None:
    """Image, truth, prediction and errors of cells that no split of the tutorial holds."""
    triples = []
    for seed in seeds:
        image, mask = draw_cells.draw(seed)
        triples.append((image[None], (mask == 255).astype(np.uint8), segmenter(image[None]).labels))
    save("cells_predicted.png", contact_sheet(segmenter.classes, triples)[:-4], colours=64)


if __name__ == "__main__":
    PICTURES.mkdir(exist_ok=True)
    for draw in (drawn_scenes, elastic_cells, blending, edges):
        draw()
    for file in sys.argv[1:]:
        predicted_cells(Segmenter.load(file))
