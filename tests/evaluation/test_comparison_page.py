"""comparison.html: one well-formed file, nothing from outside, the numbers of the comparison, pictures of every recipe."""

from __future__ import annotations

import re

import numpy as np
import pytest

from segfield.classes import ClassTable
from segfield.evaluation.comparison import HOW_MEASURED, FailedRun, compare_runs
from segfield.evaluation.comparison_page import SideBySide, comparison_html, rounded, write_comparison
from tests.evaluation.compared import NAMES, scored
from tests.evaluation.label_maps import patches
from tests.evaluation.test_report import Balance
from tests.told import says

CLASSES = ClassTable(("sky", "road & path", "<b>car</b>", "tree"))


@pytest.fixture(scope="module")
def found():
    runs = [scored(name, seed, share) for name, share in (("small", 0.6), ("large", 0.7)) for seed in range(2)]
    settings = {
        name: {"options": {"width": w}, "loss": "dice"} for name, w in (("small", 8), ("large", 64), ("<i>", 8))
    }
    return compare_runs(
        {"small": "unet_padded", "large": "fcn8s", "<i>": "icnet"},
        runs,
        [FailedRun("<i>", 0, "the loss became nan & it diverged")],
        images=NAMES,
        settings=settings,
        facts={"data": "camvid:CamVid", "split": "test", "budget": "time 20m", "remark": "Take care."},
    )


@pytest.fixture(scope="module")
def page(found):
    gallery = []
    for seed in range(2):
        truth, predicted = patches(seed=seed)
        image = np.random.default_rng(seed).integers(0, 255, (3, *truth.shape)).astype(np.uint8)
        gallery.append(
            SideBySide(f"street {seed}", image, truth, {"large": predicted, "small": np.zeros_like(predicted)})
        )
    return comparison_html(found, CLASSES, gallery)


def test_is_balanced_and_asks_for_nothing_outside(page):
    parser = Balance()
    parser.feed(page)
    assert parser.open == [] and parser.wrong == []
    assert len(parser.addresses) > 10 and all(address.startswith(("#", "data:")) for address in parser.addresses)
    assert not re.search(r"@import|url\((?!#|data:)|fetch\(|XMLHttpRequest", page)
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")


def test_every_link_has_its_target(page):
    targets = re.findall(r'<a href="#([\w-]+)"', page)
    assert len(targets) == 7 and all(f'<section id="{target}"' in page for target in targets)


def test_the_numbers_are_those_of_the_comparison(page, found):
    for row in found.rows[:2]:
        line = re.search(rf'<tr>\s*<td class="text">{row.name}.*?</tr>', page, re.DOTALL)[0]
        cells = re.findall(r"<td>(?:<strong>)?(.*?)(?:</strong>)?</td>", line)
        share = 100 * row.mean("pixel_accuracy")
        assert cells == [
            f"{100 * row.mean_iou:.2f}", f"{100 * row.deviation:.2f}", f"{share:.1f}", f"{share:.1f}", f"{share / 2:.1f}",
            "2.00", "3.00", "20.0", "10.0", "512", "128",
        ]  # fmt: skip
    pair = found.neighbours[0].difference
    assert f"{100 * pair.interval.value:+.2f}" in page and f"{100 * pair.interval.low:+.2f} to" in page
    assert f"<td>{pair.p_value:.3f}</td>" in page and "told apart" in page
    assert found.verdict() in page.replace("&#39;", "'")


def test_failures_settings_facts_and_definitions_are_there(page):
    assert says("&lt;i&gt;, seed 0 … nan &amp; it diverged", page)
    row = re.search(r'<td class="text">options.width</td>(.*?)</tr>', page)[1]
    assert re.findall(r">(\d+|–)<", row) == ["64", "8", "8"]  # in the ranking's order
    assert ">loss<" not in page
    assert "camvid:CamVid · test" in page and "time 20m" in page and "Take care." in page
    assert all(name in page for name in HOW_MEASURED)


def test_what_a_user_named_is_escaped(page):
    assert "<i>, seed" not in page and "<b>car" not in page and "road &amp; path" in page


def test_each_recipe_has_its_prediction_and_errors_of_each_image(page):
    labels = re.findall(r"<figcaption>(.*?)</figcaption>", page)
    own = r"\(mIoU [\d.]+\)"
    expected = ["image", f"large {own}", f"small {own}", "truth", "errors of large", "errors of small"]
    assert len(labels) == 2 * len(expected) + 1  # and the empty one of the large view
    assert all(re.fullmatch(pattern, label) for pattern, label in zip(expected * 2, labels))
    assert page.count("--columns:3") == 2
    assert page.count('src="data:image/') == 12


def test_it_is_written_whole(tmp_path, found):
    write_comparison(tmp_path / "new" / "c.html", found, CLASSES)
    text = (tmp_path / "new" / "c.html").read_text(encoding="utf-8")
    assert text.rstrip().endswith("</html>") and 'id="gallery"' not in text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.00051, "0.000510"),
        (0.0482, "0.0482"),
        (7.76, "7.76"),
        (31.03, "31.0"),
        (99.96, "100.0"),
        (1840.2, "1,840"),
        (0, "0"),
    ],
)
def test_three_digits(value, shown):
    assert rounded(value) == shown


def test_nothing_is_a_dash():
    assert rounded(float("nan")) == "–"
