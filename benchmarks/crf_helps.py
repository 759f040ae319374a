"""Does the dense CRF help real classifiers? mIoU, trimap IoU and boundary IoU with and without it, on images nobody has seen.

The classifiers (crf_classifiers.py) are trained by segfield; the CRF's parameters are found by segfield.crf.tune on images that
the classifier was not trained on, and the gain is measured on others. The value is the gain in mIoU points of the classifier on
CamVid whose scores have stride 8, like those of DeepLab-LargeFOV, for which SegNet's paper reports 53.88 → 54.74 on CamVid's
test images: the goal is that, for orientation, since the classifier and the split are others.

    python benchmarks/crf_helps.py --cache FOLDER [--only NAME …] [--minutes 12] [--threads 2]

FOLDER keeps runs, scores and trials, and what is there is taken up. Without scores in it, each classifier trains for --minutes.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from crf_classifiers import CAMVID_TUNE, CASES, Scored, dataset_of, scores_of, training_of
from record import ROOT, record
from segfield.classes import Array, ClassTable
from segfield.crf import DenseCRF, tune
from segfield.crf.tune import Tuning
from segfield.crf.tuning.grid import Grid
from segfield.crf.tuning.store import TrialFolder
from segfield.data.dataset import Dataset
from segfield.evaluation.bootstrap import bootstrap_difference
from segfield.evaluation.boundaries import WIDTHS
from segfield.evaluation.evaluator import Evaluation, Evaluator

GOAL, HEADLINE, TUNE_IMAGES = 0.86, "camvid_coarse8", 16
GRID = Grid(weights=(1, 4, 16), sxy=(12, 40), srgb=(3, 6, 12), gaussian_weights=(0, 1, 3))
GUIDED = [(radius, eps) for radius in (4, 8) for eps in (30.0, 100.0, 300.0)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few drawn scenes with noisy scores; nothing is kept")
    parser.add_argument("--cache", type=Path, help="folder that keeps runs, scores and trials")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=list(CASES),
        default=list(CASES),
        help="these classifiers alone; kept if the one of the value is among them",
    )
    parser.add_argument("--minutes", type=float, default=12, help="of training, each classifier")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    given = parser.parse_args()
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        cache = given.cache or Path(temporary)
        if given.quick:
            results["scenes"] = measure_scenes(cache)
        for name in [] if given.quick else given.only:
            folders = scores_of(name, cache, given.minutes, given.threads)
            parts = {part: dataset_of(CASES[name].data, part, cache) for part in folders}
            facts = {"classifier": CASES[name].says, "training": training_of(name, cache)}
            results[name] = {**facts, **measure(folders, parts, given.threads, cache / name / "trials")}
            print(name, results[name], flush=True)
    gains = {name: result["crf"]["gain"]["value"] for name, result in results.items()}
    headline = gains.get(HEADLINE, next(iter(gains.values())))
    details = {
        "goal_is": "for orientation: SegNet paper, LargeFOV on CamVid test 53.88 → 54.74 (BF 32.8 → 40.8); ours is val",
        "splits": f"CamVid: the last {CAMVID_TUNE} training images held out for tuning; see crf_classifiers.py",
        "minutes_of_training": given.minutes,
        "worst": min(gains, key=gains.__getitem__),
        "best": max(gains, key=gains.__getitem__),
        "gains_in_miou_points": gains,
        "trimap_widths": list(WIDTHS),
        "classifiers": results,
    }
    partial = given.quick or HEADLINE not in given.only
    against = "the same classifier without the CRF; published for another: 53.88 → 54.74"
    record("crf_helps", headline, "mIoU points", against, GOAL, headline >= GOAL, details, partial)


def measure(
    folders: Mapping[str, Path],
    parts: Mapping[str, Dataset],
    threads: int,
    trials: Path | None = None,
    grid: Grid = GRID,
) -> dict[str, Any]:
    """Tune on `tune`, score on `test`: the classifier alone, the tuned CRF, DenseCRF's defaults, and the guided filter."""
    whole = parts["tune"]
    chosen = whole.subset(np.linspace(0, len(whole) - 1, min(TUNE_IMAGES, len(whole))).round().astype(int).tolist())
    samples = Scored(folders["tune"], chosen)
    tuning = tuned(samples, chosen, grid, threads, trials)
    # the best CRF is measured even where tuning says that it does not help, and `segfield` would leave it off
    refiners: dict[str, Any] = {"crf": tuning.best, "crf_defaults": DenseCRF()}
    guided = tuned_guided_filter(samples, whole.classes)
    if guided is not None:
        refiners["guided_filter"] = guided
    found = score(Scored(folders["test"], parts["test"]), refiners, whole.classes)
    return {
        "tuned_on_images": len(chosen),
        "scored_on_images": len(parts["test"]),
        "parameters": tuning.best.as_dict(),
        "on_the_tuning_images": told(tuning),
        **({"guided_filter_parameters": guided.as_dict()} if guided is not None else {}),
        "alone": shown(found["alone"]),
        **{name: {**shown(found[name]), "gain": gain(found["alone"], found[name])} for name in refiners},
    }


