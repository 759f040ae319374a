"""Archives unpacked with care: nothing lands outside, no links, no devices, no bombs, nothing overwritten."""

from __future__ import annotations

import filecmp
import gzip
import lzma
import posixpath
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from segfield.data.leftovers import temporary_folder
from segfield.errors import DataError, SegfieldError

ALWAYS_FINE = 1 << 28  # bytes; below 256 MiB no ratio is suspicious: label matrices and drawn masks pack very well
BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
)


@dataclass(frozen=True)
class Member:
    """One file of an archive: its path as the archive has it, its declared `size` in bytes, and how to open it."""

    name: str
    size: int
    open: Callable[[], IO[bytes]]


def unpack(
    archive: str | Path,
    folder: str | Path,
    *,
    max_ratio: float = 200.0,
    max_files: int = 2_000_000,
    progress: Callable[[int], None] | None = None,
) -> list[Path]:
    """Unpack a zip or tar (plain, gz, xz, bz2) into `folder`; returns its files there, in archive order.

    Everything goes to a folder of its own first and is moved in place when the whole archive was fine, so a refused or
    broken archive leaves nothing behind. A file that is there already stays where it is equal.

    Args:
        max_ratio: unpacked bytes for each packed byte, beyond which (and beyond 256 MiB) the archive counts as a bomb.
        max_files: members beyond which it counts as a bomb.
        progress: called with the bytes unpacked so far.

    Raises:
        DataError: not an archive, broken, encrypted, or with members that would leave the folder; or a file of the same
            name and other content is there.
    """
    archive, folder = Path(archive), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    limit = max(ALWAYS_FINE, int(max_ratio * archive.stat().st_size))
    with temporary_folder(folder) as inside:
        try:
            written = _extract_all(archive, inside, limit, max_files, progress)
        except BROKEN as error:
            raise DataError(f"{archive} is broken: {error}; delete it with its .sha256 and fetch it anew") from error
        except OSError as error:
            raise SegfieldError(
                f"{archive} cannot be unpacked into {folder}: {error.strerror or error}; "
                "make room or choose another folder with --out"
            ) from error
        _refuse_differing(written, inside, folder)
        for path in written:
            goal = folder / path.relative_to(inside)
            goal.parent.mkdir(parents=True, exist_ok=True)
            path.replace(goal)
    return [folder / path.relative_to(inside) for path in written]


def _extract_all(
    archive: Path, inside: Path, limit: int, max_files: int, progress: Callable[[int], None] | None
) -> list[Path]:
    written: list[Path] = []
    done = 0
    for member in _members(archive):
        path = inside / _safe_name(archive, member.name)
        if len(written) >= max_files or done + member.size > limit:
            raise DataError(
                f"{archive} would unpack to more than {limit:,} bytes or {max_files:,} files, which looks like an "
                "archive bomb; if you trust its source, unpack it yourself"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        with member.open() as source, path.open("wb") as file:
            done += _copy(archive, source, file, limit - done)
        written.append(path)
        if progress:
            progress(done)
    return written


def _copy(archive: Path, source: IO[bytes], file: IO[bytes], room: int) -> int:
    """Copy and count: the size an archive declares for a member need not be the size that comes out."""
    count = 0
    while chunk := source.read(1 << 20):
        count += len(chunk)
        if count > room:
            raise DataError(f"{archive} unpacks to more bytes than it declares, which looks like an archive bomb")
        file.write(chunk)
    return count


def _members(archive: Path) -> Iterator[Member]:
    if tarfile.is_tarfile(archive):  # first: a tar whose last file is a zip looks like a zip too
        yield from _tar_members(archive)
    elif zipfile.is_zipfile(archive):
        yield from _zip_members(archive)
    else:
        raise DataError(
            f"{archive} is neither a zip nor a tar archive; check that the address names the archive itself"
        )


def _zip_members(archive: Path) -> Iterator[Member]:
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            _safe_name(archive, info.filename)
            if info.flag_bits & 1:
                raise DataError(f"{archive} is encrypted ('{info.filename}'); unpack it yourself with its password")
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _unsafe(archive, info.filename, "is a link or a device")
            if not info.is_dir():
                yield Member(info.filename, info.file_size, lambda info=info: opened.open(info))  # type: ignore[misc]


def _tar_members(archive: Path) -> Iterator[Member]:
    with tarfile.open(archive) as opened:
        for info in opened:
            _safe_name(archive, info.name)
            if info.isdir():
                continue
            if info.issym() or info.islnk():
                base = "" if info.islnk() else posixpath.dirname(info.name)
                _safe_name(archive, posixpath.normpath(posixpath.join(base, info.linkname)), "links out of the folder")
            elif not info.isreg():
                raise _unsafe(archive, info.name, "is a device")
            try:
                source = opened.extractfile(info)  # of a link: the file it names, so that no link is ever made
            except KeyError:
                source = None
            if source is None:
                raise _unsafe(archive, info.name, "links to no file of the archive")
            yield Member(info.name, info.size, lambda source=source: source)  # type: ignore[misc]


def _safe_name(archive: Path, name: str, why: str = "would land outside the folder") -> PurePosixPath:
    path = PurePosixPath(name)
    windows = "\\" in name or (len(name) > 1 and name[1] == ":")
    if path.is_absolute() or ".." in path.parts or windows or "\0" in name or not name:
        raise _unsafe(archive, name, why)
    return path


def _unsafe(archive: Path, name: str, why: str) -> DataError:
    return DataError(
        f"{archive} holds '{name}', which {why}; nothing was unpacked: take the archive from a trusted source"
    )


def _refuse_differing(written: list[Path], inside: Path, folder: Path) -> None:
    root = folder.resolve()
    for path in written:
        goal = folder / path.relative_to(inside)
        if not goal.parent.resolve().is_relative_to(root):
            raise DataError(f"{goal.parent} is a link out of {folder}; unpack into a folder without such links")
        if goal.is_symlink() or (goal.exists() and not (goal.is_file() and filecmp.cmp(path, goal, shallow=False))):
            raise DataError(f"{goal} is here already with other content; choose an empty folder with --out")
