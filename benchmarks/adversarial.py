"""Adversarial training: with and without, at an equal number of steps, on CamVid and Stanford Background.

The network, its losses and steps are the same; the adversary is the one of each row. Several seeds, all masks and a share of
them. The last weights are scored, so that the held-out images choose nothing. The value is the gain in mIoU of the best row over
training without, the mean over data sets and seeds; beside it the components that each leaves, against the truth's.

    python benchmarks/adversarial.py --weights FILE_OF_MOBILENETV2 --out FOLDER
    python benchmarks/adversarial_cost.py                   # what a step costs, as a ratio to plain training

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
    "without": {},
    "basic": {"adversary": "largefov", "adversarial": {"weight": 0.1}},
    "scaling": {"adversary": "largefov", "adversarial": {"weight": 0.1, "input": "scaling"}},
    "product": {"adversary": "largefov_light", "adversarial": {"weight": 0.1, "input": "product"}},
    "small field of view": {"adversary": "smallfov_light", "adversarial": {"weight": 0.1}},
    "weight 1": {"adversary": "largefov", "adversarial": {"weight": 1.0}},
    "slow turns": {"adversary": "largefov", "adversarial": {"weight": 0.1, "turns": 50, "adversary_first": 0.1}},
    "hinge": {"adversary": "largefov", "adversarial": {"weight": 0.02, "loss": "hinge", "normalise": True}},
}
PUBLISHED = {"Stanford Background, from memory": {"without": 51.3, "with": 54.3}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few images and steps; nothing is kept")
    parser.add_argument("--data", default="stanford,camvid", help="data sets, divided by commas")
    parser.add_argument("--shares", default="8,4,1", help="one of so many images has its mask")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--ways", default="without,basic")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--weights", help="ImageNet weights of mobilenetv2_100: a file, or imagenet")
    parser.add_argument("--out", default="runs/adversarial", help="folder of the runs, taken up where it stands")
    options = parser.parse_args()
    from label_shares import WEIGHTS, splits, train_and_score, write_share
    from record import RESULTS, record

    weights = options.weights or str(WEIGHTS)
    kept = RESULTS / "adversarial.json"
    rows: dict[str, Any] = {}
    if not options.quick and kept.is_file():
        rows = json.loads(kept.read_text(encoding="utf-8"))["details"]["rows"]
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) if options.quick else Path(options.out)
        few = slice(1 if options.quick else None)
        for data in options.data.split(",")[few]:
            train, val = splits(data, out)
            for share in options.shares.split(",")[few]:
                for seed in options.seeds.split(",")[few]:
                    listed = write_share(train, val, int(share), int(seed), out / data, 12 if options.quick else None)
                    for way in options.ways.split(","):
                        key = f"{data} 1/{share} seed {seed} {way}"
                        place = out / key.replace("/", "-").replace(" ", "-")
                        rows[key] = train_and_score(WAYS[way], listed, place, weights, int(seed), options)
                        print(f"{key}: mIoU {rows[key]['mean_iou']:.2f}, {rows[key]['seconds']:.0f} s", flush=True)
    value, gains = summary(rows)
    record(
        "adversarial",
        value,
        "mIoU points gained",
        "the same network and steps without an adversary; published, from memory: 51.3 to 54.3 on Stanford Background",
        0.0,
        value > 0,
        {"rows": rows, "gains": gains, "published": PUBLISHED},
        quick=options.quick,
    )


def summary(rows: dict[str, Any]) -> tuple[float, dict[str, Any]]:
    """The largest mean gain of a way over training without, and every gain."""
    from label_shares import spread

    gains: dict[str, list[float]] = {}
    for key, row in rows.items():
        way = next(way for way in sorted(WAYS, key=len, reverse=True) if key.endswith(f" {way}"))
        place = key.removesuffix(f" {way}")
        alone = rows.get(f"{place} without")
        if way != "without" and alone is not None:
            gains.setdefault(way, []).append(row["mean_iou"] - alone["mean_iou"])
    means = {name: spread(values) for name, values in gains.items()}
    return max((found["mean"] for found in means.values()), default=0.0), {"each": gains, "mean": means}


if __name__ == "__main__":
    main()
