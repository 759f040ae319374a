"""`segfield demo`: the whole road on drawn street scenes: train, find a CRF, evaluate on unseen scenes, predict, look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from segfield.classes import Array, ClassTable
    from segfield.data.dataset import Sample
    from segfield.segmenter import Segmenter
    from segfield.training.recipe import Recipe


@dataclass(frozen=True)
class Demo:
    """What the demo leaves: the segmenter, the report on unseen scenes, and a picture of some of them."""

    segmenter: Path
    report: Path
    picture: Path
    mean_iou: float


def demo(out: str = "demo", *, steps: int = 1400, count: int = 120, size: str = "160x240", seed: int = 0) -> Demo:
    """The whole road in minutes: draw street scenes, train a small U-Net, find a dense CRF for it, score both on unseen scenes.

    The training is of so many steps in one precision, so that it ends alike on quick and slow machines.

    Args:
        out: folder for everything; a second demo needs another.
        steps: of the training, four scenes each.
        count: scenes to draw, 10 or more; 60 % train, 20 % val, 20 % test.
        size: HxW of the scenes, pixels.
        seed: of the scenes and the training.

    Raises:
        SettingError: if a setting is out of range.
    """
    from rich.console import Console

    from segfield.commands.evaluate import evaluate
    from segfield.commands.train import train
    from segfield.commands.tune import tune
    from segfield.data.formats import open_dataset
    from segfield.data.images import write_png
    from segfield.data.output_plan import Output, OutputFolder
    from segfield.errors import SettingError
    from segfield.segmenter import Segmenter

    if count < 10:
        raise SettingError(f"count is {count} scenes; give 10 or more, so that each split has some")
    console = Console()
    folder = Path(out)
    picture = folder / "demo.png"
    place = OutputFolder(folder, "demo")
    place.check([Output(picture)])
    data = f"scenes:count={count},size={size},seed={seed}"
    console.print(f"[bold]1 of 5[/] a data set: {data}")
    dataset = open_dataset(data)
    console.print(f"[bold]2 of 5[/] train a small U-Net for {steps} steps (segfield train)")
    run = train(_recipe(data, str(folder / "run"), steps, seed))
    console.print("[bold]3 of 5[/] find a dense CRF that cleans its edges, on unseen scenes (segfield tune)")
    tune(str(run.segmenter), data, out=str(folder / "tuning"), limit=12, folds=3, rounds=0, overwrite=True)
    console.print("[bold]4 of 5[/] score it on scenes it never saw (segfield evaluate)")
    evaluation = evaluate(str(run.segmenter), data, split="test", out=str(folder / "test"), overwrite=True)
    console.print("[bold]5 of 5[/] predict, and draw what was found (segfield predict is for files)")
    segmenter = Segmenter.load(run.segmenter)
    test = dataset.split("test")
    with place.writing():
        write_png(picture, _sheet(segmenter, [test[i] for i in range(min(4, len(test)))]))
    console.print(
        f"test mIoU {100 * evaluation.scores.mean_iou:.1f}. Look at {picture} and open {folder / 'test' / 'report.html'}",
        highlight=False,
        soft_wrap=True,
    )
    return Demo(run.segmenter, folder / "test" / "report.html", picture, evaluation.scores.mean_iou)


def _recipe(data: str, out: str, steps: int, seed: int) -> Recipe:
    """A U-Net that scores every fourth pixel: many more steps in the time, and edges that are left to the CRF."""
    from segfield.data.augmentation import AugmentationConfig
    from segfield.training.recipe import Recipe

    return Recipe(
        data=data,
        out=out,
        model="unet_padded",
        weights="none",
        options={"width": 32, "levels": 4, "scores_stride": 4},
        steps=steps,
        batch_size=4,
        learning_rate=5e-3,
        loss="cross_entropy+0.5*lovasz",
        rare_crops=0.3,
        augment=AugmentationConfig(scale=(0.75, 1.5)),
        ema=0.99,
        keep="last",
        validate_every=20,
        precision="32-true",
        device="cpu",
        seed=seed,
    )


def _sheet(segmenter: Segmenter, samples: Sequence[Sample]) -> Array:
    """Image, truth, what the network says, what the CRF makes of it, and errors, with titles and legend: (h, w, 3) uint8."""
    import numpy as np

    from segfield.drawing import with_legend, with_titles

    ways: tuple[Literal["off", "auto"], ...] = ("off", "auto") if segmenter.refiner else ("off",)
    rows = [
        (sample.image, sample.labels, *(segmenter(sample.image, refine=refine).labels for refine in ways))
        for sample in samples
        if sample.labels is not None
    ]
    titles = ("image", "truth", *("network", "network + CRF")[: len(ways)], "errors")
    sheet = with_titles(contact_sheet(segmenter.classes, rows), titles)
    return with_legend(sheet, np.stack([row[1] for row in rows]), segmenter.classes)


def contact_sheet(classes: ClassTable, rows: Sequence[tuple[Array, ...]]) -> Array:
    """Rows of image, truth, predictions, and where the last prediction is wrong (red).

    Args:
        classes: gives the colours.
        rows: image (C, H, W), labels (H, W) and predicted labels (H, W), one or several, all of one size.

    Returns:
        (lines, columns, 3) uint8.
    """
    import numpy as np

    from segfield.data.preview import preview

    colours = classes.colour_array()
    lines: list[Array] = []
    for image, labels, *predicted in rows:
        shown = preview(image)
        wrong = (predicted[-1] != labels) & (labels != classes.ignored_id)
        errors = np.where(wrong[..., None], np.array([220, 40, 40], np.uint8), shown // 3).astype(np.uint8)
        gap = np.full((shown.shape[0], 4, 3), 255, np.uint8)
        pictures = [shown, *(colours[each] for each in (labels, *predicted)), errors]
        lines.append(np.hstack([part for each in pictures for part in (gap, each)][1:]))
        lines.append(np.full((4, lines[-1].shape[1], 3), 255, np.uint8))
    return np.vstack(lines)
