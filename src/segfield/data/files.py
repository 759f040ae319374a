"""Writing files so that a reader sees the old content or the new one, never half of it; and errors about bad files."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from segfield.data.leftovers import temporary_beside
from segfield.data.replacement import about_to_replace
from segfield.errors import DataError, SegfieldError

_MENDS = {
    errno.ENOSPC: "free some space there or choose another folder",
    errno.EDQUOT: "free some of your quota or choose another folder",
    errno.EACCES: "choose a folder you may write to",
    errno.EPERM: "choose a folder you may write to",
    errno.EROFS: "choose a folder that is not mounted read-only",
    errno.ENAMETOOLONG: "choose a shorter name",
}


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; what is written there replaces `path` at the end, all at once.

    Missing parent folders are made. If the block fails, the temporary file is removed and `path` stays as it was; what a
    process that was killed left there is removed by the next one that writes there (`leftovers`).

    Raises:
        SegfieldError: if the disk is full, the folder is not writable or the like.
    """
    target = Path(path)
    temporary = temporary_beside(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        # Without the sync, a power cut after the rename can leave an empty file under the final name.
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        about_to_replace(temporary, target)
        temporary.replace(target)
    except OSError as error:
        raise unwritable(target, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(path: str | Path) -> Iterator[Path]:
    """`replacing` for a folder of files: yields a new, empty one beside `path`, which takes its place at the end.

    Raises:
        SegfieldError: if the disk is full, the folder is not writable or the like.
    """
    target = Path(path)
    temporary = temporary_beside(target)
    try:
        temporary.mkdir(parents=True)
        yield temporary
        for file in temporary.iterdir():
            with file.open("rb+") as stream:
                os.fsync(stream.fileno())
        about_to_replace(temporary, target)
        if target.is_dir():
            shutil.rmtree(target)
        temporary.replace(target)
    except OSError as error:
        raise unwritable(target, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_atomically(path: str | Path, data: bytes) -> None:
    """Write bytes to `path` in one step: a temporary file beside it, synced, then renamed.

    Raises:
        SegfieldError: if the disk is full, the folder is not writable or the like; `path` is then as it was.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: str | Path, text: str) -> None:
    """`write_atomically` for text, as UTF-8 with the line ends as they are."""
    write_atomically(path, text.encode("utf-8"))


def unwritable(path: Path, error: OSError) -> SegfieldError:
    """The error for a file that could not be written: cause and mend in one sentence."""
    mend = _MENDS.get(error.errno or 0, "check the folder and choose another if need be")
    return SegfieldError(f"{path} could not be written: {error.strerror or error}; {mend}")


def unreadable(path: str | Path, error: Exception, kind: str = "image") -> DataError:
    """The error for a file that could not be read: cause and mend in one sentence. `kind`: image, mask, list …"""
    path = Path(path)
    if isinstance(error, FileNotFoundError):
        return DataError(f"{path}: there is no such {kind} file; check the path")
    if isinstance(error, PermissionError):
        return DataError(f"{path}: you are not permitted to read this {kind}; grant yourself access (chmod u+r)")
    if isinstance(error, IsADirectoryError):
        return DataError(f"{path} is a folder, where a file with one {kind} was expected; name the file")
    if path.is_file() and path.stat().st_size == 0:
        return DataError(f"{path}: the {kind} file is empty (0 bytes); copy it again from where it came, or remove it")
    if type(error).__name__ in ("UnidentifiedImageError", "TiffFileError"):
        return DataError(
            f"{path} is not an {kind} of a known kind, or its beginning is damaged; convert it to PNG, JPEG or TIFF"
            if kind[0] in "aeiou"
            else f"{path} is not a {kind} of a known kind, or its beginning is damaged; convert it to PNG or TIFF"
        )
    reason = " ".join(str(error).split())[:160].rstrip(".") or type(error).__name__
    return DataError(
        f"{path}: the {kind} is truncated or damaged ({reason}); copy it again from where it came, or remove it"
    )
