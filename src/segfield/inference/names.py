"""Names of outputs, such that no two inputs' outputs meet, on any file system."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

from segfield.data.output_plan import folded

_IMAGE_ENDINGS = (".png", ".jpg", ".npz", ".geojson")
_VIDEO_ENDINGS = ("", ".mp4", ".json")  # its ids are a folder
_PATIENCE = 30  # rounds; digits that meet in every one of them do not happen


def unique_names(files: Sequence[PurePosixPath], videos: frozenset[str] = frozenset()) -> list[str]:
    """A name for the outputs of each file: its path without ending, with it where that is needed to tell files apart.

    Files that even so have one name on some file system ('A.png' and 'a.png') get a few digits of their own, which follow
    from the file's path alone, so that they stay when other files come and go.

    Args:
        files: paths below the inputs' folder, all different.
        videos: endings of videos, in small letters.
    """
    folders = {folded(parent.as_posix()) for file in files for parent in file.parents}
    stems = Counter(folded(file.with_suffix("").as_posix()) for file in files)
    chosen = [int(stems[folded(file.with_suffix("").as_posix())] > 1) for file in files]
    for _ in range(_PATIENCE):
        names = [_name(file, level) for file, level in zip(files, chosen)]
        taken = [_places(name, file.suffix.lower() in videos) for file, name in zip(files, names)]
        counts = Counter(place for places in taken for place in places)
        meeting = [
            i for i, places in enumerate(taken) if any(counts[place] > 1 or place in folders for place in places)
        ]
        if not meeting:
            break
        lowest = min(chosen[i] for i in meeting)
        for i in meeting:
            chosen[i] += chosen[i] == lowest
    return names


def _name(file: PurePosixPath, level: int) -> str:
    if level == 0:
        return file.with_suffix("").as_posix()
    if level == 1:
        return file.as_posix()
    digits = hashlib.sha256(os.fsencode(file.as_posix())).hexdigest()
    return f"{file.as_posix()}~{digits[: 4 + 2 * level]}"


def _places(name: str, is_video: bool) -> set[str]:
    """What the outputs may be called, whatever is saved."""
    return {folded(name + ending) for ending in (_VIDEO_ENDINGS if is_video else _IMAGE_ENDINGS)}
