"""`segfield evaluate`: score a segmenter on a labelled split, with a report."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from segfield.errors import SettingError
from segfield.inference.views import Flips

if TYPE_CHECKING:
    from segfield.evaluation.evaluator import Evaluation


def evaluate(
    segmenter: str,
    data: str,
    *,
    split: str = "val",
    classes: str | None = None,
    allow_seen: bool = False,
    out: str = "evaluation",
    flips: Flips = "none",
    scales: list[float] | None = None,
    tile: int | None = None,
    refine: str = "auto",
    image_range: float | None = None,
    boundaries: bool = True,
    calibration: bool = True,
    worst: int = 8,
    device: str = "auto",
    engine: Literal["auto", "openvino", "onnxruntime"] = "auto",
    overwrite: bool = False,
) -> Evaluation:
    """Score a segmenter on a labelled split: mIoU, per class, boundaries, calibration, confidence intervals; with a report.

    Args:
        segmenter: the file `segfield train` wrote, or `segfield export` (ONNX).
        data: data set, as for `segfield train`.
        split: the split to score; 'all' takes every sample, 'held_out' what the folds of a run left out.
        classes: class table that replaces the format's own.
        allow_seen: score also images that the segmenter was trained on.
        out: folder for report.html and scores.json.
        flips: average over mirror images: none; horizontal; all, where up and down mean nothing (microscopy, aerial).
        scales: average over these sizes, e.g. [0.75,1,1.25].
        tile: tile side in pixels, for large images; by default as in `segfield predict`.
        refine: clean the edges first: auto (as the segmenter file says), off, on (as it says, else the dense CRF's
            defaults), the name of a preset or refiner, or a JSON file; the mIoU without it is told beside.
        image_range: the value that counts as white in all images given, where they are of another kind or depth than those
            trained on and it cannot be told: 4095 for 12 bits in 16-bit files, 1 for floats of 0..1.
        boundaries: measure boundary IoU, BF score and trimap curve.
        calibration: measure the expected calibration error.
        worst: images in the gallery.
        device: auto, cpu, cuda, cuda:1, mps.
        engine: what runs an exported segmenter: auto is openvino where that is installed, else onnxruntime.
        overwrite: replace an evaluation that lies in the folder.

    Returns:
        Everything that was measured.

    Raises:
        SegfieldError: if the segmenter, the data or a setting cannot be used.
    """
    from rich.console import Console

    from segfield.crf.refiner import chosen_refiner, describe_refiner
    from segfield.data.files import write_text
    from segfield.data.formats import open_dataset
    from segfield.data.output_plan import Output, OutputFolder
    from segfield.evaluation.evaluator import Evaluator
    from segfield.evaluation.refinement import Refinement
    from segfield.evaluation.report import write_report
    from segfield.exported import open_segmenter
    from segfield.inference.devices import set_threads
    from segfield.inference.range_notes import counted_range_notes
    from segfield.inference.scoring import check_same_classes, evaluate_segmenter, report_facts
    from segfield.training.seen import chosen_split, refuse_seen, seen

    console = Console()
    folder = Path(out)
    place = OutputFolder(folder, "evaluate")
    if worst < 0:
        raise SettingError(f"worst is {worst}; give the number of images in the gallery, 0 or more")
    if (folder / "scores.json").exists() and not overwrite:
        raise SettingError(f"{folder} holds an evaluation already; give another --out, or --overwrite true")
    read = [segmenter, data, refine, *([classes] if classes else [])]
    place.check([Output(folder / "report.html"), Output(folder / "scores.json")], read)
    set_threads()
    loaded = open_segmenter(segmenter, device, engine)
    loaded.image_range = image_range
    dataset = open_dataset(data, classes)
    chosen = chosen_split(loaded.facts, dataset, split, "score")
    check_same_classes(loaded, chosen)
    known = seen(loaded.facts, chosen, dataset, loaded.bands)
    note = refuse_seen(known, chosen, allow_seen, "and a score on those says nothing about new images")
    if note:
        console.print(note, highlight=False, soft_wrap=True)
    refiner = chosen_refiner(refine, loaded.refiner, loaded.values)
    unrefined = Evaluator(loaded.classes, boundaries=boundaries, calibration=False, structure=False)
    folder.mkdir(parents=True, exist_ok=True)  # a folder that cannot be written to shows before the work, not after it
    with counted_range_notes(partial(console.print, markup=False, soft_wrap=True, highlight=False)):
        evaluation, gallery = evaluate_segmenter(
            loaded,
            chosen,
            flips=flips,
            scales=tuple(scales or (1.0,)),
            tile=tile,
            refine=refiner,
            unrefined=unrefined,
            boundaries=boundaries,
            calibration=calibration,
            worst=worst,
            console=console,
        )
    console.print(evaluation.scores.table(), highlight=False)
    facts = report_facts(seed=None, data_hash=None, data=data, split=split)
    if note:
        facts["seen in training"] = note
    refinement = None
    if refiner is not None:
        refinement = Refinement(unrefined.result(), evaluation)
        alone = refinement.before.scores
        facts["refiner"] = describe_refiner(refiner)
        facts["mIoU without the refiner"] = f"{100 * alone.mean_iou:.2f}"
        console.print(
            f"mIoU {100 * alone.mean_iou:.2f} without the refiner, {100 * evaluation.scores.mean_iou:.2f} with it "
            f"({facts['refiner']})",
            highlight=False,
            soft_wrap=True,
        )
        console.print(refinement.sentence(), highlight=False, soft_wrap=True)
    recipe = dict(loaded.facts.get("recipe", {}))
    page = folder / "report.html"
    with place.writing():
        write_report(page, evaluation, gallery=gallery, recipe=recipe, facts=facts, refinement=refinement)
    scores = {"segmenter": segmenter, "facts": facts, **evaluation.as_dict()}
    if refinement is not None:
        scores["unrefined"] = refinement.before.scores.as_dict()
        scores["refinement"] = refinement.as_dict()
    with place.writing():
        write_text(folder / "scores.json", json.dumps(scores, indent=2, ensure_ascii=False) + "\n")
    console.print(
        f"mIoU {100 * evaluation.scores.mean_iou:.2f} over {len(evaluation.images)} images of '{split}': "
        f"report {folder / 'report.html'}",
        highlight=False,
        soft_wrap=True,
    )
    return evaluation
