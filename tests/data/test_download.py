"""Downloads against a local server that drops, stalls, lies, refuses and changes its file."""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segfield.data import download as module
from segfield.data.download import Download, download
from segfield.errors import DataError, SegfieldError, SettingError
from tests.data.file_server import FileServer, file_server

BODY = np.random.default_rng(0).integers(0, 256, 300_000, dtype=np.uint8).tobytes()
SHA256 = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server() as running:
        running.files["/data/set.bin"] = BODY
        yield running


def fetch(server: FileServer, folder: Path, path: str = "/data/set.bin", **settings: object) -> Download:
    options = {"retries": 3, "timeout": 120.0, "pause": 0.01, **settings}
    return download(server.url(path), folder, **options)  # type: ignore[arg-type]


def test_whole_file_comes_with_recorded_sha256(server: FileServer, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    got = fetch(server, tmp_path / "new folder", progress=lambda have, total: seen.append((have, total)))
    assert got.path.read_bytes() == BODY
    assert (got.sha256, got.size, got.verified) == (SHA256, len(BODY), False)
    assert Path(f"{got.path}.sha256").read_text() == f"{SHA256}  set.bin\n"
    assert seen[-1] == (len(BODY), len(BODY))
    assert sorted(p.name for p in got.path.parent.iterdir()) == ["set.bin", "set.bin.sha256"]


@pytest.mark.parametrize(
    "checksum", [SHA256, SHA256.upper(), f"sha256:{SHA256}", f"md5:{hashlib.md5(BODY).hexdigest()}"]
)
def test_checksum_agrees(server: FileServer, tmp_path: Path, checksum: str) -> None:
    assert fetch(server, tmp_path, checksum=checksum).verified


def test_dropped_connection_is_resumed_where_it_ended(server: FileServer, tmp_path: Path) -> None:
    server.drop_after = [100_000, 50_000]
    assert fetch(server, tmp_path, checksum=SHA256).path.read_bytes() == BODY
    assert server.ranges == [None, "bytes=100000-", "bytes=150000-"]


def test_stopped_download_goes_on_in_a_later_call(server: FileServer, tmp_path: Path) -> None:
    server.drop_after = [120_000]
    server.failures = []
    with pytest.raises(KeyboardInterrupt):
        fetch(server, tmp_path, progress=_interrupt)
    kept = (tmp_path / "set.bin.part").stat().st_size
    assert 0 < kept < len(BODY)
    assert not (tmp_path / "set.bin").exists()
    assert fetch(server, tmp_path, checksum=SHA256).path.read_bytes() == BODY
    assert server.ranges[-1] == f"bytes={kept}-"


def _interrupt(have: int, total: int | None) -> None:
    raise KeyboardInterrupt


def test_retry_after_server_errors_then_gives_up_with_the_cause(server: FileServer, tmp_path: Path) -> None:
    server.failures = [503, 500]
    assert fetch(server, tmp_path / "a").size == len(BODY)
    server.failures = [503] * 9
    with pytest.raises(DataError, match=r"failed 4 times in a row.*HTTP 503"):
        fetch(server, tmp_path / "b")
    assert len(server.failures) == 5


def test_failures_that_gain_bytes_do_not_exhaust_the_retries(server: FileServer, tmp_path: Path) -> None:
    server.drop_after = [20_000] * 10
    assert fetch(server, tmp_path, retries=1, checksum=SHA256).verified


class Stalled:
    """A response whose bytes cease to come after the first 100,000: `read` then ends as a socket's time-out does."""

    def __init__(self, response: Any) -> None:
        self._response, self._begun = response, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._response, name)

    def __enter__(self) -> Stalled:
        return self

    def __exit__(self, *_: object) -> None:
        self._response.close()

    def read(self, size: int) -> bytes:
        if self._begun:
            raise TimeoutError("timed out")
        self._begun = True
        return self._response.read(100_000)  # type: ignore[no-any-return]


