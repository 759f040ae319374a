"""Pooled confusion matrix, 19 classes at 1024×2048: segfield against torchmetrics and cityscapesScripts, equal counts.

Run as `python benchmarks/confusion_speed.py [--quick]`. The peers run their own unchanged code on arrays in memory.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import os
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling as peer  # type: ignore[import-untyped]  # noqa: N813
import numpy as np
import torch
from scipy import ndimage
from torchmetrics.classification import MulticlassJaccardIndex

from record import elapsed, record
from segfield.classes import Array
from segfield.compiled import compiled
from segfield.evaluation.confusion import confusion_matrix

CLASSES, IGNORED, GOAL = 19, 255, 20.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small map and few repeats; nothing is kept")
    quick = parser.parse_args().quick
    size = (256, 512) if quick else (1024, 2048)
    repeats = 5 if quick else 40
    torch.set_num_threads(2)
    maps = {
        "street_like": street_like(*size, seed=0),
        "random": tuple(np.random.default_rng(i).integers(0, CLASSES, size, dtype=np.uint8) for i in (1, 2)),
    }
    details: dict[str, Any] = {"size": size, "classes": CLASSES, "torch_threads": torch.get_num_threads()}
    details["load_average_before"] = os.getloadavg()[0]
    for name, (truth, predicted) in maps.items():
        details[name] = compare(truth, predicted, repeats)
        print(f"{name}: {details[name]}")
    worst = min(details["street_like"]["ratios"].values())
    form = "C" if peer.CSUPPORT else "numpy"
    peers = f"torchmetrics {version('torchmetrics')} MulticlassJaccardIndex.update and cityscapesScripts "
    peers += f"{version('cityscapesscripts')} evaluatePair ({form} form); ours on 2 threads"
    record("confusion_speed", worst, "x", peers, GOAL, worst >= GOAL, details, quick)


def compare(truth: Array, predicted: Array, repeats: int) -> dict[str, Any]:
    """Best time of each on one pair of maps; the contestants take turns, so that a busy moment hits all of them."""
    reference = np.bincount(truth.reshape(-1).astype(np.int64) * 256 + predicted.reshape(-1), minlength=1 << 16)
    expected = reference.reshape(256, 256)[:CLASSES, :CLASSES]
    contestants: dict[str, Callable[[], Array]] = {
        "segfield_1_thread": lambda: confusion_matrix(truth, predicted, CLASSES, IGNORED),
        "segfield_2_threads": lambda: confusion_matrix(truth, predicted, CLASSES, IGNORED, threads=2),
        "torchmetrics": torchmetrics_update(truth, predicted, validate=True, kind=torch.uint8),
        "torchmetrics_unvalidated_int64": torchmetrics_update(truth, predicted, validate=False, kind=torch.int64),
        "cityscapesscripts": cityscapes_update(truth, predicted),
        "one_addition_a_pixel_compiled": lambda: one_addition_a_pixel(truth, predicted),
    }
    for name, run in contestants.items():
        if not np.array_equal(run(), expected):
            raise SystemExit(f"{name} counts otherwise than the reference: the comparison would be void")
    peers = ["cityscapesscripts", "torchmetrics", "torchmetrics_unvalidated_int64"]
    best = dict.fromkeys(contestants, float("inf"))
    for _ in range(repeats):
        for name, run in contestants.items():
            for _ in range(1 if name.startswith("torchmetrics") else 5):
                best[name] = min(best[name], seconds(run))
    moved = truth.nbytes + predicted.nbytes
    read = min(seconds(lambda: (truth.view(np.uint64).sum(), predicted.view(np.uint64).sum())) for _ in range(100))
    ours = best["segfield_2_threads"]
    changes = [float((labels[:, 1:] != labels[:, :-1]).sum(axis=1).mean()) for labels in (truth, predicted)]
    return {
        "milliseconds": {name: round(value * 1e3, 4) for name, value in best.items()},
        "ratios": {name: round(best[name] / ours, 2) for name in peers},
        "ratios_1_thread": {name: round(best[name] / best["segfield_1_thread"], 2) for name in peers},
        "ratio_to_one_addition_a_pixel": round(best["one_addition_a_pixel_compiled"] / ours, 2),
        "gb_per_s_1_thread": round(moved / best["segfield_1_thread"] / 1e9, 2),
        "gb_per_s_2_threads": round(moved / ours / 1e9, 2),
        "gb_per_s_reading_only": round(moved / read / 1e9, 2),
        "pixel_accuracy": round(float((truth == predicted).mean()), 4),
        "label_changes_a_row": [round(value, 1) for value in changes],
    }


def street_like(height: int, width: int, seed: int) -> tuple[Array, Array]:
    """Wavy patches, and a prediction whose borders lie some pixels off: uint8 maps with about 20 changes a row of 2048.

    CamVid's own masks have 9.3 changes a row of 480 pixels; the same scene at 2048 has about as many, and finer parts.
    Some void is in the truth.
    """
    rng = np.random.default_rng(seed)
    patch = 112
    patches = rng.integers(0, CLASSES, (height // patch + 3, width // patch + 3)).astype(np.uint8)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)

    def waves(strength: float) -> Array:
        coarse = ndimage.gaussian_filter(rng.normal(size=(height // 4, width // 4)), 6)
        smooth: Array = ndimage.zoom(strength * coarse / coarse.std(), 4, order=1)
        return smooth

    def cut(down: Array, right: Array) -> Array:
        y = np.clip((rows + down).astype(np.int64) // patch, 0, patches.shape[0] - 1)
        x = np.clip((columns + right).astype(np.int64) // patch, 0, patches.shape[1] - 1)
        ids: Array = patches[y, x]
        return ids

    down, right = waves(10), waves(10)
    truth = cut(down, right)
    predicted = cut(down + waves(3), right + waves(3))
    truth[height * 15 // 16 :, width // 8 : width * 7 // 8] = IGNORED
    return truth, predicted


def torchmetrics_update(truth: Array, predicted: Array, validate: bool, kind: torch.dtype) -> Callable[[], Array]:
    target, guess = torch.from_numpy(truth).to(kind), torch.from_numpy(predicted).to(kind)

    def run() -> Array:
        metric = MulticlassJaccardIndex(CLASSES, ignore_index=IGNORED, validate_args=validate)
        metric.update(guess, target)
        counts: Array = np.asarray(metric.confmat)
        return counts

    return run


def cityscapes_update(truth: Array, predicted: Array) -> Callable[[], Array]:
    settings = SimpleNamespace(evalInstLevelScore=False, evalPixelAccuracy=False, evalLabels=[*range(CLASSES), IGNORED])
    images = {"truth": InMemory(truth), "prediction": InMemory(predicted)}

    def run() -> Array:
        counts = np.zeros((256, 256), dtype=np.ulonglong)
        with reading_from(images):
            peer.evaluatePair("prediction", "truth", counts, {}, {}, settings)
        return counts[:CLASSES, :CLASSES]

    return run


class InMemory:
    """What evaluatePair asks of an opened image, without file or decoder: its size and its array."""

    def __init__(self, pixels: Array) -> None:
        self.pixels = pixels
        self.size = pixels.shape[::-1]

    def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
        return self.pixels


@contextlib.contextmanager
def reading_from(images: dict[str, InMemory]) -> Iterator[None]:
    original = peer.Image
    peer.Image = SimpleNamespace(open=images.__getitem__)
    try:
        yield
    finally:
        peer.Image = original


def one_addition_a_pixel(truth: Array, predicted: Array) -> Array:
    """The loop of cityscapesScripts' optional C extension, which its package does not ship: a 256×256 table."""
    counts = np.zeros((256, 256), np.int64)
    add_each(truth.reshape(-1), predicted.reshape(-1), counts)
    return counts[:CLASSES, :CLASSES]


@compiled
def add_each(truth: Array, predicted: Array, counts: Array) -> None:
    for i in range(truth.size):
        counts[truth[i], predicted[i]] += 1


def seconds(run: Callable[[], object]) -> float:
    begin = time.perf_counter()
    run()
    return elapsed(begin)


def version(package: str) -> str:
    return importlib.metadata.version(package)


if __name__ == "__main__":
    main()