def tuned(samples: Scored, chosen: Dataset, grid: Grid, threads: int, trials: Path | None) -> Tuning:
    """`tune` with its defaults but for the grid and two folds."""
    return tune(
        samples,
        chosen.classes,
        names=list(chosen.names),
        grid=grid,
        folds=2,
        threads=threads,
        store=None if trials is None else TrialFolder(trials, {"code": code()}),
    )


def score(samples: Sequence[Any], refiners: Mapping[str, Any], classes: ClassTable) -> dict[str, Evaluation]:
    """Evaluations of the classifier alone and with each refiner, on the same images in the same order."""
    evaluators = {name: Evaluator(classes, calibration=False, structure=False) for name in ("alone", *refiners)}
    for index in range(len(samples)):
        image, probabilities, labels = samples[index]
        evaluators["alone"].update(str(index), labels, ids(probabilities))
        for name, refiner in refiners.items():
            evaluators[name].update(str(index), labels, ids(refiner(image, probabilities=probabilities)))
    return {name: evaluator.result() for name, evaluator in evaluators.items()}


def ids(probabilities: Array) -> Array:
    most_probable: Array = probabilities.argmax(axis=0).astype(np.uint8)
    return most_probable


def shown(evaluation: Evaluation) -> dict[str, Any]:
    """Scores in per cent."""
    edges = evaluation.boundaries
    if edges is None:
        raise SystemExit("the boundaries were not counted")
    return {
        "miou": percent(evaluation.scores.mean_iou),
        "pixel_accuracy": percent(evaluation.scores.pixel_accuracy),
        "trimap": [percent(float(value)) for value in edges.trimap],
        "boundary_iou": percent(edges.boundary_iou),
        "bf_score": percent(edges.bf_score),
    }


def percent(share: float) -> float:
    return round(100 * share, 2)


def gain(before: Evaluation, after: Evaluation) -> dict[str, float]:
    """mIoU points with a paired 95 % interval over images, and the points in the 3-pixel trimap and of boundary IoU."""
    difference = bootstrap_difference(before.per_image, after.per_image)
    first, second = shown(before), shown(after)
    narrow = WIDTHS.index(3)
    return {
        "value": percent(difference.interval.value),
        "low": percent(difference.interval.low),
        "high": percent(difference.interval.high),
        "p_value": round(difference.p_value, 4),
        "trimap_3": round(second["trimap"][narrow] - first["trimap"][narrow], 2),
        "boundary_iou": round(second["boundary_iou"] - first["boundary_iou"], 2),
        "bf_score": round(second["bf_score"] - first["bf_score"], 2),
    }


def told(tuning: Tuning) -> dict[str, Any]:
    interval = tuning.gain.interval
    points = [percent(value) for value in (interval.value, interval.low, interval.high)]
    return {"helps": tuning.helps, "cross_validated_gain_low_high": points, "seconds": round(tuning.seconds, 1)}


def tuned_guided_filter(samples: Sequence[Any], classes: ClassTable) -> Any:
    """The guided filter with the best of a few radii and eps on the same images; None where OpenCV's extra is absent."""
    try:
        import cv2.ximgproc  # noqa: F401
    except ImportError:
        return None
    from segfield.crf.edge_aware import GuidedFilter

    candidates = {f"{radius},{eps}": GuidedFilter(radius, eps) for radius, eps in GUIDED}
    evaluators = {name: Evaluator(classes, boundaries=False, calibration=False, structure=False) for name in candidates}
    for index in range(len(samples)):
        image, probabilities, labels = samples[index]
        for name, candidate in candidates.items():
            evaluators[name].update(str(index), labels, ids(candidate(image, probabilities=probabilities)))
    best = max(candidates, key=lambda name: evaluators[name].result().scores.mean_iou)
    return candidates[best]


def code() -> str:
    """Fingerprint of the CRF's sources: trials of other code are not taken up."""
    digest = hashlib.sha256()
    for path in sorted((ROOT / "src" / "segfield" / "crf").rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def measure_scenes(folder: Path) -> dict[str, Any]:
    """The same road on drawn streets whose scores are the truth, blurred and noisy."""
    from scipy.ndimage import gaussian_filter

    from segfield.data.formats import open_dataset

    whole = open_dataset("scenes:count=10,size=96x128")
    parts = {"tune": whole.subset(range(5)), "test": whole.subset(range(5, 10))}
    rng = np.random.default_rng(0)
    for part, dataset in parts.items():
        (folder / part).mkdir()
        for sample in dataset:
            if sample.labels is None:
                continue
            scores = np.stack(
                [4.0 * gaussian_filter(np.equal(sample.labels, k).astype(float), 3) for k in range(len(whole.classes))]
            )
            scores += rng.standard_normal(scores.shape)
            scores -= np.log(np.exp(scores).sum(axis=0))
            np.save(folder / part / f"{sample.name}.npy", scores.astype(np.float16))
    folders = {part: folder / part for part in parts}
    return measure(folders, parts, 1, grid=Grid(weights=(2, 5), sxy=(30,), srgb=(10,)))


if __name__ == "__main__":
    main()
