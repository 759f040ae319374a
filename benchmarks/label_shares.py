"""A data set of which a share of the training images keeps its mask, as a folder as people have it; and one training on it."""

from __future__ import annotations

import argparse
import itertools
import json
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
WEIGHTS = SHARED / "weights" / "mobilenetv2_100.imagenet.safetensors"
IGNORED = 255


def splits(name: str, folder: Path) -> tuple[Any, Any]:
    """(train, val) of the real data: CamVid's own splits; Stanford Background's first fold of the images at hand.

    Args:
        name: 'camvid' or 'stanford'.
        folder: where what is packed is unpacked.
    """
    from segfield.data.formats import open_dataset

    if name == "camvid":
        whole = open_dataset(f"camvid:{SHARED / 'camvid' / 'CamVid'}")
        return whole.split("train"), whole.split("val")
    place = folder / "iccv09Data"
    if not place.is_dir():
        with tarfile.open(SHARED / "stanford_background" / "iccv09Data.tar.xz") as archive:
            archive.extractall(folder, filter="data")
    whole = open_dataset(f"stanford_background:{place}")
    return whole.split("fold1-train"), whole.split("fold1-val")


def write_share(train: Any, val: Any, share: int, seed: int, folder: Path, most: int | None = None) -> str:
    """Write images, masks and the list of both; one of `share` training images keeps its mask. Returns the list's path.

    Those that keep it are the first of a permutation drawn by the seed, so that a smaller share's are among a larger one's.

    Args:
        train, val: labelled samples.
        share: 8 for one eighth.
        seed: of the draw.
        folder: to write into; images that are there stay.
        most: the largest number of training and of validation images; None for all.
    """
    images, masks = folder / "images", folder / "masks"
    for place in (images, masks):
        place.mkdir(parents=True, exist_ok=True)
    names = ",".join(train.classes.names)
    (folder / "classes.yaml").write_text(f"names: [{names}]\nignored_id: {IGNORED}\n", encoding="utf-8")
    order = np.random.default_rng(seed).permutation(len(train))[:most].tolist()
    labelled = set(order[: max(2, -(-len(order) // share))])
    rows = ["image,mask,split"]
    chosen = [(train, index, "train" if index in labelled else "unlabelled") for index in sorted(order)]
    chosen += [(val, index, "val") for index in range(len(val))[:most]]
    for dataset, index, split in chosen:
        name = f"{'val' if split == 'val' else 'train'}{index:04d}.png"
        if not (masks / name).is_file():
            sample = dataset[index]
            Image.fromarray(sample.image.transpose(1, 2, 0)).save(images / name)
            labels = np.where(sample.labels == dataset.classes.ignored_id, IGNORED, sample.labels)
            Image.fromarray(labels.astype(np.uint8)).save(masks / name)
        rows.append(f"images/{name},{'' if split == 'unlabelled' else f'masks/{name}'},{split}")
    file = folder / f"share{share}-seed{seed}.csv"
    file.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return str(file)


def arguments(text: str, name: str, shares: str, ways: str) -> argparse.Namespace:
    """The options of a benchmark over shares of the masks, whose docstring and name are given with its usual shares and ways."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few images and steps; nothing is kept")
    parser.add_argument("--data", default="stanford,camvid", help="data sets, divided by commas")
    parser.add_argument("--shares", default=shares, help="one of so many images has its mask")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--ways", default=ways)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument(
        "--weights", default=str(WEIGHTS), help="ImageNet weights of mobilenetv2_100: a file, or imagenet"
    )
    parser.add_argument("--out", default=f"runs/{name}", help="folder of the runs, taken up where it stands")
    return parser.parse_args()


def measured_rows(
    name: str, options: argparse.Namespace, changes: Callable[[str, int], dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """'DATA 1/SHARE seed N WAY' → what was measured: of the result kept before, and of what the options ask for.

    Args:
        name: of the benchmark.
        options: see `arguments`.
        changes: (way, share) → settings that differ from the common ones.
    """
    from record import RESULTS

    kept = RESULTS / f"{name}.json"
    rows: dict[str, dict[str, Any]] = {}
    if not options.quick and kept.is_file():
        rows = json.loads(kept.read_text(encoding="utf-8"))["details"]["rows"]
    few = slice(1 if options.quick else None)
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) if options.quick else Path(options.out)
        for data in options.data.split(",")[few]:
            train, val = splits(data, out)
            for share, seed in itertools.product(
                map(int, options.shares.split(",")[few]), map(int, options.seeds.split(",")[few])
            ):
                listed = write_share(train, val, share, seed, out / data, 12 if options.quick else None)
                for way in options.ways.split(","):
                    key = f"{data} 1/{share} seed {seed} {way}"
                    place = out / key.replace("/", "-").replace(" ", "-")
                    rows[key] = train_and_score(changes(way, share), listed, place, options.weights, seed, options)
                    print(f"{key}: mIoU {rows[key]['mean_iou']:.2f}, {rows[key]['seconds']:.0f} s", flush=True)
    return rows


def gains(rows: dict[str, dict[str, Any]], plain: str) -> dict[tuple[str, str], list[float]]:
    """(DATA 1/SHARE, WAY) → mIoU minus that of the plain way, of each seed that has both at the same number of steps."""
    found: dict[tuple[str, str], list[float]] = {}
    for key, row in rows.items():
        place, _, rest = key.partition(" seed ")
        seed, _, way = rest.partition(" ")
        alone = rows.get(f"{place} seed {seed} {plain}")
        if way != plain and alone is not None and alone["steps"] == row["steps"]:
            found.setdefault((place, way), []).append(row["mean_iou"] - alone["mean_iou"])
    return found


def spread(values: list[float]) -> dict[str, float]:
    """Mean of a few differences, and the ends of its 95 % interval by Student's t (the value itself where there is one)."""
    from scipy.stats import t

    mean = float(np.mean(values))
    reach = 0.0
    if len(values) > 1:
        reach = float(t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5)
    return {"mean": mean, "low": mean - reach, "high": mean + reach, "runs": len(values)}


def train_and_score(
    changes: dict[str, Any], listed: str, out: Path, weights: str, seed: int, options: argparse.Namespace
) -> dict[str, Any]:
    """Train with some settings, and score the last weights on the validation images at their own size, once."""
    from segfield.commands.train import train
    from segfield.training.recipe import Recipe

    file = out.parent / f"{out.name}.json"
    if file.is_file():
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if found["steps"] != options.steps:
            raise SystemExit(f"{file} is of {found['steps']} steps, not {options.steps}; give another --out")
        return found
    settings: dict[str, Any] = {
        "data": listed, "out": str(out), "model": "deeplabv3plus:mobilenetv2_100", "weights": weights, "keep": "last",
        "options": {"pad_type": "same"}, "loss": "cross_entropy", "batch_size": 8, "steps": options.steps, "seed": seed,
        "learning_rate": 0.002, "encoder_rate": 0.25, "weight_decay": 0.02, "warmup": 0.03, "clip": 5.0, "ema": 0.99,
        "validate_every": 1_000_000, "augment": {"crop": [160, 192], "scale": [0.6, 1.6]},
    }  # fmt: skip
    if options.quick:
        settings |= {"weights": "none", "steps": 2, "batch_size": 2, "augment": {"crop": [64, 64]}}
    began = time.perf_counter()
    run = train(Recipe.from_dict({**settings, **changes}))
    if run.evaluation is None:
        raise SystemExit(f"{out} is finished, but {file} is not there; give another --out")
    evaluation = run.evaluation
    row = {
        "mean_iou": 100 * evaluation.scores.mean_iou,
        "class_accuracy": 100 * evaluation.scores.mean_class_accuracy,
        "pixel_accuracy": 100 * evaluation.scores.pixel_accuracy,
        "interval": [100 * evaluation.mean_iou_interval.low, 100 * evaluation.mean_iou_interval.high],
        "boundary_iou": 100 * evaluation.boundaries.boundary_iou if evaluation.boundaries else None,
        "structure": evaluation.as_dict().get("structure"),
        "steps": settings["steps"],
        "seconds": time.perf_counter() - began,
    }
    file.write_text(json.dumps(row), encoding="utf-8")
    return row
