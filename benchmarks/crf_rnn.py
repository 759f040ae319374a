"""What a CRF does for one network: without, found by cross-validation, learned behind it, and trained with it (CRF-RNN).

As in the paper the classifier is trained first, once for each seed. From there two runs go on at the same rates for as many
further steps: the network alone, and the network with a CRF, whose steps take longer. Both see images that are neither resized
nor recoloured there: a CRF compares values, and the network alone goes on as it does. The CRFs that are tuned and learned
stand behind the former, fitted on images of train that it did not see (every sixth stretch of ten images, split `tune`); what
is learned, by the soft IoU, starts from what was tuned, and what is trained jointly from what was learned. In joint training
the network's own scores count as much as the refined ones. The last weights are scored on val, which nothing chose: not even
whether the CRF is on.

    python benchmarks/crf_rnn.py --out FOLDER [--set camvid] [--networks NAME,…] [--weights FILE] [--time 8m] [--more 300]

The value is the trimap IoU (3 pixels) of joint training minus that of the network alone, in points, over all seeds, for the
first network on CamVid (else for the first asked for); its goal is that the intervals of joint, learned or tuned, and alone
are apart in the paper's order.
A second call with the same --out goes on; networks that are not run now are kept from the last result. `--quick` takes a few
steps in place of minutes and keeps nothing.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from record import RESULTS, commit, record

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"
ORDER = ("alone", "tuned", "learned", "joint")
OWN = "joint, its network without its CRF"
WIDTH = 3
STRETCH, EVERY = 10, 6
RATE = 0.0003
"""Learning rate of the network in the further steps."""
NETWORK_LOSS = 1.0
"""Weight of the network's own loss in joint training."""
NETWORKS = {  # recipe, and what it scores
    "deeplab_mobilenetv2": "every eighth pixel",
    "unet": "every pixel",
}
HEADLINE = "deeplab_mobilenetv2, camvid, ImageNet weights"
"""Of all that is kept, whose gain is the value."""
SETS = {
    "camvid": SHARED / "camvid" / "CamVid",
    "stanford_background": SHARED / "stanford_background" / "iccv09Data.tar.xz",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few steps on a few images; nothing is kept")
    parser.add_argument("--set", default="camvid", choices=SETS, help="data set")
    parser.add_argument("--data", help="its folder; by default what lies beside the project")
    parser.add_argument("--out", default="runs/crf_rnn", help="folder of the runs, taken up where they stand")
    parser.add_argument(
        "--networks", default="deeplab_mobilenetv2", help=f"of {', '.join(NETWORKS)}, divided by commas"
    )
    parser.add_argument("--weights", help="a file of ImageNet weights for the encoder; from scratch by default")
    parser.add_argument("--time", default="8m", help="budget of the network at first")
    parser.add_argument("--more", type=int, default=300, help="further steps: alone, or with the CRF")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, default=16, help="to tune and to learn on")
    options = parser.parse_args()
    if options.quick:
        options.networks, options.seeds, options.images = "unet", 1, 4
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) if options.quick else Path(options.out)
        out.mkdir(parents=True, exist_ok=True)
        data = write_list(options, out)
        found = {}
        for name in options.networks.split(","):
            tallies = {how: [] for how in (*ORDER, OWN)}  # type: dict[str, list[Any]]
            for seed in range(options.seeds):
                for how, counted in one_seed(name, seed, data, out, options).items():
                    tallies[how].append(counted)
            key = f"{name}, {options.set}, {'ImageNet weights' if options.weights else 'from scratch'}"
            found[key] = {
                "scores": NETWORKS[name],
                "budget": f"{options.time} + {options.more} steps",
                "images to tune and learn on": options.images,
                "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
                "commit": commit(),
                **compared(tallies),
            }
            print(key, json.dumps(found[key]), flush=True)
    kept = RESULTS / "crf_rnn.json"
    if not options.quick and kept.is_file():
        found = json.loads(kept.read_text(encoding="utf-8"))["details"]["networks"] | found
    headline = HEADLINE if HEADLINE in found else next(iter(found))
    record(
        "crf_rnn",
        joint_gain(found[headline]),
        f"points of trimap IoU, 3 pixels ({headline})",
        "the same network alone, trained for as many steps; met where joint, tuned or learned, and alone are apart in this order",
        0.0,
        found[headline]["in order and apart"],
        {"split": "val; the last weights, which val did not choose", "networks": found},
        options.quick,
    )


def joint_gain(told: dict[str, Any]) -> float:
    """Of trimap IoU over the network alone, in points."""
    return float(told["trimap gains over alone"]["joint"]["value"])


