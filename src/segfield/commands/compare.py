"""`segfield compare`: recipes trained on the same data under the same budget, scored alike, ranked on one page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segfield.errors import DataError, SettingError, did_you_mean

if TYPE_CHECKING:
    from segfield.evaluation.comparison import Comparison


def compare(
    recipes: list[str],
    *,
    data: str | None = None,
    time: str | None = None,
    epochs: int | None = None,
    steps: int | None = None,
    seeds: int = 3,
    split: str = "val",
    classes: str | None = None,
    train_split: str | None = None,
    val_split: str | None = None,
    out: str = "comparison",
    pictures: int = 6,
    device: str = "auto",
) -> Comparison:
    """Train recipes on the same data under the same budget with several seeds, score them alike, and rank them.

    OUT gets comparison.html, comparison.json and runs/NAME-seedS, a run folder each. The same command goes on where it was
    stopped, and does what is new where recipes or seeds are added. A recipe that fails has its reason beside it; the
    others go on, and the exit status is 2.

    Args:
        recipes: YAML files, as for `segfield train --recipe`; their stems are the names.
        data: data set of all runs; by default what all recipes name.
        time: wall-clock budget of each training, e.g. 20m, in place of the recipes' own.
        epochs: the budget as passes over the training set.
        steps: the budget as optimiser steps.
        seeds: runs of each recipe, with seeds 0, 1, 2 …
        split: the split all are scored on; test, where there is one, did not choose the weights.
        classes: class table that replaces the format's own; by default what all recipes name.
        train_split: split to train on; by default what all recipes name.
        val_split: split that chooses the best weights; by default what all recipes name.
        out: folder of the comparison.
        pictures: images to show side by side.
        device: auto, cpu, cuda, cuda:1, mps; of training and prediction.

    Returns:
        The ranking with everything that was measured.

    Raises:
        SegfieldError: if the data, a recipe file or a setting cannot be used, or every run failed.
    """
    from rich.console import Console

    from segfield.commands.comparison_folder import alone, claim, read_entries
    from segfield.commands.comparison_queue import run_all
    from segfield.data.output_plan import Output, OutputFolder
    from segfield.inference.devices import pick_device
    from segfield.training.recipe import seconds

    console, folder = Console(), Path(out)
    if pictures < 0:
        raise SettingError(f"pictures is {pictures}; give the number of images to show, 0 or more")
    budget = {"time": time, "epochs": epochs, "steps": steps}
    given = {"data": data, "classes": classes, "train_split": train_split, "val_split": val_split}
    entries = read_entries(recipes, seeds, folder, budget, given, device)
    pick_device(device)
    dataset = _scored_split(entries[0].recipe, split)
    place = OutputFolder(folder, "compare")
    place.written.follows_older = (folder / "measured").is_dir() and not place.written.exists()
    place.check([Output(file) for file in (*_pages(folder), *_earlier(folder, split).values())], recipes)
    with alone(folder) as lock:
        place.written.begin()
        claim(entries, folder)
        names = ", ".join(dict.fromkeys(entry.name for entry in entries))
        numbers = "seed 0" if seeds == 1 else f"seeds 0 to {seeds - 1}"
        console.print(f"{len(entries)} runs in {folder}: {names}; {numbers}", highlight=False, soft_wrap=True)
        failures = run_all(entries, split, lock, console, None if time is None else seconds(time))
        comparison = _compared(entries, failures, split, budget)
        with place.writing():
            _write(folder, comparison, dataset, entries, pictures)
    _show(console, comparison)
    failed = f"{len(comparison.failures)} of {len(entries)} runs failed (named above); " if comparison.failures else ""
    page = folder / "comparison.html"
    console.print(f"{failed}{comparison.verdict()}: page {page}", highlight=False, soft_wrap=True, markup=False)
    return comparison


def _scored_split(recipe: Any, split: str) -> Any:
    """The samples all are scored on; that the other splits are there is seen as well, before hours are spent."""
    from segfield.data.formats import open_dataset

    if Path(split).name != split:
        raise SettingError(
            f"the split '{split}' cannot be part of a file's name; rename it where the data set lists it"
        )
    dataset = open_dataset(recipe.data, recipe.classes)
    for name, option in ((recipe.train_split, "train_split"), (recipe.val_split, "val_split"), (split, "split")):
        if name not in dataset.splits:
            raise SettingError(f"there is no split '{name}'; {did_you_mean(name, dataset.splits)}; see --{option}")
    return dataset.split(split)


def _compared(entries: Sequence[Any], failures: Sequence[Any], split: str, budget: dict[str, Any]) -> Comparison:
    from segfield.commands.comparison_folder import read_score
    from segfield.evaluation.comparison import compare_runs

    failed = {(run.recipe, run.seed) for run in failures}
    done = [entry for entry in entries if (entry.name, entry.seed) not in failed]
    if not done:
        raise DataError(f"every run failed; the first one, {failures[0].recipe}: {failures[0].reason}")
    scored = [read_score(entry, split) for entry in done]
    images = scored[0][1]
    if any(names != images for _, names in scored):
        raise DataError("the runs were scored on other images; the data changed between them: give another --out")
    own = ("data", "classes", "out", "seed", "device", "threads", "train_split", "val_split", *budget)
    settings = {
        entry.name: {name: value for name, value in entry.recipe.as_dict().items() if name not in own}
        for entry in entries
    }
    return compare_runs(
        {entry.name: entry.recipe.model for entry in entries},
        [run for run, _ in scored],
        failures,
        images=images,
        settings=settings,
        facts=_facts(done, [run for run, _ in scored], split, budget),
    )


def _facts(done: Sequence[Any], runs: Sequence[Any], split: str, budget: dict[str, Any]) -> dict[str, Any]:
    """What all share; and under `remark`, what should be known before the numbers are believed."""
    from segfield.commands.comparison_folder import data_hash
    from segfield.evaluation.comparison import unrefined
    from segfield.inference.scoring import report_facts

    recipe, hashes = done[0].recipe, {data_hash(entry) for entry in done}
    devices, sizes = ({getattr(run.costs, name) for run in runs} for name in ("device", "image_size"))
    facts = report_facts(None, hashes.pop() if len(hashes) == 1 else None, recipe.data, split)
    facts["budget"] = next(f"{name} {value}" for name, value in budget.items() if value is not None)
    facts["trained on, weights chosen on"] = f"{recipe.train_split}, {recipe.val_split}"
    facts["device"] = " and ".join(sorted(devices))
    facts["multiply–adds counted at"] = " and ".join(f"{h}×{w}" for h, w in sorted(sizes))
    remarks = []
    if split == recipe.val_split and any(entry.recipe.keep == "best" for entry in done):
        remarks.append("The weights were chosen on the split they are scored on, so all mIoU are a little high.")
    remarks += [
        f"{name} is scored with the refiner of its segmenter file; without it, its mIoU is {100 * value:.2f}."
        for name, value in unrefined(runs).items()
    ]
    if len(devices) > 1:
        remarks.append("The runs were measured on different devices; their speeds and memory do not compare.")
    if hashes:
        remarks.append("The training images changed between the runs; give another --out to train all on the same.")
    return {**facts, "remark": " ".join(remarks)}


def _pages(folder: Path) -> tuple[Path, Path]:
    return folder / "comparison.html", folder / "comparison.json"


def _earlier(folder: Path, split: str) -> dict[Path, Path]:
    """The page and numbers of another split, and the names they are moved to: the page of another split is another page."""
    page, document = _pages(folder)
    try:
        before = json.loads(document.read_text(encoding="utf-8"))["facts"]["split"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    if before == split or Path(str(before)).name != before:
        return {}
    return {file: file.with_name(f"comparison-{before}{file.suffix}") for file in (page, document) if file.is_file()}


def _write(folder: Path, comparison: Comparison, dataset: Any, entries: Sequence[Any], pictures: int) -> None:
    from segfield.data.files import write_text
    from segfield.data.replacement import about_to_replace
    from segfield.evaluation.comparison_page import write_comparison

    for file, other in _earlier(folder, comparison.facts["split"]).items():
        about_to_replace(file, other)
        file.replace(other)
    page, document = _pages(folder)
    gallery = _side_by_side(comparison, dataset, entries, pictures)
    write_comparison(page, comparison, dataset.classes, gallery)
    write_text(document, json.dumps(comparison.as_dict(), indent=2, ensure_ascii=False) + "\n")


def _side_by_side(comparison: Comparison, dataset: Any, entries: Sequence[Any], count: int) -> list[Any]:
    """The most disputed images, as the first finished seed of each recipe sees them."""
    from segfield.evaluation.comparison import most_disputed
    from segfield.evaluation.comparison_page import SideBySide
    from segfield.segmenter import Segmenter

    positions = {name: index for index, name in enumerate(dataset.names)}
    names = [comparison.images[index] for index in most_disputed(comparison, count)]
    samples = [dataset[positions[name]] for name in names]
    predicted: list[dict[str, Any]] = [{} for _ in samples]
    for row in comparison.rows:
        entry = next((e for e in entries if row.runs and (e.name, e.seed) == (row.name, row.runs[0].seed)), None)
        if entry is not None and samples:
            segmenter = Segmenter.load(entry.run.segmenter, device=entry.recipe.device)
            for labels, sample in zip(predicted, samples):
                labels[row.name] = segmenter(sample.image).labels
    return [SideBySide(s.name, s.image, s.labels, labels) for s, labels in zip(samples, predicted) if labels]


def _show(console: Any, comparison: Comparison) -> None:
    """Two tables that fit a terminal: scores, and costs."""
    from rich.table import Table

    from segfield.evaluation.comparison import in_points
    from segfield.evaluation.comparison_page import row_cells

    scores = Table("recipe", box=None, title="scores, %", title_justify="left")
    costs = Table("recipe", box=None, title="costs", title_justify="left")
    pairs = {pair.better: pair for pair in comparison.neighbours}
    lines = [row_cells(row) for row in comparison.rows]
    for heading in _SCORES:
        scores.add_column(heading, justify="right", no_wrap=True)
    for heading in ("above the next (95 %)", "p"):
        scores.add_column(heading, justify="right", no_wrap=True)
    for heading in _COSTS:
        costs.add_column(heading, justify="right")
    for cells in lines:
        found = pairs[cells["name"]].difference if cells["name"] in pairs else None
        lead = ("", "") if found is None else (in_points(found.interval), f"{found.p_value:.3f}")
        scores.add_row(cells["name"], *(cells[cell] for cell in _SCORES.values()), *lead)
        costs.add_row(cells["name"], *(cells[cell] for cell in _COSTS.values()))
    console.print(scores, costs, highlight=False, markup=False)
    for failed in comparison.failures:
        told = f"{failed.recipe}, seed {failed.seed} failed: {failed.reason}"
        console.print(told, highlight=False, soft_wrap=True, markup=False)


_SCORES = {
    "mIoU": "mean_iou",
    "±": "deviation",
    "pixel": "pixel_accuracy",
    "class": "class_accuracy",
    "boundary": "boundary_iou",
}
_COSTS = {
    "params, M": "parameters",
    "mult-adds, G": "multiply_adds",
    "training, img/s": "training_rate",
    "predict, img/s": "prediction_rate",
    "training, MiB": "training_memory",
    "predict, MiB": "prediction_memory",
}
