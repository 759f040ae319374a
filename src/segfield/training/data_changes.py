"""What a run was begun on, sample by sample, and what changed of it while the run was stopped."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path

from segfield.data.cache import CachedDataset
from segfield.data.dataset import Sample
from segfield.data.files import write_text
from segfield.errors import FileFormatError, SettingError
from segfield.machine import usable_threads

Checksums = Mapping[str, Mapping[str, str]]
"""Role ('train', 'val') → name of a sample → checksum."""


def checksum(sample: Sample) -> str:
    """CRC-32 of image and of labels, 16 hex digits: against changes by accident, at the speed of memory."""
    labels = b"" if sample.labels is None else sample.labels.tobytes()
    return f"{zlib.crc32(sample.image.tobytes()):08x}{zlib.crc32(labels):08x}"


def checksums(dataset: CachedDataset) -> dict[str, str]:
    """Name → checksum of every sample."""
    return {sample.name: checksum(sample) for sample in dataset.read_all(usable_threads())}


def write_checksums(file: Path, checksums: Checksums) -> None:
    """Keep what a run is begun on."""
    write_text(file, json.dumps(checksums, ensure_ascii=False, separators=(",", ":")) + "\n")


def read_checksums(file: Path) -> dict[str, dict[str, str]] | None:
    """What a run was begun on; None where that was not kept (runs of earlier versions).

    Raises:
        FileFormatError: if the file is damaged.
    """
    if not file.is_file():
        return None
    try:
        read = json.loads(file.read_text(encoding="utf-8"))
        if all(isinstance(part, dict) for part in (read, *read.values())):
            return {role: {str(name): str(value) for name, value in part.items()} for role, part in read.items()}
        cause = "not a table of samples"
    except (OSError, ValueError, AttributeError) as error:
        cause = str(error)
    raise FileFormatError(
        f"{file} is damaged ({cause}), so it cannot be told whether the data is what the run was begun on; if it is, delete "
        "that file and go on, else choose another --out"
    )


def changes(before: Checksums, now: Checksums) -> str:
    """Which samples are others than before, with the first names of each kind; empty where none is."""
    return "; ".join(
        sentence
        for role in ("train", "val", "unlabelled")
        for sentence in _kinds(before.get(role, {}), now.get(role, {}))
    )


def refusal(folder: Path, changed: str) -> SettingError:
    """The error for a run whose data is not what it was begun on."""
    return SettingError(
        f"the data is not what the run in {folder} was begun on: {changed}; restore it, choose another --out to train on it "
        "anew, or go on with it all the same by --accept_changed_data true"
    )


def _kinds(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    both = before.keys() & now.keys()
    kinds = {
        "images changed": [name for name in both if before[name][:8] != now[name][:8]],
        "labels changed": [name for name in both if before[name][8:] != now[name][8:]],
        "gone": list(before.keys() - now.keys()),
        "new": list(now.keys() - before.keys()),
    }
    return [f"{what}: {_some(names)}" for what, names in kinds.items() if names]


def _some(names: list[str], count: int = 4) -> str:
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(f"'{name}'" for name in sorted(names)[:count]) + more
