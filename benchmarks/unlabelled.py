"""Images without masks: what they add where only a share of the training images has a mask, at an equal number of steps.

CamVid and Stanford Background (first fold of the images at hand), one of 16, 8, 4 and 1 images with its mask; masks alone,
with the adversary that chooses pixels to trust (Hung et al. 2018), and by consistency of a weak and a strong view (FixMatch
with CutMix); several seeds, each drawing other masks. The last weights are scored, so that the held-out images choose nothing.
The value is the gain in mIoU of the better of the two ways over masks alone at one eighth, the mean over data sets and seeds.

    python benchmarks/unlabelled.py --weights FILE_OF_MOBILENETV2 --out FOLDER
    python benchmarks/unlabelled.py --data stanford --shares 8 --seeds 0,1,2 --steps 400 --out FOLDER

A second call with the same --out goes on; rows that are not measured now are kept from the last result. `--quick` takes a few
images and steps and keeps nothing.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

WAYS: dict[str, dict[str, Any]] = {
    "masks alone": {},
    "adversary": {
        "adversary": "fully_convolutional", "unlabelled": "unlabelled",
        "adversarial": {"weight": 0.01, "stride": 1}, "semi_supervised": {"weight": 0.1},
    },
    "consistency": {"unlabelled": "unlabelled"},
}  # fmt: skip
GOAL = 3.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few images and steps; nothing is kept")
    parser.add_argument("--data", default="stanford,camvid", help="data sets, divided by commas")
    parser.add_argument("--shares", default="16,8,4,1", help="one of so many images has its mask")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--weights", help="ImageNet weights of mobilenetv2_100: a file, or imagenet")
    parser.add_argument("--out", default="runs/unlabelled", help="folder of the runs, taken up where it stands")
    options = parser.parse_args()
    from label_shares import SHARED, splits, write_share
    from record import RESULTS, record

    weights = options.weights or str(SHARED / "weights" / "mobilenetv2_100.imagenet.safetensors")
    kept = RESULTS / "unlabelled.json"
    rows: dict[str, Any] = {}
    if not options.quick and kept.is_file():
        rows = json.loads(kept.read_text(encoding="utf-8"))["details"]["rows"]
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) if options.quick else Path(options.out)
        for data in options.data.split(",")[: 1 if options.quick else None]:
            train, val = splits(data, out)
            for share in [int(share) for share in options.shares.split(",")][: 1 if options.quick else None]:
                for seed in [int(seed) for seed in options.seeds.split(",")][: 1 if options.quick else None]:
                    most = 12 if options.quick else None
                    listed = write_share(train, val, share, seed, out / data, most)
                    for way in options.ways.split(","):
                        key = f"{data} 1/{share} seed {seed} {way}"
                        rows[key] = one_run(
                            way, listed, out / key.replace("/", "-").replace(" ", "-"), weights, seed, options
                        )
                        print(f"{key}: mIoU {rows[key]['mean_iou']:.2f}, {rows[key]['seconds']:.0f} s", flush=True)
    value, details = summary(rows)
    record(
        "unlabelled",
        value,
        "mIoU points gained at one eighth of the masks",
        "the same network and steps on the masks alone",
        GOAL,
        value >= GOAL,
        {"rows": rows, **details},
        quick=options.quick,
    )


def one_run(way: str, listed: str, out: Path, weights: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Train one way, and score the last weights on the validation images at their own size."""
    from segfield.commands.train import train
    from segfield.training.recipe import Recipe

    file = out.parent / f"{out.name}.json"
    if file.is_file():
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return found
    settings: dict[str, Any] = {
        "data": listed, "out": str(out), "model": "deeplabv3plus:mobilenetv2_100", "weights": weights, "keep": "last",
        "options": {"pad_type": "same"}, "loss": "cross_entropy", "batch_size": 8, "steps": options.steps, "seed": seed,
        "learning_rate": 0.002, "encoder_rate": 0.25, "weight_decay": 0.02, "warmup": 0.03, "clip": 5.0, "ema": 0.99,
        "validate_every": 1_000_000, "augment": {"crop": [160, 192], "scale": [0.6, 1.6]},
    }  # fmt: skip
    if options.quick:
        settings |= {"weights": "none", "steps": 2, "batch_size": 2, "augment": {"crop": [64, 64]}}
    ways = {name: value for name, value in WAYS[way].items() if name != "unlabelled" or "share1-" not in listed}
    if "share1-" in listed and "unlabelled" in WAYS[way]:  # every image has its mask: they are taken without once more
        ways["unlabelled"] = "train"
    began = time.perf_counter()
    run = train(Recipe.from_dict({**settings, **ways}))
    if run.evaluation is None:
        raise SystemExit(f"{out} is finished, but {file} is not there; give another --out")
    row = {
        "mean_iou": 100 * run.evaluation.scores.mean_iou,
        "pixel_accuracy": 100 * run.evaluation.scores.pixel_accuracy,
        "interval": [100 * run.evaluation.mean_iou_interval.low, 100 * run.evaluation.mean_iou_interval.high],
        "steps": settings["steps"],
        "seconds": time.perf_counter() - began,
    }
    file.write_text(json.dumps(row), encoding="utf-8")
    return row


def summary(rows: dict[str, Any]) -> tuple[float, dict[str, Any]]:
    """Gain of the better way at one eighth (of the smallest share there is, where that was not measured), and all gains."""
    gains: dict[str, list[float]] = {}
    for key, row in rows.items():
        place, way = next((key.removesuffix(way).strip(), way) for way in WAYS if key.endswith(way))
        alone = rows.get(f"{place} masks alone")
        if way != "masks alone" and alone is not None:
            share = place.split(" seed ")[0].split(" ")[1]
            gains.setdefault(f"{share} {way}", []).append(row["mean_iou"] - alone["mean_iou"])
    means = {name: sum(values) / len(values) for name, values in gains.items()}
    eighth = [mean for name, mean in means.items() if name.startswith("1/8 ")] or list(means.values()) or [0.0]
    return max(eighth), {"gains": gains, "mean gains": means}


if __name__ == "__main__":
    main()
