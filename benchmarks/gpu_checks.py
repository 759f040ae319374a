"""Is the GPU used where the user thinks it is? predict, evaluate, refine and tune, each with --device cuda and on the processor.

For each command: whether every dense CRF it ran was given tensors on the GPU, the most GPU memory it took, and the share of
labels (of scores, for evaluate and tune) that agree with the processor's. The value is the least share, in per cent; it counts
as met only if all CRFs ran on the GPU. Without a GPU it says so and keeps nothing; --quick runs the same commands anywhere, and
compares the processor with itself where there is no GPU.

    python benchmarks/gpu_checks.py [--quick]        (about two minutes)
"""

from __future__ import annotations

import argparse
import contextlib
import io
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from record import record
from segfield.commands.evaluate import evaluate
from segfield.commands.predict import predict
from segfield.commands.refine import refine
from segfield.commands.tune import tune
from segfield.crf.dense_crf import DenseCRF, PreparedCRF
from segfield.data.augmentation import AugmentationConfig
from segfield.data.images import read_image, write_png
from segfield.data.scenes import draw_scene
from segfield.segmenter import Segmenter
from segfield.training.loop import fit
from segfield.training.recipe import Recipe

GOAL = 99.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small images; nothing is kept")
    quick = parser.parse_args().quick
    if not torch.cuda.is_available() and not quick:
        print(
            "gpu_checks: torch sees no CUDA device, so there is nothing to check; run it where one is, or with --quick"
        )
        return
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with tempfile.TemporaryDirectory() as folder:
        found = checked(Path(folder), device, (48, 64) if quick else (360, 480), 4 if quick else 24)
    for name, row in found.items():
        print(name, row, flush=True)
    value = min(row["agreement_percent"] for row in found.values())
    on_gpu = all(row["crf_on"] == [device] for row in found.values())
    versus = f"the processor; CRFs on the GPU: {'all' if on_gpu and device == 'cuda' else 'no'}"
    record("gpu_checks", value, "%", versus, GOAL, value >= GOAL and on_gpu, {"device": device, **found}, quick)


def checked(folder: Path, device: str, size: tuple[int, int], count: int) -> dict[str, dict[str, Any]]:
    """Each command on both devices: what its CRFs were given, how the results agree, seconds and memory."""
    photos, rough = write_data(folder, count, size)
    recipe = Recipe(
        data=f"folder:{folder / 'data'}", out=str(folder / "run"), model="unet", weights="none", options={"width": 16},
        steps=2 if count < 10 else 200, augment=AugmentationConfig(crop=(48, 64)), device=device,
    )  # fmt: skip
    run = fit(recipe)
    segmenter = Segmenter.load(run.folder.segmenter)
    segmenter.refiner = DenseCRF(bilateral_sxy=20, bilateral_srgb=8)
    file, data = str(segmenter.save(folder / "segmenter.safetensors")), f"folder:{folder / 'data'}"
    del segmenter

    turns: dict[str, int] = {}

    def out(name: str, on: str) -> str:
        turns[name] = (
            turns.get(name, 0) + 1
        )  # a folder of its own each time, where a GPU is played by the processor, too
        return str(folder / f"{name}_{on}_{turns[name]}")

    def predicted(on: str) -> Any:
        folder = out("predict", on)
        predict(file, [str(photos)], folder, save="ids", device=on, quiet=True)
        return ids(Path(folder))

    def cleaned(on: str) -> Any:
        folder = out("refine", on)
        refine(str(photos), str(rough), folder, save="ids", device=on, quiet=True)
        return ids(Path(folder))

    def evaluated(on: str) -> Any:
        scores = evaluate(file, data, split="all", out=out("evaluate", on), device=on, worst=0, allow_seen=True).scores
        return np.array(scores.iou)

    def tuned(on: str) -> Any:
        tuning = tune(
            file, data, split="all", out=out("tune", on), device=on, rounds=0, folds=2, limit=4, gallery=0, write=False,
            allow_seen=True,
        )  # fmt: skip
        return np.array([tuning.after.scores.mean_iou])

    return {
        name: compared(command, device)
        for name, command in (("predict", predicted), ("evaluate", evaluated), ("refine", cleaned), ("tune", tuned))
    }


def compared(command: Callable[[str], Any], device: str) -> dict[str, Any]:
    expected = timed(command, "cpu")
    with watched() as seen:
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        found = timed(command, device)
    if found[0].dtype.kind == "f":  # scores, as far apart as their largest difference
        agreement = 1 - float(np.nanmax(np.abs(found[0] - expected[0])))
    else:
        agreement = float((found[0] == expected[0]).mean())
    return {
        "crf_on": sorted(seen),
        "agreement_percent": 100 * agreement,
        "seconds": round(found[1], 2),
        "seconds_on_cpu": round(expected[1], 2),
        "gpu_mib": round(torch.cuda.max_memory_allocated() / 2**20) if device == "cuda" else 0,
    }


def timed(command: Callable[[str], Any], on: str) -> tuple[Any, float]:
    began = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        found = command(on)
    return found, time.perf_counter() - began


@contextlib.contextmanager
def watched() -> Iterator[set[str]]:
    """The types of device on which dense CRFs are given their scores; 'cpu' for arrays."""
    seen: set[str] = set()
    call, run = DenseCRF.__call__, PreparedCRF.run

    def device_of(scores: Any) -> str:
        return scores.device.type if isinstance(scores, torch.Tensor) else "cpu"

    def noted_call(
        self: DenseCRF, image: Any, logits: Any = None, *, probabilities: Any = None, unary: Any = None
    ) -> Any:
        seen.add(device_of(next(given for given in (logits, probabilities, unary) if given is not None)))
        return call(self, image, logits, probabilities=probabilities, unary=unary)

    def noted_run(self: PreparedCRF, unary: Any, **options: Any) -> Any:
        seen.add(device_of(unary))
        return run(self, unary, **options)

    DenseCRF.__call__, PreparedCRF.run = noted_call, noted_run  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        DenseCRF.__call__, PreparedCRF.run = call, run  # type: ignore[method-assign]


def write_data(folder: Path, count: int, size: tuple[int, int]) -> tuple[Path, Path]:
    """Drawn scenes as a data set, and some of their images with rough labels: gives the folders of these."""
    rng = np.random.default_rng(0)
    for seed in range(count):
        image, labels = draw_scene(size, seed)
        write_png(folder / "data" / "images" / f"{seed:03}.png", image)
        write_png(folder / "data" / "masks" / f"{seed:03}.png", labels)
        if seed < 4:
            write_png(folder / "photos" / f"{seed:03}.png", image)
            spoilt = np.where(
                rng.random(labels.shape) < 0.1, rng.permutation(labels.ravel()).reshape(labels.shape), labels
            )
            write_png(folder / "rough" / f"{seed:03}.png", spoilt.astype(np.uint8))
    return folder / "photos", folder / "rough"


def ids(folder: Path) -> Any:
    return np.concatenate([read_image(file).ravel() for file in sorted((folder / "ids").glob("*.png"))])


if __name__ == "__main__":
    main()
