"""Every classic network on CamVid from scratch, at one budget: recipes/*_scratch.yaml by `segfield compare`, scored on val.

Trained on train alone; the last weights are scored, so that val chose nothing. The published from-scratch figures are of the
test split, which is not at hand, and of trainings of hours or days on GPUs. Val is one clip of a drive that train also shows,
and scores higher than test: a plain script had 67.5 on val and 60.4 on test. The value is SegNet-Basic's val mIoU in percent,
its goal the paper's 47.7 on test.

    python benchmarks/camvid_lineup.py --data FOLDER_OF_CAMVID --out FOLDER [--time 20m] [--seeds 1] [--only segnet_basic,icnet]

A second call with the same --out goes on; rows of networks that are not trained now are kept from the last result at the same
budget. `--quick` trains one network for seconds and keeps nothing.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"
GOAL = 47.7
PUBLISHED_ON_TEST = {
    "SegNet-Basic": 47.7,
    "best FCN-Basic variant": 50.1,
    "ENet": 51.3,
    "classic upsampling": 55.2,
    "FCN-8 (called pretrained in one version of its table)": 57.0,
    "FC-DenseNet67": 65.8,
    "FC-DenseNet103": 66.9,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="seconds of training; nothing is kept")
    parser.add_argument("--data", default=str(SHARED / "camvid" / "CamVid"), help="CamVid in SegNet's layout")
    parser.add_argument(
        "--out", default="runs/camvid_lineup", help="folder of the comparison, taken up where it stands"
    )
    parser.add_argument("--time", default="20m", help="budget of each training")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", help="names of networks, divided by commas; all by default")
    options = parser.parse_args()
    from record import RESULTS, machine, record
    from segfield.commands.compare import compare
    from segfield.training.recipe import Recipe

    paths = [
        path for path in sorted((ROOT / "recipes").glob("*_scratch.yaml")) if "camvid" in Recipe.read(path)["data"]
    ]
    known = {path.stem.removesuffix("_scratch"): path for path in paths}
    wanted = options.only.split(",") if options.only else ["icnet"] if options.quick else list(known)
    there = [path.name.rpartition("_scratch-seed")[0] for path in (Path(options.out) / "runs").glob("*_scratch-seed0")]
    if not options.quick:
        wanted += [name for name in sorted(there) if name not in wanted]  # finished ones are passed over
    with tempfile.TemporaryDirectory() as folder:
        budget = {"steps": 2} if options.quick else {"time": options.time}
        out = str(Path(folder) / "comparison") if options.quick else options.out
        data = f"camvid:{options.data}"
        if options.quick:
            data = few_images(Path(options.data), Path(folder) / "few")
        comparison = compare([str(known[name]) for name in wanted], data=data, out=out, seeds=options.seeds, **budget)
    rows = {row.name.removesuffix("_scratch"): row_facts(row) for row in comparison.rows if row.runs}
    before = {} if options.quick else kept_details(RESULTS / "camvid_lineup.json", options.time)
    kept = before.get("rows", {})
    for name, row in rows.items():
        same = kept.get(name, {}).get("training_seconds") == row["training_seconds"]
        row["cpu"] = kept[name]["cpu"] if same else machine()["cpu"]  # the one that trained it
    rows, redone = kept | rows, {row.name for row in comparison.rows}
    ranked = dict(sorted(rows.items(), key=lambda item: -item[1]["mean_iou"]))
    for name, row in ranked.items():
        print(f"{name:20s} {row['mean_iou']:.2f} mIoU on val", flush=True)
    value = rows["segnet_basic"]["mean_iou"] if "segnet_basic" in rows else next(iter(ranked.values()))["mean_iou"]
    record(
        "camvid_lineup",
        value,
        "mIoU % on val, SegNet-Basic",
        "47.7 on test in its paper; the others are in the details",
        GOAL,
        value >= GOAL,
        {
            "budget of each": options.time,
            "split": "val (101 images); the test split of the published figures is not at hand",
            "rows": ranked,
            "failures": [f"{failed.recipe}: {failed.reason}" for failed in comparison.failures],
            "differences": [
                *[pair.as_dict() for pair in comparison.neighbours],
                *[pair for pair in before.get("differences", []) if not {pair["better"], pair["worse"]} & redone],
            ],
            "published_on_test": PUBLISHED_ON_TEST,
        },
        quick=options.quick,
    )


def row_facts(row: Any) -> dict[str, Any]:
    """What is kept of a network: scores in percent with the bootstrap interval over images, and its costs."""
    from segfield.evaluation.bootstrap import bootstrap_iou
    from segfield.evaluation.comparison import unrefined

    alone = {"mean_iou_unrefined": 100 * unrefined(row.runs)[row.name]} if row.name in unrefined(row.runs) else {}
    interval, _ = bootstrap_iou(row.runs[0].tallies)
    told = row.as_dict()
    return {
        **{
            key: value
            for key, value in told.items()
            if key not in ("recipe", "runs", "failures", "mean_iou", "deviation")
        },
        "mean_iou": 100 * row.mean_iou,
        **alone,
        "deviation": None if told["deviation"] is None else 100 * told["deviation"],
        "interval of the first seed": [100 * interval.low, 100 * interval.high],
        "seeds": len(row.runs),
    }


def kept_details(path: Path, budget: str) -> dict[str, Any]:
    """Details of the last result, if its budget was the same."""
    if not path.is_file():
        return {}
    details: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["details"]
    return details if details["budget of each"] == budget else {}


def few_images(data: Path, folder: Path) -> str:
    """Four images to train on and two to score, as a list of pairs."""
    folder.mkdir()
    lines = ["image,mask,split"]
    for split, count in (("train", 4), ("val", 2)):
        for image in sorted((data / split).iterdir())[:count]:
            lines.append(f"{image},{data / (split + 'annot') / image.with_suffix('.png').name},{split}")
    (folder / "pairs.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(folder / "pairs.csv")


if __name__ == "__main__":
    main()
