"""The report of `check` as one self-contained HTML page: problems first, then classes, images, and a gallery."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import numpy.typing as npt
from PIL import Image

from segfield.classes import Array, ClassTable
from segfield.data.check.problem import RANKS
from segfield.data.check.report import CheckReport, membership
from segfield.data.dataset import Dataset
from segfield.data.preview import preview
from segfield.errors import SegfieldError

TILE = 300  # pixels; longer side of a gallery picture
MOST_TILES = 90


@dataclass(frozen=True)
class Tile:
    """One picture of the gallery: JPEG of the image and PNG of its coloured labels, as data URIs."""

    name: str
    share: float
    image: str
    labels: str


def render_page(report: CheckReport, dataset: Dataset) -> str:
    """The HTML of the page; the samples of its gallery are opened once more.

    Args:
        dataset: the data set the report is about.
    """
    template = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
    ).get_template("check.html.j2")
    stats = report.band_stats
    return template.render(
        report=report,
        problems=[(severity, [p for p in report.problems if p.severity == severity]) for severity in RANKS],
        rows=class_rows(report),
        splits=[(name, len(report.of_split(name))) for name in report.main_splits],
        sizes=report.sizes.most_common(8),
        bands=[] if stats is None else list(zip(stats.low, stats.high, stats.mean, stats.std)),
        gallery=gallery(report, dataset),
        weights={name: ", ".join(f"{w:.4g}" for w in values) for name, values in report.weights.items()},
    )


def class_rows(report: CheckReport) -> list[dict[str, Any]]:
    """One row a class: name, colour, and for each split the share of labelled pixels, its bar in %, and the images."""
    columns = report.main_splits or (None,)
    pixels = {name: report.pixels(name) for name in columns}
    images = {name: report.images_with(name) for name in columns}
    rows = []
    for i, name in enumerate(report.classes.names):
        shares = [float(pixels[column][i] / max(int(pixels[column].sum()), 1)) for column in columns]
        cells = [(s, bar_length(s), int(images[column][i])) for s, column in zip(shares, columns)]
        weights = [float(values[i]) for values in report.weights.values()]
        colour = "#{:02x}{:02x}{:02x}".format(*report.classes.colours[i])
        rows.append({"id": i, "name": name, "colour": colour, "cells": cells, "weights": weights})
    return rows


def bar_length(share: float) -> float:
    """Percent of the bar: logarithmic from 0.01% to 100%, so that rare classes show."""
    return 0.0 if share <= 0 else max(2.0, min(100.0, 25.0 * (4.0 + math.log10(share))))


def gallery(report: CheckReport, dataset: Dataset) -> list[tuple[int, list[Tile]]]:
    """(class id, tiles): for each class a sample with most of it, a middling one and one with least."""
    members, _ = membership(dataset)
    chosen: list[tuple[int, list[Tile]]] = []
    used: set[int] = set()
    each = 3 if len(report.classes) <= MOST_TILES // 3 else 1
    for i in range(len(report.classes)):
        tiles = []
        for at in _picks(report, i, each, used):
            part, index, _ = members[at]
            try:
                sample = part[index]
            except (SegfieldError, OSError):
                continue
            if sample.labels is None or len(used) >= MOST_TILES:
                continue
            used.add(at)
            share = float(np.count_nonzero(sample.labels == i) / sample.labels.size)
            pictures = picture_uri(preview(sample.image)), labels_uri(sample.labels, report.classes)
            tiles.append(Tile(sample.name, share, *pictures))
        if tiles:
            chosen.append((i, tiles))
    return chosen


def _picks(report: CheckReport, class_id: int, each: int, used: set[int]) -> list[int]:
    counts = {at: int(f.counts[class_id]) for at, f in enumerate(report.facts) if f.counts is not None}
    order = sorted((at for at, count in counts.items() if count and at not in used), key=lambda at: -counts[at])
    places: Sequence[int] = (0, len(order) // 2, len(order) - 1)[:each]
    return list(dict.fromkeys(order[place] for place in places)) if order else []


def picture_uri(picture: npt.NDArray[np.uint8]) -> str:
    """(H, W, 3) → a JPEG data URI, TILE pixels on its longer side at most."""
    small = Image.fromarray(picture)
    small.thumbnail((TILE, TILE), Image.Resampling.BOX)
    return _uri(small, "JPEG", quality=82)


def labels_uri(labels: Array, classes: ClassTable) -> str:
    """(H, W) labels → a PNG data URI in the classes' colours, clear where ignored."""
    height, width = labels.shape
    scale = min(1.0, TILE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = np.asarray(Image.fromarray(labels.astype(np.int32)).resize(size, Image.Resampling.NEAREST))
    opaque = np.where(small == classes.ignored_id, 0, 255).astype(np.uint8)
    return _uri(Image.fromarray(np.dstack([classes.colour_array()[small], opaque])), "PNG", optimize=True)


def _uri(picture: Image.Image, kind: str, **settings: Any) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **settings)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"
