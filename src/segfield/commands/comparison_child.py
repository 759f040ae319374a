"""One run of a comparison in a process of its own, so that its memory can be measured and its end ends nothing else.

    python -m segfield.commands.comparison_child train FOLDER
    python -m segfield.commands.comparison_child score FOLDER SPLIT

FOLDER is `measured/NAME-seedS` of the comparison; its recipe.yaml says everything about the run.
"""

from __future__ import annotations

import functools
import os
import signal
import statistics
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segfield.commands.comparison_folder import note_training_memory, write_score
from segfield.errors import SegfieldError
from segfield.training.recipe import Recipe

TIMED_IMAGES = 20


def run_words(words: Sequence[str]) -> int:
    """Train or score as the words say. Returns the exit status; what went wrong is a sentence on stderr."""
    what, folder, *rest = words
    if what == "train":
        return train_run(Path(folder))
    try:
        score_run(Path(folder), *rest)
    except SegfieldError as error:
        print(f"segfield: {error}", file=sys.stderr)
        return error.exit_status
    return 0


def train_run(folder: Path) -> int:
    """`segfield train`, or its continuation, with the peak of its memory noted."""
    from segfield.commands.main import main
    from segfield.inference.costs import MemoryWatch
    from segfield.inference.devices import pick_device

    _bring_in()
    watch = MemoryWatch(pick_device(Recipe.load(folder / "recipe.yaml").device))
    try:
        return main(["train", "--recipe", str(folder / "recipe.yaml")])
    finally:
        note_training_memory(folder, watch.peak)


def score_run(folder: Path, split: str) -> None:
    """Evaluate a finished run on a split as it predicts, whole images, and measure what prediction costs."""
    from segfield.data.formats import open_dataset
    from segfield.evaluation.evaluator import Evaluator
    from segfield.inference import costs
    from segfield.inference.devices import pick_device, set_threads
    from segfield.inference.scoring import evaluate_segmenter
    from segfield.segmenter import Segmenter
    from segfield.training.run_folder import RunFolder
    from segfield.training.stages import stage_recipes

    _bring_in()
    recipe = Recipe.load(folder / "recipe.yaml")
    threads = set_threads()
    dataset = open_dataset(recipe.data, recipe.classes).split(split)
    few = [dataset[i].image for i in range(min(TIMED_IMAGES, len(dataset)))]
    watch = costs.MemoryWatch(pick_device(recipe.device))
    segmenter = Segmenter.load(RunFolder(recipe.out).segmenter, device=recipe.device)
    seconds = costs.prediction_seconds(segmenter, few)
    memory = watch.peak
    ((height, width), _), *_ = Counter(image.shape[1:] for image in few).most_common()
    alone = Evaluator(segmenter.classes, boundaries=False, calibration=False, structure=False)
    evaluation, _ = evaluate_segmenter(segmenter, dataset, unrefined=alone, calibration=False, worst=0)
    stages = [stage for _, stage in stage_recipes(recipe)]
    curves = [RunFolder(stage.out).read_curves() for stage in stages]
    images = [stage.batch_size * stage.accumulate * stage.devices * stage.nodes for stage in stages]
    score = {
        "recipe": recipe.as_dict(),
        "costs": {
            "parameters": costs.trainable_parameters(segmenter.classifier),
            "multiply_adds": costs.multiply_adds(segmenter.classifier, height, width),
            "image_size": [height, width],
            "training_seconds": costs.training_seconds(curves),
            "training_rate": costs.training_rate(zip(curves, images)),
            "prediction_rate": 1 / statistics.median(seconds),
            "prediction_memory": memory,
            "device": _device_in_words(segmenter.device, threads),
        },
        **evaluation.as_dict(),
    }
    if segmenter.refiner is not None:
        score["unrefined"] = alone.result().scores.as_dict()
    write_score(folder, split, score, evaluation.per_image)


@functools.cache
def _bring_in() -> None:
    """Import and compile beforehand what a run needs, so that its memory is not counted as the network's."""
    import numpy as np
    import tensorboard.summary.writer.record_writer  # noqa: F401

    from segfield.classes import ClassTable
    from segfield.evaluation.evaluator import Evaluator
    from segfield.evaluation.report import report_html
    from segfield.training import loop  # noqa: F401

    table = ClassTable(("one", "other"))
    labels = np.eye(16, dtype=np.uint8)
    evaluator = Evaluator(table, resamples=10)
    evaluator.update("any", labels, labels, np.stack([1.0 - labels, labels]).astype(np.float16))
    report_html(evaluator.result())


def _device_in_words(device: Any, threads: int) -> str:
    import platform

    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return (
        f"{device.type} ({platform.processor() or platform.machine()}, {threads} thread{'' if threads == 1 else 's'})"
    )


def _end_with_parent() -> None:
    """Stop, as by SIGTERM, when the comparison's process is gone: its end of our standard input closes then."""

    def wait() -> None:
        while os.read(0, 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    _end_with_parent()
    sys.exit(run_words(sys.argv[1:]))
