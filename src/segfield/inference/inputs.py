"""What is to be predicted: files, folders and globs → images and videos with the names their outputs get."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from segfield.data.written import OwnFiles
from segfield.errors import DataError, SettingError, did_you_mean
from segfield.inference.names import unique_names

_WILD = "*?["


class Input(NamedTuple):
    """An image or video file, and the name of its outputs: its place below the inputs' common folder, '/' between folders."""

    file: Path
    name: str


class Inputs(NamedTuple):
    """All images and videos found, and the folder their names are relative to."""

    images: list[Input]
    base: Path


def find_inputs(
    inputs: Sequence[str | Path], out: Path, suffixes: frozenset[str], videos: frozenset[str] = frozenset()
) -> Inputs:
    """Find the images, and the videos where such are taken.

    Folders are searched with all below them; hidden files and the folder `out` are passed over, and so is what segfield wrote,
    unless a folder or pattern holds nothing else, or the file is named.

    Names mirror the sub-folders, so equal file names in different folders stay apart; files of one folder that differ
    only in their endings ('a.jpg', 'a.png') keep the ending in their names, and so does a video beside a folder of its name
    ('a.mp4', 'a/0001.png'), because its ids are such a folder, too (`unique_names`).

    Args:
        inputs: files, folders, or globs ('photos/**/*.jpg').
        out: where outputs go.
        suffixes: endings of image files, in small letters, as '.png'.
        videos: endings of video files.

    Raises:
        DataError: if an input does not exist or holds no image.
    """
    if not inputs:
        raise DataError("no image is given; name files, folders or globs")
    wanted = _Wanted(suffixes, videos)
    roots: list[Path] = []
    files: dict[Path, None] = {}
    for given in inputs:
        root, found = _expand(str(given), out.resolve(), wanted)
        roots.append(root)
        files.update(dict.fromkeys(found))
    if len(inputs) > 1:  # a pattern that the shell took apart names what an earlier start put into `out`
        own = OwnFiles(out)
        files = {file: None for file in files if file not in own} or files
    base = _common(roots)
    names = unique_names([_below(file, base) for file in files], videos)
    return Inputs([Input(file, name) for file, name in zip(files, names)], base)


def take_part(images: Sequence[Input], part: str | None) -> list[Input]:
    """Part 'i/n' of the images, i from 1: every n-th, so that parts are alike and together are the whole.

    Raises:
        SettingError: if `part` is not of that form.
    """
    if part is None:
        return list(images)
    i, _, n = part.partition("/")
    if not (i.strip().isdecimal() and n.strip().isdecimal() and 1 <= int(i) <= int(n)):
        raise SettingError(f"part '{part}' is not understood; give i/n with i from 1 to n, e.g. 1/4")
    return list(images)[int(i) - 1 :: int(n)]


class _Wanted(NamedTuple):
    """Endings of the files to find."""

    images: frozenset[str]
    videos: frozenset[str]

    def __call__(self, name: str | Path) -> bool:
        return Path(name).suffix.lower() in self.images | self.videos

    @property
    def told(self) -> str:
        """How such files are called, for messages."""
        images = f"images end in {', '.join(sorted(self.images))}"
        return (
            f"{images}; those of videos, which are taken too, in {', '.join(sorted(self.videos))}"
            if self.videos
            else images
        )


def _expand(given: str, out: Path, wanted: _Wanted) -> tuple[Path, list[Path]]:
    """(the folder names are relative to, the files) of one input."""
    path = Path(given).expanduser()
    if path.is_dir():
        found = _files_below(path, out, wanted)
        if not found:
            raise DataError(f"folder '{given}' holds no image; {wanted.told}")
        return path.resolve(), found
    if path.exists():
        return path.parent.resolve(), [path.parent.resolve() / path.name]
    if any(letter in given for letter in _WILD):
        return _glob(given, out, wanted)
    siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    hint = did_you_mean(path.name, siblings[:2000]).split("? ")[0] if siblings else ""
    close = f" ({hint}?)" if hint.startswith("did you mean") else ""
    raise DataError(f"there is no file or folder '{given}'{close}; give image files, folders or globs")


def _glob(pattern: str, out: Path, wanted: _Wanted) -> tuple[Path, list[Path]]:
    whole = Path(pattern).expanduser()
    parts = whole.parts
    fixed = [part for i, part in enumerate(parts) if not any(letter in "".join(parts[: i + 1]) for letter in _WILD)]
    before = Path(*fixed) if fixed else Path()
    root = before.resolve()
    # Not Path.glob: it takes no absolute patterns.
    matched = sorted(Path(match) for match in glob.glob(str(whole), recursive=True))  # noqa: PTH207
    found = [path for path in matched if path.is_file() and wanted(path)]
    if out != root and out.is_relative_to(root):
        found = [path for path in found if not path.resolve().is_relative_to(out)]
    if not found:
        raise DataError(f"nothing that '{pattern}' matches is an image; {wanted.told}")
    own = OwnFiles()
    for folder in dict.fromkeys(parent for path in found for parent in reversed(path.parents)):
        if folder.resolve().is_relative_to(root):
            own.enter(folder)
    found = [path for path in found if path not in own] or found
    # as the pattern leads there, below the resolved root: relpath would leave the root where a link leads to it
    return root, [root / path.relative_to(before) for path in found]


def _files_below(folder: Path, out: Path, wanted: _Wanted) -> list[Path]:
    found, own = [], OwnFiles()
    for here, folders, names in os.walk(folder.resolve()):
        inside = Path(here)
        own.enter(inside)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and (inside / name).resolve() != out)
        # '._a.jpg' is what macOS leaves beside 'a.jpg' on foreign disks: not an image.
        found += [inside / n for n in sorted(names) if not n.startswith(".") and wanted(n)]
    return [file for file in found if file not in own] or found


def _common(roots: Sequence[Path]) -> Path:
    try:
        return Path(os.path.commonpath(roots))
    except ValueError:  # different drives
        return Path()


def _below(file: Path, base: Path) -> PurePosixPath:
    """The name of a file below the folder all share, or below the root where that is not; never with '..' in it."""
    if ".." in file.parts:
        file = file.parent.resolve() / file.name
    if base.parts and file.is_relative_to(base):
        return PurePosixPath(*file.relative_to(base).parts)
    drive = re.split(r"[\\/:]+", file.drive)  # of Windows: 'C:', or a server and what it shares
    return PurePosixPath(*filter(None, drive), *file.parts[1:])
