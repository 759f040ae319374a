"""`segfield check` as a whole: from a folder on disk to the table, the page and the exit status."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from segfield.commands.check import check, page_path
from segfield.data.unpack import unpack
from segfield.errors import DataError, SettingError
from tests.data.check.facts import labels, picture


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """images/ and masks/ of ten samples, two of every five in val."""
    root = tmp_path / "my data"
    for i in range(10):
        split = "val" if i % 5 < 2 else "train"
        for kind, pixels in (("images", picture(i)), ("masks", labels(0, 1, 2))):
            path = root / kind / split / f"s{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    (root / "classes.txt").write_text("sky\nroad\ncar\n")
    return root


def test_healthy_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = check(str(folder))
    shown = capsys.readouterr().out
    assert (report.verdict, report.exit_status) == ("usable", 0)
    assert all(word in shown for word in ("sky", "33.33%", "10 × 30×20", "10 grey", "usable: 10 samples"))


def test_quiet_says_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check(str(folder), quiet=True)
    assert capsys.readouterr() == ("", "")


def test_unknown_value_is_named_and_the_pasted_table_mends_it(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(labels(0, 1, 7)).save(folder / "masks/train/s3.png")
    report = check(str(folder))
    shown = capsys.readouterr().out
    assert report.exit_status == 1
    assert "value 7: 200 pixels in 1 mask" in shown and "s3.png" in shown
    table = tmp_path / "classes.yaml"
    table.write_text(f"names: [sky, road, car]\n{report.problems[0].paste}\n")
    assert check(str(folder), classes=str(table), quiet=True).usable


def test_one_broken_mask_does_not_hide_the_others(folder: Path) -> None:
    """Without a class table the classes are read off the masks, which one broken mask prevents."""
    (folder / "classes.txt").unlink()
    for i in (3, 4):
        (folder / f"masks/train/s{i}.png").write_bytes(b"no mask")
    (folder / "images/val/s0.png").write_bytes((folder / "images/train/s2.png").read_bytes())
    report = check(str(folder), out=str(folder / "check.html"), quiet=True)
    assert "duplicates across splits" in {problem.kind for problem in report.problems}
    (broken,) = [problem for problem in report.problems if problem.kind == "corrupt mask"]
    assert broken.count == 2
    assert report.exit_status == 1
    page = (folder / "check.html").read_text()
    assert "value 200" not in page and "<h2>Classes" not in page


def test_page_is_written_and_replaced_but_no_other_file_is(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "pages"
    out.mkdir()
    for _ in range(2):
        assert check(str(folder), out=str(out), quiet=True).page == str(out / "check.html")
    assert "<h2>Gallery</h2>" in (out / "check.html").read_text()
    mine = tmp_path / "mine.html"
    mine.write_text("<p>mine</p>")
    with pytest.raises(SettingError, match="no page of check"):
        check(str(folder), out=str(mine), quiet=True)
    assert mine.read_text() == "<p>mine</p>"


def test_page_names(tmp_path: Path) -> None:
    assert page_path(tmp_path / "new" / "a.html") == tmp_path / "new" / "a.html"
    assert page_path(tmp_path / "folder") == tmp_path / "folder" / "check.html"
    with pytest.raises(SettingError, match=r"ends in \.html"):
        page_path(tmp_path / "a.pdf")


def test_drawn_scenes_have_no_files_and_are_usable() -> None:
    report = check("scenes:count=12,size=48x64,seed=0", quiet=True)
    assert report.usable
    assert len(report.facts) == 12
    assert report.encodings == {}


@pytest.mark.parametrize("where", ["/not/there", "folder:/not/there"])
def test_nothing_there(where: str) -> None:
    with pytest.raises(DataError, match="nothing at"):
        check(where)


def test_bad_workers(folder: Path) -> None:
    with pytest.raises(SettingError, match="workers is -1"):
        check(str(folder), workers=-1)


def test_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no image"):
        check(str(tmp_path))


@pytest.mark.thorough
@pytest.mark.shared
def test_stanford_background_has_two_images_twice_with_unlike_masks(shared_data: Path, tmp_path: Path) -> None:
    unpack(shared_data / "stanford_background" / "iccv09Data.tar.xz", tmp_path)
    report = check(f"stanford_background:{tmp_path}", quiet=True)
    (twins,) = [problem for problem in report.problems if problem.kind == "contradicting masks"]
    assert twins.count == 2
    assert "6000117" in twins.files[0] and "6000324" in twins.files[0]
    shares = report.pixels() / (report.pixels().sum() / (1 - report.ignored_share))
    published = [0.1448, 0.1402, 0.2252, 0.0685, 0.0400, 0.2261, 0.0134, 0.1366]  # of all 715; 572 of them are here
    assert shares.tolist() == pytest.approx(published, abs=0.01)
    assert report.ignored_share == pytest.approx(0.0051, abs=0.001)


@pytest.mark.thorough
@pytest.mark.shared
def test_camvid_is_clean(shared_data: Path) -> None:
    report = check(str(shared_data / "camvid" / "CamVid"), quiet=True)
    assert (report.verdict, len(report.of_split("train")), len(report.of_split("val"))) == ("usable", 367, 101)
