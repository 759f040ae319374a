"""report.html: one well-formed file, nothing from outside, every number where it belongs, text escaped."""

from __future__ import annotations

import html.parser
import math
import pathlib
import re

import numpy as np
import pytest
import yaml

from segfield.classes import ClassTable
from segfield.evaluation.evaluator import Evaluator
from segfield.evaluation.report import decimal, percent, plain, report_html, write_report
from tests.evaluation.label_maps import patches
from tests.evaluation.test_plots import ROWS
from tests.told import says

CLASSES = ClassTable(("sky", "road & path", "<script>alert(1)</script>", "tree", "ghost"))
RECIPE = {"model": "unet", "crop": (320, 416), "where": pathlib.Path("data/ü"), "rate": np.float32(0.5)}


def evaluated(boundaries=True, calibration=True, images=4, structure=True):
    evaluator = Evaluator(CLASSES, boundaries=boundaries, calibration=calibration, resamples=50, structure=structure)
    rows = []
    for seed in range(images):
        truth, predicted = patches(seed=seed)
        probabilities = np.full((5, *truth.shape), 0.05, np.float32)
        np.put_along_axis(probabilities, predicted[None].astype(np.int64), 0.8, axis=0)
        evaluator.update(f"street {seed}", truth, predicted, probabilities)
        image = np.random.default_rng(seed).integers(0, 4096, (4, *truth.shape)).astype(np.uint16)
        rows.append((f"street {seed}", image, truth, predicted))
    return evaluator.result(), rows


@pytest.fixture(scope="module")
def page():
    evaluation, rows = evaluated()
    facts = {"data": "camvid:CamVid", "split": "val", "seed": 0, "commit": None, "torch": "2.6"}
    return report_html(evaluation, curves=ROWS, gallery=rows[:2], recipe=RECIPE, facts=facts), evaluation


class Balance(html.parser.HTMLParser):
    """Collects tags that are closed in another order than they were opened, and every address."""

    void = frozenset({"meta", "img", "br", "link", "hr", "input"})

    def __init__(self):
        super().__init__()
        self.open, self.wrong, self.addresses = [], [], []

    def handle_starttag(self, tag, attrs):
        self.addresses += [value for key, value in attrs if key in ("src", "href", "xlink:href", "srcset", "action")]
        if tag not in self.void:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.addresses += [value for key, value in attrs if key in ("src", "href", "xlink:href")]

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


def test_is_balanced_and_asks_for_nothing_outside(page):
    parser = Balance()
    parser.feed(page[0])
    assert parser.open == [] and parser.wrong == []
    assert len(parser.addresses) > 10 and all(address.startswith(("#", "data:")) for address in parser.addresses)
    assert not re.search(r"@import|url\((?!#|data:)|fetch\(|XMLHttpRequest", page[0])
    assert "default-src 'none'" in page[0]


def test_every_link_has_its_target(page):
    for target in re.findall(r'<a href="#([\w-]+)"', page[0]):
        assert f'<section id="{target}"' in page[0]


def test_the_numbers_are_those_of_the_evaluation(page):
    text, evaluation = page
    scores = evaluation.scores
    assert f"<b>mIoU</b><strong>{100 * scores.mean_iou:.1f}" in text
    for value in (
        scores.pixel_accuracy,
        scores.frequency_weighted_iou,
        evaluation.boundaries.bf_score,
        *scores.iou[:4],
    ):
        assert f"{100 * value:.1f}" in text
    low, high = evaluation.mean_iou_interval.low, evaluation.mean_iou_interval.high
    assert f"95 % interval {100 * low:.1f} to {100 * high:.1f}" in text
    assert scores.rule.split(".")[0] in text and says("Absent … ghost", text)


def structure_table(text):
    """Rows of cells' texts: heading, classes, means."""
    section = re.search(r'<section id="structure">(.*?)</section>', text, re.DOTALL)[1]
    rows = re.findall(r"<tr.*?>(.*?)</tr>", section, re.DOTALL)
    return [
        [re.sub(r"<.*?>", "", cell).strip() for cell in re.findall(r"<t[dh].*?>(.*?)</t[dh]>", row)] for row in rows
    ]