def test_stalled_connection_counts_as_lost(server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, limits = module.urllib.request.urlopen, []

    def urlopen(request: object, timeout: float) -> Any:
        limits.append(timeout)
        response = real(request, timeout=120)
        return Stalled(response) if len(limits) == 1 else response

    monkeypatch.setattr(module.urllib.request, "urlopen", urlopen)
    assert fetch(server, tmp_path, timeout=7.5, checksum=SHA256).path.read_bytes() == BODY
    assert server.ranges == [None, "bytes=100000-"] and limits == [7.5, 7.5]


def test_server_without_range_starts_anew(server: FileServer, tmp_path: Path) -> None:
    server.ignores_range = True
    server.drop_after = [100_000]
    assert fetch(server, tmp_path, checksum=SHA256).path.read_bytes() == BODY


def test_file_changed_at_the_source_is_not_mixed(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        server.drop_after = [100_000]
        fetch(server, tmp_path, progress=_interrupt)
    server.files["/data/set.bin"] = changed = BODY[::-1]
    assert fetch(server, tmp_path).path.read_bytes() == changed


def test_part_longer_than_the_file_starts_anew(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "set.bin.part").write_bytes(BODY + b"more")
    (tmp_path / "set.bin.part.json").write_text(json.dumps({"url": server.url("/data/set.bin"), "total": 10**9}))
    assert fetch(server, tmp_path, checksum=SHA256).path.read_bytes() == BODY


def test_part_of_another_source_is_not_continued(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "set.bin.part").write_bytes(b"x" * 1000)
    assert fetch(server, tmp_path, checksum=SHA256).path.read_bytes() == BODY
    assert server.ranges == [None]


def test_wrong_content_is_kept_aside_and_named(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"SHA256 .*expected 0000") as caught:
        fetch(server, tmp_path, checksum="0" * 64)
    assert SHA256 in str(caught.value)
    assert (tmp_path / "set.bin.wrong").read_bytes() == BODY
    assert not (tmp_path / "set.bin").exists()
    assert fetch(server, tmp_path, checksum=SHA256).verified  # the mend works


@pytest.mark.parametrize(("status", "mend"), [(401, "log in"), (403, "log in"), (404, "--url"), (410, "--url")])
def test_refusals_are_not_retried(server: FileServer, tmp_path: Path, status: int, mend: str) -> None:
    server.failures = [status]
    with pytest.raises(DataError, match=f"HTTP {status}.*{mend}"):
        fetch(server, tmp_path)
    assert len(server.ranges) == 1


def test_login_page_instead_of_an_archive(server: FileServer, tmp_path: Path) -> None:
    server.files["/set.zip"] = b"\n <!DOCTYPE html><html>log in</html>"
    with pytest.raises(DataError, match="web page"):
        fetch(server, tmp_path, "/set.zip")
    assert list(tmp_path.iterdir()) == []


def test_second_call_verifies_and_fetches_nothing(server: FileServer, tmp_path: Path) -> None:
    fetch(server, tmp_path)
    again = fetch(server, tmp_path)
    assert (again.already_there, again.verified, len(server.ranges)) == (True, True, 1)


def test_file_that_rotted_is_found_on_the_second_call(server: FileServer, tmp_path: Path) -> None:
    path = fetch(server, tmp_path).path
    path.write_bytes(BODY[:-1] + b"!")
    with pytest.raises(DataError, match=r"set.bin.sha256 recorded"):
        fetch(server, tmp_path)
    with pytest.raises(DataError, match=f"expected {SHA256}"):
        fetch(server, tmp_path, checksum=SHA256)


def test_file_fetched_by_hand_is_recorded_then_trusted(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "set.bin").write_bytes(BODY)
    assert not fetch(server, tmp_path).verified
    assert fetch(server, tmp_path).verified
    assert server.ranges == []


@pytest.mark.parametrize("url", ["ftp://a/b.zip", "file:///etc/passwd", "b.zip", "http:///b.zip", "http://host/"])
def test_addresses_that_are_none(tmp_path: Path, url: str) -> None:
    with pytest.raises(SettingError):
        download(url, tmp_path)


@pytest.mark.parametrize("checksum", ["12", "g" * 64, f"md5:{'0' * 64}", f"crc:{'0' * 64}"])
def test_checksums_that_are_none(tmp_path: Path, checksum: str) -> None:
    with pytest.raises(SettingError, match="64 hex digits"):
        download("http://127.0.0.1:9/x.zip", tmp_path, checksum=checksum)


def test_name_in_the_address_cannot_leave_the_folder(server: FileServer, tmp_path: Path) -> None:
    server.files["/..%2F..%2Fpassword.bin"] = b"abc"
    assert fetch(server, tmp_path, "/..%2F..%2Fpassword.bin").path == tmp_path / "password.bin"


def test_full_disk_is_said_before_the_first_byte(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(module.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(SegfieldError, match=r"300,000 bytes are to come.*1,000 free"):
        fetch(server, tmp_path)


def test_disk_that_fills_up_keeps_what_came(server: FileServer, tmp_path: Path) -> None:
    def fill(have: int, total: int | None) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(SegfieldError, match="No space left"):
        fetch(server, tmp_path, progress=fill)
    assert fetch(server, tmp_path, checksum=SHA256).verified


def test_no_server_at_all(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="failed 2 times in a row"):
        download("http://127.0.0.1:1/set.zip", tmp_path, retries=1, pause=0.01, timeout=1)
