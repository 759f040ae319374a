"""The HTML page: self-contained, escaped, with the problems before all else and true pictures."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segfield.classes import ClassTable
from segfield.data.check import check_dataset
from segfield.data.check.page import TILE, bar_length, labels_uri, render_page
from tests.data.check.facts import CLASSES, Memory, files_dataset, labels, picture
from tests.data.check.test_report import plant


def opened(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.split(",", 1)[1])))


def test_labels_are_drawn_in_their_colours_and_clear_where_ignored() -> None:
    drawn = np.asarray(opened(labels_uri(labels(0, 2, 255), CLASSES)))
    assert drawn[0, 0].tolist() == [*CLASSES.colours[0], 255]
    assert drawn[5, 15].tolist() == [*CLASSES.colours[2], 255]
    assert drawn[0, -1, 3] == 0


@pytest.mark.parametrize("shape", [(1, 1), (3000, 2), (40, 1200)])
def test_pictures_fit_the_tile(shape: tuple[int, int]) -> None:
    size = opened(labels_uri(np.zeros(shape, dtype=np.uint8), CLASSES)).size
    assert min(size) >= 1 and max(size) <= TILE


def test_bars_are_logarithmic() -> None:
    assert [bar_length(share) for share in (0.0, 0.0001, 0.01, 1.0)] == [0.0, 2.0, 50.0, 100.0]


class Tags(HTMLParser):
    """Collects tags, sources and whether open tags are closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img", "input", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open[-1] in ("li", "p", "td", "th", "tr") and self.open[-1] != tag:
            self.open.pop()
        assert self.open.pop() == tag


def test_page_needs_nothing_from_outside_and_is_well_formed(tmp_path: Path) -> None:
    dataset = plant(tmp_path)
    page = render_page(check_dataset(dataset, "planted"), dataset)
    tags = Tags(page)
    assert tags.open == []
    assert tags.sources and all(source.startswith("data:image/") for source in tags.sources)
    assert not re.search(r"https?://|@import|url\(", page)


def test_page_says_what_the_report_says_problems_first(tmp_path: Path) -> None:
    dataset = plant(tmp_path)
    report = check_dataset(dataset, "planted")
    page = render_page(report, dataset)
    for problem in report.problems:
        assert problem.kind in page
    assert (
        page.index("unknown mask values")
        < page.index("band counts")
        < page.index("<h2>Classes")
        < page.index("Gallery")
    )
    assert "source_values: {0: 0, 1: 1, 2: 2, 42: 255, 255: 255}" in page
    assert "unusable</div>" in page


def test_names_are_escaped(tmp_path: Path) -> None:
    table = ClassTable(("<script>alert(1)</script>", "b & c"))
    dataset = files_dataset(tmp_path, {"<b>x": labels(0, 1)}, classes=table)
    page = render_page(check_dataset(dataset, "<i>data"), dataset)
    assert "<script>" not in page and "<b>x" not in page and "<i>data" not in page
    assert "b &amp; c" in page


def test_gallery_shows_every_class_that_occurs() -> None:
    samples = {f"s{i}": ("train", picture(i).transpose(2, 0, 1), labels(0, 1 + i % 2)) for i in range(6)}
    dataset = Memory(samples)
    page = render_page(check_dataset(dataset), dataset)
    gallery = page[page.index("<h2>Gallery") :]
    assert [name in gallery for name in CLASSES.names] == [True, True, True]
    assert gallery.count("<figure>") == 6  # each sample once, none twice


@pytest.mark.parametrize("image", [np.zeros((1, 9, 9), np.uint16), np.zeros((7, 9, 9), np.float32)])
def test_page_of_images_of_other_kinds(image: np.ndarray) -> None:
    dataset = Memory({"a": ("train", image, labels(0, 1, height=9, width=9))})
    assert "<figure>" in render_page(check_dataset(dataset), dataset)


def test_page_of_nothing() -> None:
    dataset = Memory({})
    assert "there are no samples" in render_page(check_dataset(dataset), dataset)
