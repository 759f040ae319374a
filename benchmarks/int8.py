"""What 8-bit integers cost and bring: networks trained for a while on CamVid, exported as float32 and by `--int8`, on the CPU.

The ranges of values come from 32 images of train; mIoU is of val, whole images, the last weights, so that val chose nothing.
Times are those of the network alone on one image of val, all files and engines in turn. The value is how much faster the
integers are, over the quickest float32, for the first network; the goal is met if it costs at most one point of mIoU as well.

    python benchmarks/int8.py [--data FOLDER_OF_CAMVID] [--networks icnet,…] [--time 5m] [--segmenters NAME=FILE,…]

`--segmenters` takes files trained before, in place of training. `--quick` trains one for seconds and keeps nothing.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"
GOAL, MOST_LOST = 1.5, 1.0
ENGINES = ("openvino", "onnxruntime")
IMAGES = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="seconds of training, few images; nothing is kept")
    parser.add_argument("--data", default=str(SHARED / "camvid" / "CamVid"), help="CamVid in SegNet's layout")
    parser.add_argument("--networks", default="icnet,deeplab_mobilenetv2", help="recipes/NAME_scratch.yaml each")
    parser.add_argument("--segmenters", default="", help="NAME=FILE of trained ones, divided by commas")
    parser.add_argument("--time", default="5m", help="of training each")
    parser.add_argument("--turns", type=int, default=20)
    options = parser.parse_args()
    from record import record
    from segfield.inference.devices import set_threads

    set_threads()
    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        if options.segmenters:
            files = dict(given.split("=", 1) for given in options.segmenters.split(","))
            trained = "as given"
        else:
            names = ["unet"] if options.quick else options.networks.split(",")
            files = {name: trained_network(name, Path(folder), options) for name in names}
            trained = f"{options.time} from scratch"
        for name, file in files.items():
            rows[name] = compared(file, Path(folder), options)
            print(name, rows[name], flush=True)
    first = next(iter(rows))
    value, lost = rows[first]["times as fast"], rows[first]["mIoU"]["float32"] - rows[first]["mIoU"]["int8"]
    record(
        "int8",
        value,
        f"times as fast as the quickest float32 ({first})",
        f"its own float32 file by OpenVINO and ONNX Runtime; met if it loses no more than {MOST_LOST:g} point of mIoU, too",
        GOAL,
        value >= GOAL and lost <= MOST_LOST,
        {"training": trained, "images for the ranges": IMAGES, "split": "val, which chose nothing", "rows": rows},
        quick=options.quick,
    )


def trained_network(name: str, folder: Path, options: argparse.Namespace) -> str:
    """Train a recipe's network, keeping the last weights; the segmenter's file."""
    from segfield.commands.train import train
    from segfield.training.recipe import Recipe

    settings = Recipe.read(ROOT / "recipes" / f"{name}_scratch.yaml")
    settings |= {"data": f"camvid:{options.data}", "time": options.time, "keep": "last", "out": str(folder / name)}
    if options.quick:
        settings |= {"time": None, "steps": 10, "options": {"width": 4}, "augment": {"crop": [64, 64]}, "stages": []}
    return str(train(Recipe.from_dict(settings)).segmenter)


def compared(file: str, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """mIoU and pixel accuracy of both, sizes of the files, and milliseconds of the network by engine."""
    import numpy as np

    from segfield.data.formats import open_dataset
    from segfield.exported import ExportedSegmenter, export_segmenter, quantise_segmenter
    from segfield.inference.scoring import evaluate_segmenter
    from segfield.segmenter import Segmenter

    dataset = open_dataset(f"camvid:{options.data}")
    train, val = dataset.split("train"), dataset.split("val")
    count = 2 if options.quick else IMAGES
    val = val.subset(range(2), "val") if options.quick else val
    chosen = train.subset([n * len(train) // count for n in range(count)])
    whole = export_segmenter(Segmenter.load(file, "cpu"), folder / "whole.onnx")
    integers = quantise_segmenter(whole, folder / "int8.onnx", (sample.image.astype("float32") for sample in chosen))
    told: dict[str, Any] = {"mIoU": {}, "pixel accuracy": {}, "MiB": {}, "milliseconds": {}}
    runs = {}
    for precision, exported in (("float32", whole), ("int8", integers)):
        found, _ = evaluate_segmenter(
            ExportedSegmenter.load(exported), val, boundaries=False, calibration=False, worst=0, refine="off"
        )
        told["mIoU"][precision] = round(100 * found.scores.mean_iou, 2)
        told["pixel accuracy"][precision] = round(100 * found.scores.pixel_accuracy, 2)
        told["MiB"][precision] = round(exported.stat().st_size / 2**20, 2)
        for engine in ENGINES:
            runs[f"{precision} {engine}"] = ExportedSegmenter.load(exported, engine)  # type: ignore[arg-type]
    image = val[0].image[None].astype(np.float32)
    told["image"] = list(image.shape[2:])
    told["milliseconds"] = times = timed(runs, image, 2 if options.quick else options.turns)
    quickest = {
        precision: min(value for name, value in times.items() if name.startswith(precision))
        for precision in told["MiB"]
    }
    told["times as fast"] = round(quickest["float32"] / quickest["int8"], 3)
    return told


def timed(runs: dict[str, Any], image: Any, turns: int) -> dict[str, float]:
    """Median milliseconds of each, in turn."""
    import torch

    tensor = torch.from_numpy(image)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(turns + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run.window_logits(tensor)
            if turn:  # the first prepares
                seconds[name].append(time.perf_counter() - start)
    return {name: round(1000 * statistics.median(values), 2) for name, values in seconds.items()}


if __name__ == "__main__":
    main()
