"""tuning.html: the grid, the edges, the classes and some images before and after. One file, in the report's manner."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import numpy as np
from markupsafe import Markup

from segfield.classes import Array, ClassTable
from segfield.crf.tuning import plots
from segfield.crf.tuning.trials import Prepare, TuningSample, checked_sample, prepare_crf, refined_labels
from segfield.data.files import write_text
from segfield.evaluation.pictures import pictures
from segfield.evaluation.plots import trimap_before_after
from segfield.evaluation.report import percent

if TYPE_CHECKING:
    from segfield.crf.tune import Tuning


def write_page(
    path: str | Path,
    tuning: Tuning,
    samples: Sequence[TuningSample] = (),
    *,
    gallery: int = 6,
    facts: Mapping[str, Any] | None = None,
    prepare: Prepare = prepare_crf,
) -> None:
    """Write the page as one self-contained HTML file, atomically.

    Args:
        path: of the file.
        tuning: what was found.
        samples: those that were tuned on; without them there is no gallery.
        gallery: images to show: those that gain most, and those that lose most, by turns.
        facts: versions, seed, data and the like, shown as a table.
        prepare: as it was given to `tune`.

    Raises:
        SegfieldError: if the file cannot be written.
    """
    write_text(path, page_html(tuning, samples, gallery=gallery, facts=facts, prepare=prepare))


def page_html(
    tuning: Tuning,
    samples: Sequence[TuningSample] = (),
    *,
    gallery: int = 6,
    facts: Mapping[str, Any] | None = None,
    prepare: Prepare = prepare_crf,
) -> str:
    """The page that `write_page` writes, with the same arguments."""
    folders = [jinja2.PackageLoader("segfield.crf"), jinja2.PackageLoader("segfield.evaluation")]
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(folders), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["percent"] = percent
    environment.filters["points"] = lambda value: "–" if value != value else f"{100 * value:+.1f}"
    chosen = _most_changed(tuning, gallery) if samples else []
    drawn = {
        "grid": plots.grid_picture(tuning),
        "weights": plots.weight_pictures(tuning),
        "curve": plots.weight_curve(tuning),
        "gaussian": plots.gaussian_curve(tuning),
        "trimap": str(trimap_before_after(tuning.before.boundaries, tuning.after.boundaries)),
        "changes": plots.gain_histogram(tuning.before, tuning.after),
    }
    return environment.get_template("tuning.html.j2").render(
        tuning=tuning,
        cards=_cards(tuning),
        class_rows=_class_rows(tuning),
        figures={name: Markup(drawing) for name, drawing in drawn.items()},
        gallery=[_row(tuning, samples, index, prepare) for index in chosen],
        legend=_legend(tuning.classes),
        rounds=tuning.rounds + 1,
        call=python_call(tuning),
        gaussian_width="none" if tuning.base.gaussian_sxy is None else f"{tuning.base.gaussian_sxy} pixels",
        document=json.dumps(tuning.best.as_dict(), indent=2),
        facts={key: value for key, value in (facts or {}).items() if value not in (None, "")},
    )


def python_call(tuning: Tuning) -> str:
    """The best parameters as a line of Python."""
    settings = {key: value for key, value in tuning.best.as_dict().items() if key != "name"}
    return "DenseCRF(" + ", ".join(f"{key}={value!r}" for key, value in settings.items()) + ")"


def _cards(tuning: Tuning) -> list[dict[str, str]]:
    """The numbers on top: name, value, and a line below."""
    before, after, interval = tuning.before, tuning.after, tuning.gain.interval
    spread = f"{100 * interval.level:.0f} % interval {100 * interval.low:+.2f} to {100 * interval.high:+.2f}"
    narrow = tuning.before.boundaries.widths.index(5)
    pairs = [
        ("mIoU", before.scores.mean_iou, after.scores.mean_iou),
        ("boundary IoU", before.boundaries.boundary_iou, after.boundaries.boundary_iou),
        ("trimap IoU, 5 pixels", before.boundaries.trimap[narrow], after.boundaries.trimap[narrow]),
        ("BF score", before.boundaries.bf_score, after.boundaries.bf_score),
        ("pixel accuracy", before.scores.pixel_accuracy, after.scores.pixel_accuracy),
    ]
    gain = {"name": "gain in mIoU, points", "value": f"{100 * interval.value:+.2f}", "note": spread}
    return [gain, *({"name": n, "value": percent(b), "note": f"{percent(a)} without"} for n, a, b in pairs)]


def _class_rows(tuning: Tuning) -> list[dict[str, Any]]:
    before, after = tuning.before, tuning.after
    edges_before, edges_after = before.boundaries.class_boundary_iou, after.boundaries.class_boundary_iou
    return [
        {
            "name": name,
            "colour": _rgb(tuning.classes.colours[i]),
            "share": before.scores.truth_share[i],
            "before": before.scores.iou[i],
            "after": after.scores.iou[i],
            "change": after.scores.iou[i] - before.scores.iou[i],
            "edge_before": float(edges_before[i]),
            "edge_after": float(edges_after[i]),
            "edge_change": float(edges_after[i] - edges_before[i]),
            "absent": name in before.scores.absent,
        }
        for i, name in enumerate(tuning.classes.names)
    ]


def _most_changed(tuning: Tuning, most: int) -> list[int]:
    """Positions of the images that gain most and lose most, by turns; each once."""
    change = tuning.after.image_mean_iou - tuning.before.image_mean_iou
    known = [int(i) for i in np.argsort(-change, kind="stable") if np.isfinite(change[i])]
    turns = [i for pair in zip(known, reversed(known)) for i in pair]
    return list(dict.fromkeys(turns))[: max(most, 0)]


def _row(tuning: Tuning, samples: Sequence[TuningSample], index: int, prepare: Prepare) -> dict[str, Any]:
    """One image: truth, and labels and errors before and after, with what its fold was given."""
    name = tuning.names[index]
    image, probabilities, labels = checked_sample(samples[index], name, tuning.classes)
    point = next(fold.point for fold in tuning.folds if index in fold.images)
    sample = (image, probabilities, labels)
    (_, refined, _), *_ = refined_labels(sample, [point], tuning.base, prepare)
    before = pictures(image, labels, _ids(probabilities.argmax(axis=0), tuning.classes), tuning.classes)
    after = pictures(image, labels, _ids(refined, tuning.classes), tuning.classes)
    return {
        "name": name,
        "before": float(tuning.before.image_mean_iou[index]),
        "after": float(tuning.after.image_mean_iou[index]),
        "views": [
            ("image", before.image), ("classifier alone", before.prediction), ("with the CRF", after.prediction),
            ("truth", before.truth), ("errors of the classifier", before.errors), ("errors with the CRF", after.errors),
        ],
    }  # fmt: skip


def _ids(labels: Array, classes: ClassTable) -> Array:
    return labels.astype(classes.dtype)


def _legend(classes: ClassTable) -> list[tuple[str, str]]:
    named = [(name, _rgb(colour)) for name, colour in zip(classes.names, classes.colours)]
    return [*named, ("no truth", _rgb(classes.ignored_colour))]


def _rgb(colour: tuple[int, int, int]) -> str:
    return "rgb({}, {}, {})".format(*colour)
