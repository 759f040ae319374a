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
    from label_shares import WEIGHTS, splits, train_and_score, write_share
    from record import RESULTS, record

    weights = options.weights or str(WEIGHTS)
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
                        place = out / key.replace("/", "-").replace(" ", "-")
                        changes = settings_of(way, share)
                        rows[key] = train_and_score(changes, listed, place, weights, seed, options)
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


def settings_of(way: str, share: int) -> dict[str, Any]:
    """What a way adds to a recipe; where every image has its mask, they are taken without once more."""
    settings = WAYS[way]
    return {**settings, "unlabelled": "train"} if "unlabelled" in settings and share == 1 else settings


def summary(rows: dict[str, Any]) -> tuple[float, dict[str, Any]]:
    """Gain of the better way at one eighth (of the smallest share there is, where that was not measured), and all gains."""
    from label_shares import spread

    gains: dict[str, list[float]] = {}
    for key, row in rows.items():
        place, way = next((key.removesuffix(way).strip(), way) for way in WAYS if key.endswith(way))
        alone = rows.get(f"{place} masks alone")
        if way != "masks alone" and alone is not None:
            share = place.split(" seed ")[0].split(" ")[1]
            gains.setdefault(f"{share} {way}", []).append(row["mean_iou"] - alone["mean_iou"])
    means = {name: spread(values) for name, values in gains.items()}
    eighth = [found["mean"] for name, found in means.items() if name.startswith("1/8 ")]
    return max(eighth or [found["mean"] for found in means.values()], default=0.0), {
        "gains": gains,
        "mean gains": means,
    }


if __name__ == "__main__":
    main()