def write_list(options: argparse.Namespace, out: Path) -> str:
    """The data set as a list of pairs with the splits train, tune and val; and its classes. If quick, a few small ones."""
    from segfield.data.formats import open_dataset
    from segfield.data.records import FileDataset

    place = Path(options.data or SETS[options.set])
    if place.is_file():
        with tarfile.open(place) as archive:
            archive.extractall(out / "data", filter="data")
        place = out / "data"
    dataset = open_dataset(f"{options.set}:{place}")
    assert isinstance(dataset, FileDataset)
    is_text = Path(str(dataset.records[0].mask)).suffix == ".txt"  # a list of pairs wants pictures
    classes = dataclasses.replace(dataset.classes, source_values={}) if is_text else dataset.classes
    (out / "classes.json").write_text(json.dumps(classes.as_dict()), encoding="utf-8")
    counts = {"train": 0, "val": 0}
    lines = ["image,mask,split"]
    for index, found in enumerate(dataset.records):
        split, number = found.split, counts[found.split]
        if options.quick and number == {"train": 12, "val": 2}[split]:
            continue
        counts[split] += 1
        part = (
            "tune" if split == "train" and number // (2 if options.quick else STRETCH) % EVERY == EVERY - 1 else split
        )
        pair = [found.image, as_picture(dataset, index, out / "masks") if is_text else Path(str(found.mask))]
        if options.quick:
            pair = [shrunk(path, out / f"{split}{number}{kind}.png") for path, kind in zip(pair, ("", "_mask"))]
        lines.append(f"{pair[0]},{pair[1]},{part}")
    target = out / "pairs.csv"
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(target)


def as_picture(dataset: Any, index: int, folder: Path) -> Path:
    """A mask that is a text, as a PNG of ids."""
    from PIL import Image

    folder.mkdir(exist_ok=True)
    target = folder / f"{dataset.records[index].name}.png"
    Image.fromarray(dataset[index].labels).save(target)
    return target


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
    from segfield.crf.refiner import named_refiner
    from segfield.segmenter import Segmenter
    from segfield.training.recipe import Recipe
    from segfield.training.stages import AS_THEY_ARE

    place = out / f"{name}-seed{seed}"
    kept = place / f"tallies-{options.time}-{options.more}.npz"  # another budget is another result
    if kept.is_file():
        return dict(np.load(kept))
    classes = str(out / "classes.json")
    settings = Recipe.read(ROOT / "recipes" / f"{name}_scratch.yaml")
    settings |= {"data": data, "classes": classes, "seed": seed, "time": options.time}
    if options.weights:
        settings |= {"weights": options.weights, "encoder_rate": 0.25}
        settings["options"] = {**settings["options"], "pad_type": "same"}
    if options.set == "stanford_background":  # its images are two thirds of CamVid's
        settings |= {"augment": {"crop": [208, 256], "scale": [0.6, 1.6], "flip": True}, "stages": []}
    if options.quick:
        settings |= {"time": None, "steps": 20, "options": {"width": 4}, "augment": {"crop": [64, 64]}, "stages": []}
    train(Recipe.from_dict({**settings, "out": str(place / "first")}))
    further = {**settings, "stages": [], "start": str(place / "first"), "weights": "none", "learning_rate": RATE}
    if not options.quick:
        further |= {"time": None, "steps": options.more}
        further["augment"] = {**further["augment"], **AS_THEY_ARE}
    train(Recipe.from_dict({**further, "out": str(place / "alone")}))
    file = str(place / "alone" / "segmenter.safetensors")
    common: dict[str, Any] = {
        "split": "tune", "classes": classes, "limit": options.images, "keep": True, "write": False, "folds": 2,
        "overwrite": True,
    }  # fmt: skip
    tuned = tune(file, data, out=str(place / "tuned"), **common).best
    start = str(place / "tuned" / "refiner.json")
    learned = tune(file, data, out=str(place / "learned"), base=start, learn="soft_iou", **common).best
    start = str(place / "learned" / "refiner.json")
    both = {
        "crf": "joint", "crf_start": start, "out": str(place / "joint"),
        "crf_network_loss": NETWORK_LOSS,
        "crf_options": {"weights": "diagonal", "compatibility": "potts"},  # what is learned, too: tables ask for more images
    }  # fmt: skip
    train(Recipe.from_dict({**further, **both}))
    alone, joint = (Segmenter.load(place / how / "segmenter.safetensors") for how in ("alone", "joint"))
    off = joint.refiner is None
    trained = joint.facts["refiner that was switched off"] if off else joint.refiner.as_dict()  # type: ignore[union-attr]
    start = str(place / "joint" / "refiner.json")
    Path(start).write_text(json.dumps(trained, default=list), encoding="utf-8")
    ways = {
        "alone": (alone, "off"),
        "tuned": (alone, tuned),
        "learned": (alone, learned),
        "joint": (joint, named_refiner(start)),
        OWN: (joint, "off"),
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
            for how in counted
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
