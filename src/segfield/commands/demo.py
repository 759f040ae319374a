"""`segfield demo`: the whole road on drawn street scenes: train, evaluate on unseen scenes, predict, look."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from segfield.classes import Array, ClassTable


@dataclass(frozen=True)
class Demo:
    """What the demo leaves: the segmenter, the report on unseen scenes, and a picture of some of them."""

    segmenter: Path
    report: Path
    picture: Path
    mean_iou: float


def demo(out: str = "demo", *, time: str = "120s", count: int = 120, size: str = "160x240", seed: int = 0) -> Demo:
    """The whole road in minutes: draw street scenes, train a small U-Net, score it on unseen scenes, predict, show.

    Args:
        out: folder for everything; a second demo needs another.
        time: training time.
        count: scenes to draw; 60 % train, 20 % val, 20 % test.
        size: HxW of the scenes, pixels.
        seed: of the scenes and the training.
    """
    from rich.console import Console

    from segfield.commands.evaluate import evaluate
    from segfield.commands.train import train
    from segfield.data.formats import open_dataset
    from segfield.data.images import write_png
    from segfield.segmenter import Segmenter
    from segfield.training.recipe import Recipe

    console = Console()
    folder = Path(out)
    data = f"scenes:count={count},size={size},seed={seed}"
    console.print(f"[bold]1 of 4[/] a data set: {data}")
    recipe = Recipe(
        data=data,
        out=str(folder / "run"),
        model="unet_padded",
        weights="none",
        options={"width": 16},
        time=time,
        batch_size=8,
        learning_rate=5e-3,
        loss="cross_entropy+dice",
        ema=0.99,
        validate_every=5,
        seed=seed,
    )
    console.print(f"[bold]2 of 4[/] train a small U-Net for {time} (segfield train)")
    run = train(recipe)
    console.print("[bold]3 of 4[/] score it on scenes it never saw (segfield evaluate)")
    evaluation = evaluate(str(run.segmenter), data, split="test", out=str(folder / "test"), overwrite=True)
    console.print("[bold]4 of 4[/] predict, and draw what came out (segfield predict does this for files)")
    segmenter = Segmenter.load(run.segmenter)
    test = open_dataset(data).split("test")
    picture = folder / "demo.png"
    samples = [test[i] for i in range(min(4, len(test)))]
    triples = [(s.image, s.labels, segmenter(s.image).labels) for s in samples if s.labels is not None]
    write_png(picture, contact_sheet(segmenter.classes, triples))
    console.print(
        f"test mIoU {100 * evaluation.scores.mean_iou:.1f}. Look at {picture} and open {folder / 'test' / 'report.html'}",
        highlight=False,
        soft_wrap=True,
    )
    return Demo(run.segmenter, folder / "test" / "report.html", picture, evaluation.scores.mean_iou)


def contact_sheet(classes: ClassTable, triples: list[tuple[Array, Array, Array]]) -> Array:
    """Rows of image, truth, prediction, and where they differ (red).

    Args:
        classes: gives the colours.
        triples: image (C, H, W), labels (H, W) and predicted labels (H, W), all of one size.

    Returns:
        (rows, columns, 3) uint8.
    """
    import numpy as np

    from segfield.data.preview import preview

    colours = classes.colour_array()
    rows: list[Array] = []
    for image, labels, predicted in triples:
        shown = preview(image)
        wrong = (predicted != labels) & (labels != classes.ignored_id)
        errors = np.where(wrong[..., None], np.array([220, 40, 40], np.uint8), shown // 3).astype(np.uint8)
        gap = np.full((shown.shape[0], 4, 3), 255, np.uint8)
        rows.append(np.hstack([shown, gap, colours[labels], gap, colours[predicted], gap, errors]))
        rows.append(np.full((4, rows[-1].shape[1], 3), 255, np.uint8))
    return np.vstack(rows)
