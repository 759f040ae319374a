"""The demo, shortened: it ends with a report and a picture."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from segfield.commands.demo import demo
from segfield.errors import SettingError


@pytest.mark.thorough
def test_the_demo_ends_with_a_report_and_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = demo(str(tmp_path / "demo"), steps=3, count=10, size="48x64")
    with Image.open(shown.picture) as picture:
        assert picture.width > 4 * 64 + 3 * 4 and picture.height >= 2 * 48 + 2 * 4
        assert len(set(picture.convert("RGB").getdata())) > 100
    assert shown.report.stat().st_size > 10_000
    assert 0 < shown.mean_iou < 1
    assert "report.html" in capsys.readouterr().out.splitlines()[-1]
    assert (tmp_path / "demo" / "tuning" / "tuning.html").is_file()


def test_too_few_scenes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"count is 9.*10 or more"):
        demo(str(tmp_path / "demo"), count=9)
    assert not (tmp_path / "demo").exists()


def test_a_picture_that_no_demo_drew_stays(tmp_path: Path) -> None:
    mine = tmp_path / "demo.png"
    mine.write_bytes(b"mine")
    with pytest.raises(SettingError, match=r"demo\.png"):
        demo(str(tmp_path), count=10)
    assert mine.read_bytes() == b"mine" and list(tmp_path.iterdir()) == [mine]
