"""Stanford Background by folds: U-Net from scratch, at a published run's settings and at ours, and the best network at hand.

The published figures from scratch are 82.39 pixel accuracy and 64.63 mIoU on 143 images, trained on the other 572. The best
network stands on ImageNet weights, and its unit says so. The last weights are scored, so that the held-out fold chooses
nothing. The value is the best network's mIoU in percent over the folds that were run, pooled; where not all 715 images are
there, the folds are cut from those that are, and the result says how many.

    python benchmarks/stanford.py --models stanford_deeplabv3plus_mobilenetv2 --weights FILE --out FOLDER
    python benchmarks/stanford.py --models stanford_scratch --time 20m --folds 1 --data FOLDER_OF_iccv09Data --out FOLDER

A second call with the same --out goes on; rows of recipes that are not trained now are kept from the last result. `--quick`
trains for two steps on one fold and keeps nothing.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tarfile
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"
GOAL = 64.63
PUBLISHED = {"U-Net 256×320, AdamW 2e-4, 100 epochs, 572/143": {"pixel_accuracy": 82.39, "mean_iou": 64.63}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two steps; nothing is kept")
    parser.add_argument(
        "--data", help="iccv09Data; by default the packed copy beside the project, unpacked for the run"
    )
    parser.add_argument("--out", default="runs/stanford", help="folder of the runs, taken up where it stands")
    parser.add_argument("--time", help="budget of each training, in place of the recipe's own")
    parser.add_argument("--folds", default="1,2,3,4,5")
    parser.add_argument(
        "--models", default="unet_stanford,stanford_scratch", help="recipes, by their files' stems, divided by commas"
    )
    parser.add_argument("--weights", help="ImageNet weights for the recipes that want them: a file, or imagenet")
    options = parser.parse_args()
    from record import RESULTS, record

    with tempfile.TemporaryDirectory() as folder:
        data = options.data or unpacked(Path(folder))
        out = Path(folder) / "runs" if options.quick else Path(options.out)
        names = options.models.split(",")[: 1 if options.quick else None]
        folds = [int(fold) for fold in options.folds.split(",")][: 1 if options.quick else None]
        rows = {name: over_folds(name, data, out, folds, options) for name in names}
    kept = RESULTS / "stanford.json"
    if not options.quick and kept.is_file():
        rows = json.loads(kept.read_text(encoding="utf-8"))["details"]["rows"] | rows
    for name, row in rows.items():
        print(f"{name:35s} mIoU {row['mean_iou']:.2f}, pixel accuracy {row['pixel_accuracy']:.2f}", flush=True)
    best = max(rows.values(), key=lambda row: row["mean_iou"])
    start = "from scratch" if best["recipe"]["weights"] == "none" else "from ImageNet weights"
    record(
        "stanford",
        best["mean_iou"],
        f"mIoU %, {best['recipe']['model']} {start}",
        "a published U-Net from scratch, 572/143: 64.63 mIoU, 82.39 pixel accuracy",
        GOAL,
        best["mean_iou"] >= GOAL and best["pixel_accuracy"] >= 82.39,
        {"rows": rows, "published": PUBLISHED},
        quick=options.quick,
    )


def over_folds(name: str, data: str, out: Path, folds: list[int], options: argparse.Namespace) -> dict[str, Any]:
    """One recipe over the folds: counts pooled over all held-out images, and each fold's own scores."""
    from segfield.commands.train import train
    from segfield.data.formats import open_dataset
    from segfield.evaluation.bootstrap import bootstrap_iou
    from segfield.evaluation.confusion import ConfusionMatrix
    from segfield.evaluation.scores import scores_from_confusion, tally
    from segfield.segmenter import Segmenter
    from segfield.training.recipe import Recipe

    given = Recipe.load(ROOT / "recipes" / f"{name}.yaml")
    if given.weights != "none" and options.weights:
        given = dataclasses.replace(given, weights=options.weights)
    if options.quick:
        given = dataclasses.replace(given, epochs=None, time=None, steps=2, options={"width": 4})
    elif options.time:
        given = dataclasses.replace(given, epochs=None, time=options.time)
    source = f"stanford_background:{data}"
    pooled, tallies, each = None, [], []
    for fold in folds:
        splits = {"train_split": f"fold{fold}-train", "val_split": f"fold{fold}-val"}
        place = {"data": source, "out": str(out / f"{name}-fold{fold}"), "keep": "last"}
        run = train(dataclasses.replace(given, **splits, **place))
        segmenter, held_out = Segmenter.load(run.segmenter), open_dataset(source).split(splits["val_split"])
        matrix = ConfusionMatrix(len(segmenter.classes), segmenter.classes.ignored_id)
        for index in range(8 if options.quick else len(held_out)):
            sample = held_out[index]
            predicted = segmenter(sample.image).labels
            matrix.update(sample.labels, predicted)
            alone = ConfusionMatrix(len(segmenter.classes), segmenter.classes.ignored_id)
            alone.update(sample.labels, predicted)
            tallies.append(tally(alone.counts))
        pooled = matrix.counts if pooled is None else pooled + matrix.counts
        scores = scores_from_confusion(matrix.counts, segmenter.classes.names)
        each.append(
            {
                "fold": fold,
                "images": len(held_out),
                "mean_iou": 100 * scores.mean_iou,
                "pixel_accuracy": 100 * scores.pixel_accuracy,
            }
        )
    scores = scores_from_confusion(pooled, segmenter.classes.names)
    weights = given.weights if given.weights in ("none", "imagenet") else Path(given.weights).name
    import numpy as np

    interval, _ = bootstrap_iou(np.stack(tallies, axis=1))
    return {
        "mean_iou": 100 * scores.mean_iou,
        "interval": [100 * interval.low, 100 * interval.high],
        "pixel_accuracy": 100 * scores.pixel_accuracy,
        "class_accuracy": 100 * scores.mean_class_accuracy,
        "budget": f"{given.epochs} epochs" if given.epochs else str(given.time),
        "folds": each,
        "recipe": json.loads(json.dumps({**given.as_dict(), "data": None, "out": None, "weights": weights})),
    }


def unpacked(folder: Path) -> str:
    """The packed copy of the data set, unpacked into `folder`."""
    with tarfile.open(SHARED / "stanford_background" / "iccv09Data.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return str(folder / "iccv09Data")


if __name__ == "__main__":
    main()
