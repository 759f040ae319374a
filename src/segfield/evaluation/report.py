"""report.html: everything that was measured, for a person. One file, no requests, light and dark, wide and narrow."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import yaml
from markupsafe import Markup

from segfield.classes import Array, ClassTable
from segfield.data.files import write_text
from segfield.evaluation import plots
from segfield.evaluation.confusion import confusion_matrix
from segfield.evaluation.evaluator import Evaluation
from segfield.evaluation.pictures import pictures
from segfield.evaluation.refinement import Refinement
from segfield.evaluation.scores import mean_iou_from_tally, ratio, tally

GalleryRow = tuple[str, Array, Array, Array]
"""Name, image (C, H, W), labels (H, W), predicted labels (H, W)."""


def write_report(
    path: str | Path,
    evaluation: Evaluation,
    *,
    curves: Sequence[Mapping[str, Any]] | None = None,
    gallery: Sequence[GalleryRow] = (),
    recipe: Mapping[str, Any] | None = None,
    facts: Mapping[str, Any] | None = None,
    refinement: Refinement | None = None,
) -> None:
    """Write the report as one self-contained HTML file, atomically.

    Args:
        path: of the file.
        evaluation: what was measured.
        curves: one row an epoch: epoch, seconds, losses (any key with 'loss'), val_miou, learning_rate; keys may lack.
        gallery: the images to show, worst first.
        recipe: of the run, shown as YAML.
        facts: versions, seed, data hash, commit and the like, shown as a table.
        refinement: what a refiner changed, where there was one.

    Raises:
        DataError: if a gallery row's sizes differ.
        SegfieldError: if the file cannot be written.
    """
    page = report_html(evaluation, curves=curves, gallery=gallery, recipe=recipe, facts=facts, refinement=refinement)
    write_text(path, page)


def report_html(
    evaluation: Evaluation,
    *,
    curves: Sequence[Mapping[str, Any]] | None = None,
    gallery: Sequence[GalleryRow] = (),
    recipe: Mapping[str, Any] | None = None,
    facts: Mapping[str, Any] | None = None,
    refinement: Refinement | None = None,
) -> str:
    """The page that `write_report` writes, with the same arguments."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("segfield.evaluation"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["percent"] = percent
    environment.filters["decimal"] = decimal
    environment.filters["points"] = lambda value: f"{100 * value:+.2f}"
    facts = {key: value for key, value in (facts or {}).items() if value not in (None, "")}
    return environment.get_template("report.html.j2").render(
        evaluation=evaluation,
        scores=evaluation.scores,
        heading=" · ".join(str(facts[key]) for key in ("data", "split") if key in facts),
        cards=_cards(evaluation),
        remarks=_remarks(evaluation),
        class_rows=_class_rows(evaluation),
        structure_rows=_structure_rows(evaluation),
        figures={name: Markup(drawing) for name, drawing in _figures(evaluation, curves or (), refinement).items()},
        refinement=refinement,
        epochs=len(curves or ()),
        gallery=[_gallery_row(row, evaluation.classes) for row in gallery],
        legend=_legend(evaluation.classes),
        recipe=yaml.safe_dump(plain(recipe), sort_keys=False, allow_unicode=True) if recipe else "",
        facts=facts,
    )


def percent(value: float, digits: int = 1) -> str:
    """0.5 → '50.0'; a dash for NaN."""
    return "–" if math.isnan(value) else f"{100 * value:.{digits}f}"


def decimal(value: float, digits: int = 2) -> str:
    """0.5 → '0.50', an integer as it is; a dash for NaN."""
    return "–" if math.isnan(value) else f"{value}" if isinstance(value, int) else f"{value:.{digits}f}"


