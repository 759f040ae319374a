"""What a CRF does for one network: without, found by cross-validation, learned behind it, and trained with it (CRF-RNN).

CamVid at one budget for each, several seeds. The network alone gets the whole budget. The CRFs that are tuned and learned stand
behind that one, fitted on images of train that it did not see (every sixth stretch of ten frames, split `tune`); what is
learned starts from what was tuned. Joint training has the same budget in its stages, and its CRF the same start. The last
weights are scored on val, which nothing chose: not even whether the CRF is on.

    python benchmarks/crf_rnn.py --data FOLDER_OF_CAMVID --out FOLDER [--networks NAME,…] [--time 5m] [--seeds 3] [--quick]

The value is the trimap IoU (3 pixels) of joint training minus that of the network alone, in points, over all seeds; its goal
is that the intervals of joint, learned or tuned, and alone are apart in the paper's order. A second call with the same --out
goes on.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from record import record

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"
ORDER = ("alone", "tuned", "learned", "joint")
WIDTH = 3
STRETCH, EVERY = 10, 6
NETWORKS = {  # recipe, and what scores it: at which pixels
    "deeplab_mobilenetv2": "every eighth pixel",
    "unet": "every pixel",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few steps on a few images; nothing is kept")
    parser.add_argument("--data", default=str(SHARED / "camvid" / "CamVid"), help="CamVid in SegNet's layout")
    parser.add_argument("--out", default="runs/crf_rnn", help="folder of the runs, taken up where they stand")
    parser.add_argument(
        "--networks", default="deeplab_mobilenetv2", help=f"of {', '.join(NETWORKS)}, divided by commas"
    )
    parser.add_argument("--time", default="5m", help="budget of each")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, default=16, help="to tune and to learn on")
    options = parser.parse_args()
    if options.quick:
        options.networks, options.seeds, options.images = "unet", 1, 4
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) if options.quick else Path(options.out)
        out.mkdir(parents=True, exist_ok=True)
        data = write_list(Path(options.data), out, options.quick)
        details: dict[str, Any] = {
            "budget of each": "steps" if options.quick else options.time,
            "split": "val; the last weights, which val did not choose",
            "images to tune and learn on": options.images,
            "networks": {},
        }
        for name in options.networks.split(","):
            tallies = {how: [] for how in ORDER}  # type: dict[str, list[Any]]
            for seed in range(options.seeds):
                for how, counted in one_seed(name, seed, data, out, options).items():
                    tallies[how].append(counted)
            details["networks"][name] = told = compared(tallies)
            told["scores"] = NETWORKS[name]
            print(name, json.dumps(told), flush=True)
    first = details["networks"][options.networks.split(",")[0]]
    value = first["trimap gains over alone"]["joint"]["value"]
    versus = "the same network alone at the same budget; met where joint, tuned or learned, and alone are apart in this order"
    record(
        "crf_rnn",
        value,
        "points of trimap IoU, 3 pixels",
        versus,
        0.0,
        first["in order and apart"],
        details,
        options.quick,
    )


def write_list(data: Path, out: Path, quick: bool) -> str:
    """CamVid as a list of pairs with the splits train, tune and val; and its classes. Shrunk to a few small ones if quick."""
    from segfield.data.formats import open_dataset

    (out / "classes.json").write_text(json.dumps(open_dataset(f"camvid:{data}").classes.as_dict()), encoding="utf-8")
    lines = ["image,mask,split"]
    for split in ("train", "val"):
        images = sorted(path for path in (data / split).iterdir() if path.suffix in (".png", ".jpg"))
        for number, image in enumerate(images[: 12 if split == "train" else 2] if quick else images):
            part = "tune" if split == "train" and number // (2 if quick else STRETCH) % EVERY == EVERY - 1 else split
            pair = [image, data / (split + "annot") / image.with_suffix(".png").name]
            if quick:
                pair = [shrunk(path, out / f"{split}{number}{kind}.png") for path, kind in zip(pair, ("", "_mask"))]
            lines.append(f"{pair[0]},{pair[1]},{part}")
    target = out / "pairs.csv"
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(target)


def shrunk(path: Path, target: Path) -> Path:
    """Every fifth pixel of a picture."""
    from PIL import Image

    with Image.open(path) as picture:
        picture.resize((picture.width // 5, picture.height // 5), Image.Resampling.NEAREST).save(target)
    return target


def one_seed(name: str, seed: int, data: str, out: Path, options: argparse.Namespace) -> dict[str, Any]:
    """how → (2, 3, N, K) tallies on val: of whole images, and of the pixels within 3 of a boundary."""
    from segfield.commands.train import train
    from segfield.commands.tune import tune
    from segfield.segmenter import Segmenter
    from segfield.training.recipe import Recipe

    place = out / f"{name}-seed{seed}"
    kept = place / "tallies.npz"
    if kept.is_file():
        return dict(np.load(kept))
    budget = {"time": None, "steps": 20} if options.quick else {"time": options.time}
    classes = str(out / "classes.json")
    settings = Recipe.read(ROOT / "recipes" / f"{name}_scratch.yaml")
    settings |= {"data": data, "classes": classes, "seed": seed, **budget}
    if options.quick:
        settings |= {"options": {"width": 4}, "augment": {"crop": [64, 64]}, "stages": []}
    train(Recipe.from_dict({**settings, "out": str(place / "alone")}))
    file = str(place / "alone" / "segmenter.safetensors")
    common: dict[str, Any] = {
        "split": "tune", "classes": classes, "limit": options.images, "keep": True, "write": False, "folds": 2,
        "overwrite": True,
    }  # fmt: skip
    tuned = tune(file, data, out=str(place / "tuned"), **common).best
    start = str(place / "tuned" / "refiner.json")
    learned = tune(file, data, out=str(place / "learned"), base=start, learn="log_likelihood", **common).best
    train(Recipe.from_dict({**settings, "crf": "joint", "crf_start": start, "out": str(place / "joint")}))
    alone, joint = (Segmenter.load(place / how / "segmenter.safetensors") for how in ("alone", "joint"))
    ways = {
        "alone": (alone, "off"),
        "tuned": (alone, tuned),
        "learned": (alone, learned),
        "joint": (joint, joint.refiner or joint.facts["refiner that was switched off"]),
    }
    counted = {how: tallies(*way, data, classes) for how, way in ways.items()}
    np.savez(kept, **counted)
    return counted


def tallies(segmenter: Any, refine: Any, data: str, table: str) -> Any:
    """(2, 3, N, K) counts of the images of val."""
    from segfield.data.formats import open_dataset
    from segfield.evaluation.boundaries import boundaries
    from segfield.evaluation.confusion import confusion_matrix
    from segfield.evaluation.scores import tally

    val = open_dataset(data, table).split("val")
    classes = val.classes
    whole, edges = [], []
    for index in range(len(val)):
        sample = val[index]
        assert sample.labels is not None
        found = segmenter(sample.image, refine=refine).labels
        whole.append(confusion_matrix(sample.labels, found, len(classes), classes.ignored_id))
        edges.append(boundaries(sample.labels, found, len(classes), classes.ignored_id, (WIDTH,)).edge_bands[0])
    return np.stack([tally(np.stack(whole)), tally(np.stack(edges))])


def compared(counted: dict[str, list[Any]]) -> dict[str, Any]:
    """mIoU and trimap IoU of each way in percent, by seed and pooled, and the gains with intervals over images and seeds."""
    from segfield.evaluation.bootstrap import bootstrap_difference
    from segfield.evaluation.scores import mean_iou_from_tally

    told: dict[str, Any] = {}
    pooled = {
        how: np.concatenate(parts, axis=2) for how, parts in counted.items()
    }  # a seed's images are images of their own
    for place, measure in enumerate(("mIoU", "trimap")):
        told[measure] = {
            how: [round(100 * float(mean_iou_from_tally(*part[place].sum(axis=1))), 2) for part in parts]
            for how, parts in counted.items()
        }
        gains = {
            how: bootstrap_difference(pooled["alone"][place], pooled[how][place]).interval
            for how in ORDER
            if how != "alone"
        }
        told[f"{measure} gains over alone"] = {
            how: {"value": 100 * gain.value, "low": 100 * gain.low, "high": 100 * gain.high}
            for how, gain in gains.items()
        }
    separate = max(("tuned", "learned"), key=lambda how: told["trimap gains over alone"][how]["value"])
    step = bootstrap_difference(pooled[separate][1], pooled["joint"][1]).interval
    told["trimap, joint over the better of tuned and learned"] = {
        "better": separate, "value": 100 * step.value, "low": 100 * step.low, "high": 100 * step.high,
    }  # fmt: skip
    told["in order and apart"] = bool(step.low > 0 and told["trimap gains over alone"][separate]["low"] > 0)
    return told


if __name__ == "__main__":
    main()
