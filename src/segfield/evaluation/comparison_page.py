"""comparison.html: ranking, differences, accuracy by speed, pictures side by side. One file, in the report's manner."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from segfield.classes import Array, ClassTable
from segfield.data.files import write_text
from segfield.evaluation import comparison_plots as plots
from segfield.evaluation.comparison import HOW_MEASURED, Comparison, Row, in_points, tells_apart
from segfield.evaluation.confusion import confusion_matrix
from segfield.evaluation.pictures import pictures
from segfield.evaluation.report import percent, plain
from segfield.evaluation.scores import mean_iou_from_tally, tally

MIB = 2**20


@dataclass(frozen=True)
class SideBySide:
    """One image as the recipes see it: image (C, H, W), labels (H, W), and each recipe's predicted labels (H, W) by name."""

    name: str
    image: Array
    labels: Array
    predicted: Mapping[str, Array]


def write_comparison(
    path: str | Path, comparison: Comparison, classes: ClassTable, gallery: Sequence[SideBySide] = ()
) -> None:
    """Write the page as one self-contained HTML file, atomically.

    Args:
        path: of the file.
        comparison: what was found.
        classes: their names and colours.
        gallery: the images to show.

    Raises:
        DataError: if a gallery row's sizes differ.
        SegfieldError: if the file cannot be written.
    """
    write_text(path, comparison_html(comparison, classes, gallery))


def comparison_html(comparison: Comparison, classes: ClassTable, gallery: Sequence[SideBySide] = ()) -> str:
    """The page that `write_comparison` writes, with the same arguments."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("segfield.evaluation"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["percent"] = percent
    rows = comparison.rows
    figures = {"speed": plots.accuracy_speed(rows), "curves": plots.learning_curves(rows)}
    return environment.get_template("comparison.html.j2").render(
        comparison=comparison,
        rows=[row_cells(row) for row in rows],
        pairs=[
            {
                "better": pair.better,
                "worse": pair.worse,
                "points": f"{100 * pair.difference.interval.value:+.2f}",
                "interval": in_points(pair.difference.interval),
                "p": f"{pair.difference.p_value:.3f}",
                "seeds": len(pair.seeds),
                "apart": tells_apart(pair),
            }
            for pair in comparison.neighbours
        ],
        settings={name: plain(values) for name, values in comparison.settings.items()},
        recipes=[row.name for row in rows],
        figures={name: Markup(drawing) for name, drawing in figures.items()},
        gallery=[_gallery_row(row, classes) for row in gallery],
        legend=_legend(classes),
        facts={key: value for key, value in comparison.facts.items() if value not in (None, "")},
        how=HOW_MEASURED,
    )


def row_cells(row: Row) -> dict[str, Any]:
    """The cells of a recipe's line, as text; a dash where there is nothing."""
    failed = f", {len(row.failures)} failed" if row.failures else ""
    return {
        "name": row.name,
        "network": row.network,
        "seeds": f"{len(row.runs)} seed{'' if len(row.runs) == 1 else 's'}{failed}",
        "share": 0.0 if math.isnan(row.mean_iou) else 100 * row.mean_iou,
        "spread": 0.0 if math.isnan(row.deviation) else 100 * row.deviation,
        "mean_iou": percent(row.mean_iou, 2),
        "deviation": percent(row.deviation, 2),
        "pixel_accuracy": percent(row.mean("pixel_accuracy")),
        "class_accuracy": percent(row.mean("mean_class_accuracy")),
        "boundary_iou": percent(row.mean("boundary_iou")),
        "parameters": rounded(row.largest("parameters") / 1e6),
        "multiply_adds": rounded(row.largest("multiply_adds") / 1e9),
        "training_rate": rounded(row.median("training_rate")),
        "prediction_rate": rounded(row.median("prediction_rate")),
        "training_memory": rounded(row.largest("training_memory") / MIB),
        "prediction_memory": rounded(row.largest("prediction_memory") / MIB),
    }


def rounded(value: float) -> str:
    """Three digits, or all before the point: '0.0482', '7.76', '31.0', '1,840'; a dash for NaN."""
    if math.isnan(value):
        return "–"
    if value >= 100 or value == 0:
        return f"{value:,.0f}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def _gallery_row(row: SideBySide, classes: ClassTable) -> dict[str, Any]:
    """Above: the image and the predictions; below: the truth and the errors."""
    above: list[dict[str, str]] = []
    below: list[dict[str, str]] = []
    for recipe, predicted in row.predicted.items():
        shown = pictures(row.image, row.labels, predicted, classes)
        if not above:
            above.append({"label": "image", "source": shown.image, "note": ""})
            below.append({"label": "truth", "source": shown.truth, "note": ""})
        counts = confusion_matrix(row.labels, predicted, len(classes), classes.ignored_id)
        own = f"mIoU {percent(float(mean_iou_from_tally(*tally(counts))))}"
        above.append({"label": recipe, "source": shown.prediction, "note": own})
        below.append({"label": f"errors of {recipe}", "source": shown.errors, "note": ""})
    return {"name": row.name, "views": [*above, *below], "columns": len(above)}


def _legend(classes: ClassTable) -> list[tuple[str, str]]:
    entries = [(name, "rgb({}, {}, {})".format(*colour)) for name, colour in zip(classes.names, classes.colours)]
    return [*entries, ("no truth", "rgb({}, {}, {})".format(*classes.ignored_colour))]