def plain(value: Any) -> Any:
    """What YAML can write safely: paths and other objects as text, tuples as lists, numpy numbers as numbers."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _cards(evaluation: Evaluation) -> list[dict[str, str]]:
    """The numbers on top: name, value, and a line below."""
    scores, interval = evaluation.scores, evaluation.mean_iou_interval
    spread = f"{100 * interval.level:.0f} % interval {percent(interval.low)} to {percent(interval.high)}"
    cards = [
        {"name": "mIoU", "value": percent(scores.mean_iou), "note": spread},
        {"name": "pixel accuracy", "value": percent(scores.pixel_accuracy), "note": f"{scores.pixels:,} pixels"},
        {"name": "class accuracy", "value": percent(scores.mean_class_accuracy), "note": "mean recall"},
        {"name": "frequency-weighted IoU", "value": percent(scores.frequency_weighted_iou), "note": "by pixels"},
    ]
    if evaluation.boundaries is not None:
        edges = evaluation.boundaries
        cards.append({"name": "boundary IoU", "value": percent(edges.boundary_iou), "note": "2 % of the diagonal"})
        cards.append({"name": "BF score", "value": percent(edges.bf_score), "note": "0.75 % of the diagonal"})
    if evaluation.calibration is not None:
        trust = evaluation.calibration
        cards.append({"name": "calibration error", "value": percent(trust.expected_error), "note": "ECE, 15 bins"})
    return cards


def _remarks(evaluation: Evaluation) -> list[str]:
    """What stands out, in sentences: weakest classes, largest confusions, over- or underconfidence, absent classes."""
    scores, names = evaluation.scores, evaluation.scores.names
    present = [i for i, share in enumerate(scores.truth_share) if share > 0]
    remarks = []
    if len(present) > 3:
        weakest = sorted(present, key=lambda i: scores.iou[i])[:3]
        remarks.append("Weakest classes: " + ", ".join(f"{names[i]} ({percent(scores.iou[i])})" for i in weakest) + ".")
    wrong = evaluation.confusion * (1 - np.eye(len(names), dtype=np.int64))
    shares = np.nan_to_num(ratio(wrong, evaluation.confusion.sum(axis=1, keepdims=True)))
    for position in np.argsort(wrong, axis=None)[::-1][:2]:
        i, j = np.unravel_index(position, wrong.shape)
        if wrong[i, j]:
            remarks.append(f"{percent(float(shares[i, j]))} % of {names[i]} is taken for {names[j]}.")
    trust = evaluation.calibration
    if trust is not None and trust.expected_error >= 0.02:
        lean = "too sure" if trust.confidence.sum() > trust.correct.sum() else "not sure enough"
        remarks.append(f"The probabilities are {lean}, by {percent(trust.expected_error)} points on average.")
    remarks += _structure_remarks(evaluation)
    if scores.absent:
        zeroed = percent(scores.mean_iou_absent_as_zero)
        remarks.append(f"Absent from the truth: {', '.join(scores.absent)}; mIoU with them as 0 is {zeroed}.")
    return remarks


def _class_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    scores = evaluation.scores
    edges = evaluation.boundaries
    boundary = [math.nan] * len(scores.names) if edges is None else edges.class_boundary_iou.tolist()
    return [
        {
            "name": name,
            "colour": "rgb({}, {}, {})".format(*evaluation.classes.colours[i]),
            "share": scores.truth_share[i],
            "iou": scores.iou[i],
            "interval": evaluation.class_iou_intervals[i],
            "recall": scores.recall[i],
            "precision": scores.precision[i],
            "dice": scores.dice[i],
            "boundary": boundary[i],
            "absent": name in scores.absent,
        }
        for i, name in enumerate(scores.names)
    ]


def _structure_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """A row for each class, and last their means over classes present in the truth; none where nothing was counted."""
    structure, edges, scores = evaluation.structure, evaluation.boundaries, evaluation.scores
    if structure is None:
        return []
    unknown = np.full(len(scores.names), math.nan)
    columns = {
        "iou": np.asarray(scores.iou),
        "recall": np.asarray(scores.recall),
        "boundary": unknown if edges is None else edges.class_boundary_iou,
        "contour": unknown if edges is None else edges.class_bf_score,
        "components": structure.components[0],
        "predicted_components": structure.components[1],
        "size_distance": structure.size_distance,
        "holes": structure.holes[0],
        "predicted_holes": structure.holes[1],
    }
    rows: list[dict[str, Any]] = [
        {"name": name, "absent": name in scores.absent, **{key: values[i].item() for key, values in columns.items()}}
        for i, name in enumerate(scores.names)
    ]
    return [*rows, {"name": "mean of classes", **{key: structure.mean(values) for key, values in columns.items()}}]


def _structure_remarks(evaluation: Evaluation) -> list[str]:
    """Classes that are in over twice, or under half, as many pieces as in the truth, the furthest off first."""
    if evaluation.structure is None:
        return []
    ratios, (truth, predicted) = evaluation.structure.component_ratio, evaluation.structure.components
    rising = [int(i) for i in np.argsort(ratios)]  # NaN last, and on neither side of a bound
    remarks = []
    for what, chosen in (
        ("Over twice", [i for i in reversed(rising) if ratios[i] > 2]),
        ("Under half", [i for i in rising if ratios[i] < 0.5]),
    ):
        told = [f"{evaluation.scores.names[i]} ({predicted[i]} for {truth[i]})" for i in chosen[:4]]
        if told:
            more = f" and {len(chosen) - len(told)} more" if len(chosen) > len(told) else ""
            remarks.append(f"{what} as many components as in the truth: {', '.join(told)}{more}.")
    return remarks


def _figures(
    evaluation: Evaluation, curves: Sequence[Mapping[str, Any]], refinement: Refinement | None
) -> dict[str, str]:
    drawn = {
        "confusion": plots.confusion_picture(evaluation.confusion, evaluation.scores.names),
        "images": plots.image_histogram(evaluation.image_mean_iou),
        "curves": plots.training_curves(curves),
    }
    if evaluation.boundaries is not None:
        drawn["trimap"] = plots.trimap_curves(evaluation.boundaries, evaluation.scores.mean_iou)
    if refinement is not None and refinement.before.boundaries is not None and refinement.after.boundaries is not None:
        drawn["refined"] = plots.trimap_before_after(refinement.before.boundaries, refinement.after.boundaries)
    if evaluation.calibration is not None:
        drawn["reliability"] = plots.reliability(evaluation.calibration)
    return drawn


def _gallery_row(row: GalleryRow, classes: ClassTable) -> dict[str, Any]:
    name, image, labels, predicted = row
    shown = pictures(image, labels, predicted, classes)
    counts = confusion_matrix(labels, predicted, len(classes), classes.ignored_id)
    wrong = counts * (1 - np.eye(len(classes), dtype=np.int64))
    i, j = np.unravel_index(wrong.argmax(), wrong.shape)
    note = ""
    if wrong[i, j]:
        part = percent(float(wrong[i, j] / counts.sum()))
        note = f"{part} % of the pixels are {classes.names[i]} taken for {classes.names[j]}"
    views = [("image", shown.image), ("truth", shown.truth), ("prediction", shown.prediction), ("errors", shown.errors)]
    return {"name": name, "mean_iou": float(mean_iou_from_tally(*tally(counts))), "note": note, "views": views}


def _legend(classes: ClassTable) -> list[tuple[str, str]]:
    entries = [(name, "rgb({}, {}, {})".format(*colour)) for name, colour in zip(classes.names, classes.colours)]
    return [*entries, ("no truth", "rgb({}, {}, {})".format(*classes.ignored_colour))]
