"""One file from a URL: resumed by HTTP Range, retried, checked against its checksum, put in place only when whole."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.client
import json
import os
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segfield.errors import DataError, SegfieldError, SettingError

Progress = Callable[[int, "int | None"], None]  # bytes here so far, bytes in all (None: the server does not say)

CHUNK = 1 << 20  # bytes read at a time
ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2")


@dataclass(frozen=True)
class Download:
    """What came: the file, its SHA-256, its size in bytes, and whether a checksum known beforehand agreed."""

    path: Path
    sha256: str
    size: int
    verified: bool
    already_there: bool = False


def download(
    url: str,
    folder: str | Path,
    *,
    checksum: str | None = None,
    name: str | None = None,
    progress: Progress | None = None,
    retries: int = 5,
    timeout: float = 30.0,
    pause: float = 1.0,
) -> Download:
    """Fetch `url` into `folder`. Killed at any moment, the next call goes on where it was.

    The bytes grow in NAME.part and become NAME when all are there and the checksum agrees. NAME.sha256 keeps the
    SHA-256 of what came, in the form that `sha256sum --check` reads; a later call verifies NAME against it instead of
    fetching.

    Args:
        checksum: what the file must have: 64 hex digits of SHA-256, or 'md5:' and 32 where only that was published.
        name: file name in `folder`; the last part of the URL's path where not given.
        progress: called with (bytes here, bytes in all or None).
        retries: failures in a row, without a byte gained, before giving up.
        timeout: seconds without a byte before the connection counts as lost.
        pause: seconds before the first retry; doubles with each, up to 30.

    Raises:
        SettingError: a URL or checksum of the wrong form.
        DataError: the server refuses, keeps failing, sends a web page or other bytes than the checksum says.
    """
    _require_http(url)
    check = _parse_checksum(checksum)
    target = Path(folder) / (name or _name_of(url))
    _make_folder(target.parent)
    recorded = Path(f"{target}.sha256")
    if target.exists():
        return _verify_existing(target, recorded, check)
    part, notes = Path(f"{target}.part"), Path(f"{target}.part.json")
    _fetch_until_whole(url, part, notes, progress, retries, timeout, pause)
    _refuse_web_page(url, part)
    digest = _digest(part, "sha256")
    if check and (found := digest if check[0] == "sha256" else _digest(part, check[0])) != check[1]:
        wrong = Path(f"{target}.wrong")
        part.replace(wrong)
        notes.unlink(missing_ok=True)
        raise DataError(
            f"{url} came with the {check[0].upper()} {found}, expected {check[1]}; what came is kept as {wrong}: "
            "correct the checksum, or take the file from another source with --url"
        )
    size = part.stat().st_size
    recorded.write_text(f"{digest}  {target.name}\n", encoding="utf-8")
    part.replace(target)
    notes.unlink(missing_ok=True)
    return Download(target, digest, size, verified=check is not None)


def _fetch_until_whole(
    url: str, part: Path, notes: Path, progress: Progress | None, retries: int, timeout: float, pause: float
) -> None:
    failures = 0
    while True:
        before = _size(part)
        try:
            _fetch_some(url, part, notes, progress, timeout)
            return
        except urllib.error.HTTPError as error:
            if error.code < 500 and error.code not in (408, 429):
                raise _refused(url, error.code, error.reason) from error
            reason: object = f"HTTP {error.code} {error.reason}"
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
                raise SegfieldError(
                    f"{part} cannot be written: {error.strerror}; make room or choose another folder with --out, "
                    "then give the same command again: it goes on where it stopped"
                ) from error
            reason = getattr(error, "reason", None) or error or type(error).__name__
        failures = 1 if _size(part) > before else failures + 1
        if failures > retries:
            raise DataError(
                f"{url} failed {failures} times in a row, with '{reason}'; {_size(part):,} bytes are kept in {part}; "
                "check the network and give the same command again to go on from there"
            )
        time.sleep(min(30.0, pause * 2 ** (failures - 1)))


def _fetch_some(url: str, part: Path, notes: Path, progress: Progress | None, timeout: float) -> None:
    """One connection. Returns when all bytes are there; raises OSError or HTTPException where it ended early."""
    have, known = _size(part), _read_notes(notes)
    if have and known.get("url") != url:  # left by another source: its bytes may differ
        part.unlink()
        have = 0
    if have and have == known.get("total"):
        return
    request = urllib.request.Request(url, headers={"User-Agent": "segfield", "Accept-Encoding": "identity"})
    if have:
        request.add_header("Range", f"bytes={have}-")
        if known.get("version"):
            request.add_header("If-Range", known["version"])
    try:
        response = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        part.unlink()  # more bytes here than the file has: it changed at the source
        raise ConnectionError("the file changed at its source; starting anew") from error
    with response:
        resumed = response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        have = have if resumed else 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length and length.isdigit() else None
        _require_room(part, (total or have) - have)
        version = response.headers.get("ETag") or response.headers.get("Last-Modified")
        strong = None if version is None or version.startswith("W/") else version  # If-Range takes strong tags only
        notes.write_text(json.dumps({"url": url, "total": total, "version": strong}), encoding="utf-8")
        with part.open("ab" if resumed else "wb") as file:
            while chunk := response.read(CHUNK):
                file.write(chunk)
                have += len(chunk)
                if progress:
                    progress(have, total)
            file.flush()
            os.fsync(file.fileno())
    if total is not None and have < total:
        raise ConnectionError(f"the connection ended after {have:,} of {total:,} bytes")


def _verify_existing(target: Path, recorded: Path, check: tuple[str, str] | None) -> Download:
    digest = _digest(target, "sha256")
    was = recorded.read_text(encoding="utf-8").split()[:1] if recorded.exists() else []
    expected = check or (("sha256", was[0]) if was else None)
    found = digest if expected is None or expected[0] == "sha256" else _digest(target, expected[0])
    if expected and found != expected[1]:
        source = "expected" if check else f"{recorded.name} recorded"
        raise DataError(
            f"{target} is here with the {expected[0].upper()} {found}, but {source} {expected[1]}; "
            "move the file away to fetch it anew"
        )
    if not was:
        recorded.write_text(f"{digest}  {target.name}\n", encoding="utf-8")
    return Download(target, digest, target.stat().st_size, verified=expected is not None, already_there=True)


def _refused(url: str, code: int, reason: str) -> DataError:
    if code in (401, 403):
        mend = "log in at the data set's page, fetch the file with the browser, then unpack it yourself"
    elif code in (404, 410):
        mend = "the file is no longer there: give a source that has it with --url"
    else:
        mend = "give another source with --url"
    return DataError(f"{url} answered HTTP {code} {reason}; {mend}")


def _refuse_web_page(url: str, part: Path) -> None:
    """A login form instead of an archive is the usual wrong content; no archive begins with '<'."""
    with part.open("rb") as file:
        start = file.read(256).lstrip()
    if part.name.removesuffix(".part").lower().endswith(ARCHIVE_SUFFIXES) and start.startswith(b"<"):
        part.unlink()
        Path(f"{part}.json").unlink(missing_ok=True)
        raise DataError(f"{url} sent a web page, not an archive; it may want a login: fetch the file with the browser")


def _require_http(url: str) -> None:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise SettingError(f"'{url}' is not a web address; expected http:// or https:// and a host")


def _name_of(url: str) -> str:
    name = Path(urllib.parse.unquote(urllib.parse.urlsplit(url).path)).name
    if name in ("", ".", "..") or "\\" in name or "\0" in name:
        raise SettingError(f"'{url}' names no file at its end; give the address of the archive itself")
    return name


def _parse_checksum(checksum: str | None) -> tuple[str, str] | None:
    if checksum is None:
        return None
    kind, _, digits = checksum.strip().lower().rpartition(":")
    kind = kind or "sha256"
    length = {"sha256": 64, "md5": 32}.get(kind, 0)
    if len(digits) != length or set(digits) - set("0123456789abcdef"):
        raise SettingError(f"'{checksum}' is not a checksum; expected 64 hex digits (SHA-256), or md5: and 32")
    return kind, digits


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingError(
            f"the folder {folder} cannot be made: {error.strerror}; choose another with --out"
        ) from error


def _require_room(part: Path, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if needed > free:
        raise SegfieldError(
            f"{needed:,} bytes are to come but {part.parent} has {free:,} free; make room or choose another --out"
        )


def _read_notes(notes: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        read = json.loads(notes.read_text(encoding="utf-8"))
        return read if isinstance(read, dict) else {}
    return {}


def _digest(path: Path, kind: str) -> str:
    state = hashlib.new(kind, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            state.update(chunk)
    return state.hexdigest()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