def test_a_row_of_structure_for_each_class_and_the_means(page):
    text, evaluation = page
    heading, *rows, means = structure_table(text)
    scores, edges, counts = evaluation.scores, evaluation.boundaries, evaluation.structure
    assert len(rows) == 5 and {len(row) for row in [heading, *rows, means]} == {10}
    for i, row in enumerate(rows[:4]):
        shares = (scores.iou[i], scores.recall[i], edges.class_boundary_iou[i], edges.class_bf_score[i])
        assert row[1:5] == [f"{100 * share:.1f}" for share in shares]
        (true, found), (holes, found_holes) = counts.components[:, i], counts.holes[:, i]
        assert row[5:] == [f"{true}", f"{found}", f"{counts.size_distance[i]:.2f}", f"{holes}", f"{found_holes}"]
    assert rows[4] == ["ghost absent", "–", "–", "–", "–", "0", "0", "–", "0", "0"]
    assert means[:4] == [
        "mean of classes",
        f"{100 * scores.mean_iou:.1f}",
        f"{100 * scores.mean_class_accuracy:.1f}",
        f"{100 * edges.boundary_iou:.1f}",
    ]
    assert means[5] == f"{counts.components[0, :4].mean():.1f}" and means[7] == f"{counts.mean_size_distance:.2f}"


def test_structure_without_boundaries_has_no_columns_for_them():
    text = report_html(evaluated(boundaries=False, images=1)[0])
    assert {len(row) for row in structure_table(text)} == {8} and "boundary F" not in text


def test_far_more_and_far_fewer_components_are_remarked():
    truth, predicted = np.zeros((20, 20), np.uint8), np.zeros((20, 20), np.uint8)
    truth[2, 2] = truth[4, 2] = truth[6, 2] = predicted[2, 2] = 1  # 1 for 3
    truth[10, 10] = predicted[10, 10] = predicted[12, 10] = predicted[14, 10] = 2  # 3 for 1
    truth[18, 18] = predicted[18, 18] = predicted[18, 16] = 3  # twice, but not over it
    predicted[0, 18] = 4  # not in the truth at all
    for shown, there in ((True, True), (False, False)):
        evaluator = Evaluator(ClassTable(("sky", "road", "car", "tree", "ghost")), resamples=10, structure=shown)
        evaluator.update("a", truth, predicted)
        text = report_html(evaluator.result())
        for remark in ("Over twice … car (3 for 1).</li>", "Under half … road (1 for 3).</li>"):
            assert says(remark, text) is there
        assert "tree (2 for 1)" not in text and "ghost (" not in text


def test_what_a_user_named_is_escaped(page):
    assert "<script>alert" not in page[0] and "&lt;script&gt;alert(1)" in page[0] and "road &amp; path" in page[0]


def test_gallery_recipe_and_facts_are_there(page):
    text = page[0]
    assert text.count('alt="errors of street') == 2 and text.count("data:image/jpeg;base64,") == 4
    shown = re.search(r"<pre>(.*?)</pre>", text, re.DOTALL)[1]
    assert yaml.safe_load(shown) == {"model": "unet", "crop": [320, 416], "where": "data/ü", "rate": 0.5}
    assert "<h1>camvid:CamVid · val</h1>" in text
    assert "<th>seed</th><td>0</td>" in text and "<th>commit</th>" not in text


def test_light_dark_and_narrow(page):
    assert "prefers-color-scheme: dark" in page[0] and "max-width: 44rem" in page[0] and "width=device-width" in page[0]


def test_the_least_evaluation_gives_a_page_without_the_other_sections():
    evaluation, _ = evaluated(boundaries=False, calibration=False, images=1, structure=False)
    text = report_html(evaluation)
    for section in ("structure", "edges", "calibration", "training", "recipe", "gallery", "facts"):
        assert f'id="{section}"' not in text
    assert 'id="classes"' in text and "<h1>Evaluation</h1>" in text and "1 image," in text


def test_a_set_without_known_pixels_still_gives_a_page():
    evaluator = Evaluator(CLASSES, resamples=10)
    void, predicted = np.full((9, 9), 255, np.uint8), np.zeros((9, 9), np.uint8)
    evaluator.update("void", void, predicted)
    text = report_html(evaluator.result(), gallery=[("void", np.zeros((3, 9, 9), np.uint8), void, predicted)])
    assert "<b>mIoU</b><strong>–</strong>" in text and "nan" not in text.replace("data:", "").split("<main>")[0]


def test_written_whole_and_again(tmp_path):
    evaluation, rows = evaluated(images=1)
    target = tmp_path / "ein Ordner" / "report.html"
    target.parent.mkdir()
    for _ in range(2):
        write_report(target, evaluation, gallery=rows)
    assert target.read_text(encoding="utf-8").rstrip().endswith("</html>")
    assert [path.name for path in target.parent.iterdir()] == ["report.html"]


def test_percent_and_plain():
    assert (percent(0.5), percent(math.nan), percent(0.12345, 2)) == ("50.0", "–", "12.35")
    assert (decimal(3, 1), decimal(0.5), decimal(12.34, 1), decimal(math.nan)) == ("3", "0.50", "12.3", "–")
    assert plain({1: (np.int64(2), {3}), "a": None, "b": True}) == {"1": [2, [3]], "a": None, "b": True}
