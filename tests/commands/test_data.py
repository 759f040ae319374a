"""`segfield data` as a whole, against a local server."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segfield.commands.data import chosen_archives, data
from segfield.data.catalogue import CATALOGUE, find_entry
from segfield.data.formats import open_dataset
from segfield.errors import DataError, SettingError
from tests.data.file_server import FileServer, file_server


def tiny_stanford(break_at: int | None = None) -> bytes:
    """iccv09Data.tar.gz with ten samples of 8×6 pixels."""
    buffer, rng = io.BytesIO(), np.random.default_rng(0)
    with tarfile.open(fileobj=buffer, mode="w:gz") as opened:
        for i in range(10):
            picture = io.BytesIO()
            Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).save(picture, "JPEG")
            rows = "\n".join(" ".join(str(v) for v in row) for row in rng.integers(-1, 8, (6, 8)))
            for name, body in (
                (f"images/{i:07}.jpg", picture.getvalue()),
                (f"labels/{i:07}.regions.txt", rows.encode()),
            ):
                info = tarfile.TarInfo(f"iccv09Data/{name}")
                info.size = len(body)
                opened.addfile(info, io.BytesIO(body))
    return buffer.getvalue()[:break_at]


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server() as running:
        running.files["/iccv09Data.tar.gz"] = tiny_stanford()
        yield running


def test_list_names_every_data_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert data() is None
    shown = capsys.readouterr().out
    assert all(name in shown for name in CATALOGUE)


@pytest.mark.parametrize("name", CATALOGUE)
def test_each_says_where_it_is_got_and_what_comes_next(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    data(name)
    shown, entry = capsys.readouterr().out, CATALOGUE[name]
    assert entry.page in shown and entry.terms in shown
    assert all(archive.url in shown for archive in entry.archives)
    assert ("segfield check" if entry.login else f"segfield data {name} --get") in shown


def test_get_fetches_unpacks_opens_and_tells_the_next_step(
    server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = data("stanford_background", get=True, out=str(tmp_path), url=server.url("/iccv09Data.tar.gz"))
    shown = capsys.readouterr().out
    assert where is not None
    assert len(open_dataset(where)) == 10
    assert hashlib.sha256(server.files["/iccv09Data.tar.gz"]).hexdigest() in shown
    assert "no checksum was published" in shown
    assert f"segfield check {where}" in shown


def test_second_get_verifies_and_goes_on(
    server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        data("stanford_background", get=True, out=str(tmp_path), url=server.url("/iccv09Data.tar.gz"))
    assert "is here already" in capsys.readouterr().out
    assert len(server.ranges) == 1


def test_get_survives_a_dropped_connection(server: FileServer, tmp_path: Path) -> None:
    server.drop_after = [700]
    digest = hashlib.sha256(server.files["/iccv09Data.tar.gz"]).hexdigest()
    assert data("stanford_background", get=True, out=str(tmp_path), url=server.url("/iccv09Data.tar.gz"), sha256=digest)
    assert server.ranges == [None, "bytes=700-"]


def test_wrong_sha256_unpacks_nothing(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected 1111"):
        data("stanford_background", get=True, out=str(tmp_path), url=server.url("/iccv09Data.tar.gz"), sha256="1" * 64)
    assert not (tmp_path / "iccv09Data").exists()


def test_archive_that_is_another_data_set_is_said_to_be(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"does not open.*JPEGImages"):
        data("voc", get=True, out=str(tmp_path), url=server.url("/iccv09Data.tar.gz"))


def test_truncated_archive(server: FileServer, tmp_path: Path) -> None:
    server.files["/iccv09Data.tar.gz"] = tiny_stanford(break_at=900)
    with pytest.raises(DataError, match="broken"):
        data("stanford_background", get=True, out=str(tmp_path), url=server.url("/iccv09Data.tar.gz"))


def test_sbd_alone_is_kept_for_voc(server: FileServer, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as opened:
        info = tarfile.TarInfo("benchmark_RELEASE/dataset/cls/2008_000001.mat")
        opened.addfile(info, io.BytesIO())
    server.files["/sbd.tgz"] = buffer.getvalue()
    assert data("sbd", get=True, out=str(tmp_path), url=server.url("/sbd.tgz")) == f"voc:{tmp_path}"


def test_scenes_are_drawn(tmp_path: Path) -> None:
    where = data("scenes", get=True, out=str(tmp_path / "drawn"))
    assert where == f"folder:{tmp_path / 'drawn'}"
    assert len(open_dataset(where)) > 0


def test_login_is_said_with_page_and_steps() -> None:
    with pytest.raises(SettingError, match=r"needs a login at https://www.cityscapes-dataset.com.*gtFine_trainvaltest"):
        data("cityscapes", get=True)


@pytest.mark.parametrize(
    "settings",
    [
        {"get": True},
        {"url": "http://a/b.zip"},
        {"name": "voc", "url": "http://a/b.zip"},
        {"name": "voc", "sha256": "1" * 64},
    ],
)
def test_settings_that_do_not_fit_together(settings: dict) -> None:
    with pytest.raises(SettingError, match=r"--get|name of a data set"):
        data(**settings)


def test_address_of_one_of_two_archives() -> None:
    entry = find_entry("pascal_context")
    mirror = "http://mirror/VOCtrainval_03-May-2010.tar"
    (archive,) = chosen_archives(entry, mirror, None)
    assert (archive.url, archive.checksum) == (mirror, entry.archives[1].checksum)
    with pytest.raises(SettingError, match="either archive"):
        chosen_archives(entry, "http://mirror/other.tar", None)
    with pytest.raises(SettingError, match="2 archives"):
        chosen_archives(entry, None, "1" * 64)


def test_mirror_under_another_name_keeps_the_folder_but_not_the_checksum() -> None:
    (archive,) = chosen_archives(find_entry("nuclei"), "http://mirror/nuclei.zip", None)
    assert (archive.into, archive.checksum) == ("stage1_train", None)


def test_the_verb_loads_no_torch() -> None:
    code = "import segfield.commands.data, segfield.commands.check, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
