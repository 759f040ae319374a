"""tuning.html: whole, self-contained, with its pictures, the verdict and the numbers."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from segfield.crf.dense_crf import DenseCRF
from segfield.crf.tune import Tuning, tune
from segfield.crf.tuning.page import page_html, python_call, write_page
from tests.crf.tuning.planted import CLASSES, CRF, GRID, planted

SAMPLES = planted(5)
VOID = {"area", "br", "hr", "img", "input", "link", "meta"}


class Page(HTMLParser):
    """Tags opened and closed, pictures and text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.pictures: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        source = dict(attrs).get("src")
        if tag == "img" and source:
            self.pictures.append(source)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th") and self.rows:
            self.rows[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1] and {"td", "th"} & {*self.open}:
            self.rows[-1][-1] += data


@pytest.fixture(scope="module")
def tuning() -> Tuning:
    return tune(SAMPLES, CLASSES, base=CRF, grid=GRID, folds=2, threads=1)


@pytest.fixture(scope="module")
def html(tuning: Tuning) -> str:
    return page_html(tuning, SAMPLES, gallery=3, facts={"data": "a & b", "split": "val", "seed": 0, "nothing": None})


def test_it_is_well_formed_and_asks_for_nothing(html: str) -> None:
    page = Page(html)
    assert page.wrong == []
    assert page.open == []
    assert "http://" not in html.replace("http://www.w3.org", "")
    assert "https://" not in html
    assert "a &amp; b" in html
    assert "nothing" not in html.split("<h2>Facts</h2>")[1].split("</section>")[0]


def test_figures_are_drawings_that_parse(html: str) -> None:
    drawings = re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL)
    assert len(drawings) == 6
    for drawing in drawings:
        ElementTree.fromstring(drawing)


def test_every_image_of_the_gallery_has_six_pictures_of_its_size(html: str) -> None:
    page = Page(html)
    assert len(page.pictures) == 3 * 6
    for source in page.pictures:
        kind, data = source.split(",", 1)
        assert kind in ("data:image/png;base64", "data:image/jpeg;base64")
        assert Image.open(io.BytesIO(base64.b64decode(data))).size == SAMPLES[0][2].shape[::-1]


def test_pictures_show_labels_before_and_after(tuning: Tuning) -> None:
    html = page_html(tuning, SAMPLES, gallery=1)
    change = tuning.after.image_mean_iou - tuning.before.image_mean_iou
    index = int(np.argmax(change))
    assert f"{tuning.names[index]} <span>" in html
    _, shown_before, shown_after, shown_truth, *_ = (_picture(source) for source in Page(html).pictures)
    _, probabilities, labels = SAMPLES[index]
    colours = CLASSES.colour_array()
    assert np.array_equal(shown_before, colours[probabilities.argmax(axis=0)])
    assert np.array_equal(shown_truth, colours[labels])
    wrong = [(shown != shown_truth).any(axis=2).sum() for shown in (shown_before, shown_after)]
    assert wrong[1] < wrong[0]


def test_the_class_table_has_before_after_and_change(tuning: Tuning, html: str) -> None:
    rows = {row[0].strip(): row for row in Page(html).rows if row}
    for i, name in enumerate(CLASSES.names):
        before, after = tuning.before.scores.iou[i], tuning.after.scores.iou[i]
        assert rows[name][1:4] == [f"{100 * before:.1f}", f"{100 * after:.1f}", f"{100 * (after - before):+.1f}"]


def test_verdict_and_parameters_can_be_read_and_copied(tuning: Tuning, html: str) -> None:
    assert tuning.verdict in html
    assert eval(python_call(tuning), {"DenseCRF": DenseCRF}) == tuning.best
    assert f"gaussian_weight={tuning.best_point.gaussian_weight!r}" in html
    _, document = (block.replace("&#34;", '"') for block in re.findall(r"<pre>(.*?)</pre>", html, flags=re.DOTALL))
    assert DenseCRF.from_dict(json.loads(document)) == tuning.best


def test_a_rim_is_told_with_what_to_do(tuning: Tuning) -> None:
    rim = dataclasses.replace(tuning, best_point=max(tuning.tried))
    assert "weight" in rim.at_rim
    assert f"<code>--rounds {tuning.rounds + 1}</code>" in page_html(rim)


def test_every_fold_has_its_row(tuning: Tuning, html: str) -> None:
    rows = Page(html.split("<h2>Folds</h2>")[1].split("</section>")[0]).rows
    assert len(rows) == 1 + len(tuning.folds)
    assert all(len(row) == len(rows[0]) for row in rows)
    assert rows[1][2:6] == [f"{value:g}" for value in tuning.folds[0].point]


def test_without_samples_there_is_no_gallery_and_off_is_said(tmp_path: Path) -> None:
    perfect = planted(3, shift=0.0)
    tuning = tune(perfect, CLASSES, base=CRF, grid=GRID, folds=3, rounds=0, threads=1)
    write_page(tmp_path / "sub" / "tuning.html", tuning)
    html = (tmp_path / "sub" / "tuning.html").read_text(encoding="utf-8")
    page = Page(html)
    assert page.wrong == page.open == page.pictures == []
    assert "it is off" in html
    assert 'class="verdict on"' not in html


def _picture(source: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(source.split(",", 1)[1]))).convert("RGB"))
