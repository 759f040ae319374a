"""What one sample tells when it is opened: sizes, counts, statistics, a fingerprint, and whatever is wrong with it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from segfield.classes import Array, ClassTable
from segfield.data.dataset import Dataset
from segfield.data.images import IMAGE_SUFFIXES, read_image
from segfield.data.masks import pack_colours, read_mask_values
from segfield.data.records import FileDataset, Record, size_mismatch
from segfield.data.value_range import NotFiniteError
from segfield.errors import SegfieldError

THUMB = 16  # pixels; side of the grey thumbnail that near duplicates are found by
ENCODINGS: Mapping[str, str] = {
    "P": "palette",
    "L": "grey",
    "1": "1-bit",
    "RGB": "colour",
    "RGBA": "colour",
    "CMYK": "colour",
    "LA": "grey",
    "PA": "palette",
    "F": "float",
}  # of a mask file, by its Pillow mode; the I modes are 16-bit


@dataclass
class BandStats:
    """Statistics of each band: pixels, mean, sum of squared deviations; merged exactly (Chan et al. 1979)."""

    pixels: int
    mean: npt.NDArray[np.float64]
    deviation: npt.NDArray[np.float64]
    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]

    @property
    def std(self) -> npt.NDArray[np.float64]:
        return np.asarray(np.sqrt(self.deviation / max(self.pixels, 1)))

    def merged(self, other: BandStats) -> BandStats:
        pixels = self.pixels + other.pixels
        shift = other.mean - self.mean
        return BandStats(
            pixels,
            self.mean + shift * (other.pixels / max(pixels, 1)),
            self.deviation + other.deviation + shift**2 * (self.pixels * other.pixels / max(pixels, 1)),
            np.minimum(self.low, other.low),
            np.maximum(self.high, other.high),
        )


@dataclass
class SampleFacts:
    """Everything `check` remembers of a sample; the pixels themselves are let go.

    Attributes:
        splits: names of the splits it is in.
        size: (H, W) pixels; None where the image cannot be read.
        counts: (K,) labelled pixels of each class; None without readable labels.
        ignored: pixels with the ignored id.
        values: raw values of a mask that holds one or two of them, e.g. (0, 255).
        unknown: mask value or colour outside the class table → pixels.
        digest: of the decoded image; labels_digest: of its labels, empty without readable ones.
        thumb: (THUMB · THUMB,) zero mean, unit length; None where the image is flat.
        faults: (kind, sentence) of what is wrong with the files.
    """

    index: int
    name: str
    splits: tuple[str, ...]
    image_file: Path | None = None
    mask_file: Path | None = None
    size: tuple[int, int] | None = None
    bands: int = 0
    dtype: str = ""
    stats: BandStats | None = None
    not_finite: int = 0
    digest: bytes = b""
    labels_digest: bytes = b""
    thumb: npt.NDArray[np.float32] | None = None
    encoding: str | None = None
    counts: npt.NDArray[np.int64] | None = None
    ignored: int = 0
    values: tuple[int, ...] = ()
    unknown: dict[Any, int] = field(default_factory=dict)
    faults: list[tuple[str, str]] = field(default_factory=list)


def examine(dataset: Dataset, index: int, splits: tuple[str, ...]) -> SampleFacts:
    """Open sample `index` as training would, and where that fails, its files one by one to say which is at fault."""
    facts = SampleFacts(index, dataset.names[index], splits)
    record = dataset.record(index) if isinstance(dataset, FileDataset) else None
    table = dataset.mask_classes if isinstance(dataset, FileDataset) else dataset.classes
    image, labels = None, None
    if record is not None:
        facts.image_file = record.image
        facts.mask_file = (
            record.mask[0].parent if isinstance(record.mask, tuple) and record.mask else _path(record.mask)
        )
    try:
        sample = dataset[index]
        image, labels = sample.image, sample.labels
    except (SegfieldError, OSError) as error:
        image = _open_apart(facts, record, table, str(error))
    if image is not None:
        describe_image(facts, image)
    if labels is not None:
        describe_labels(facts, labels, dataset.classes)
    if record is not None and record.mask is not None:
        facts.encoding = _encoding(record.mask)
        few = facts.counts is not None and np.count_nonzero(facts.counts) + (facts.ignored > 0) <= 2
        if few and facts.encoding != "colour":  # one or two labels: which values did the file have?
            facts.values = tuple(int(v) for v in np.unique(read_mask_values(record.mask)))
    return facts


def _open_apart(facts: SampleFacts, record: Record | None, classes: ClassTable, cause: str) -> Array | None:
    """The sample cannot be opened whole: find out which of its files is at fault, and what unknown values it holds."""
    if record is None:
        facts.faults.append(("corrupt", cause))
        return None
    image = values = None
    try:
        image = read_image(record.image)
    except NotFiniteError as error:
        facts.faults.append(("not finite", str(error)))
    except (SegfieldError, OSError) as error:
        facts.faults.append(("corrupt image" if record.image.exists() else "missing image", str(error)))
    by_colour = bool(classes.source_colours) and not classes.source_values
    try:
        values = None if record.mask is None else read_mask_values(record.mask, by_colour)
    except (SegfieldError, OSError) as error:
        there = not isinstance(record.mask, Path) or record.mask.exists()
        facts.faults.append(("corrupt mask" if there else "missing mask", str(error)))
    if values is not None:
        facts.unknown = unknown_values(values, classes)
    if values is not None and image is not None and values.shape[:2] != image.shape[1:]:
        facts.faults.append(("size mismatch", str(size_mismatch(record, image.shape[1:], values.shape[:2]))))
    if not facts.faults and not facts.unknown:
        facts.faults.append(("corrupt", cause))
    return image


def describe_image(facts: SampleFacts, image: Array) -> None:
    """Size, bands, dtype, band statistics, digest and thumbnail of a (C, H, W) image, written into `facts`."""
    facts.bands, facts.size, facts.dtype = image.shape[0], (image.shape[1], image.shape[2]), str(image.dtype)
    if image.dtype.kind == "f":
        finite = np.isfinite(image)
        facts.not_finite = int(image.size - np.count_nonzero(finite))
        image = np.where(finite, image, 0) if facts.not_finite else image
    facts.stats = band_stats(image)
    facts.digest = _digest(image)
    grey = Image.fromarray(image.mean(axis=0, dtype=np.float32))
    small = np.asarray(grey.resize((THUMB, THUMB), Image.Resampling.BOX), dtype=np.float32).ravel()
    small = small - small.mean()
    length = float(np.linalg.norm(small))
    spread = max(float((facts.stats.high - facts.stats.low).max()), 1e-12)
    facts.thumb = small / length if length > 0.02 * THUMB * spread else None  # flatter than that, all look alike


def _digest(array: Array) -> bytes:
    return hashlib.blake2b(f"{array.shape}{array.dtype}".encode() + array.tobytes(), digest_size=16).digest()


def band_stats(image: Array) -> BandStats:
    """Statistics of each band of a finite (C, H, W) image; whole numbers through their histogram, which is exact."""
    if image.dtype.kind == "f":
        flat = image.reshape(len(image), -1).astype(np.float64)
        mean = flat.mean(axis=1)
        deviation = ((flat - mean[:, None]) ** 2).sum(axis=1)
        return BandStats(flat.shape[1], mean, deviation, flat.min(axis=1), flat.max(axis=1))
    rows = []
    for band in image:
        counts = np.bincount(band.ravel())
        levels = np.flatnonzero(counts)
        weights = counts[levels]
        mean = float(levels @ weights) / band.size
        rows.append((mean, float(weights @ (levels - mean) ** 2), levels[0], levels[-1]))
    columns = np.array(rows, dtype=np.float64).T
    return BandStats(image[0].size, *columns)


def describe_labels(facts: SampleFacts, labels: Array, classes: ClassTable) -> None:
    """Digest and pixel counts of (H, W) labels, written into `facts`."""
    facts.labels_digest = _digest(labels)
    counts = np.bincount(labels.ravel(), minlength=max(len(classes), classes.ignored_id + 1))
    facts.counts = counts[: len(classes)].astype(np.int64)
    facts.ignored = int(counts[classes.ignored_id])


def unknown_values(values: Array, classes: ClassTable) -> dict[Any, int]:
    """Raw mask values, or RGB colours of an (H, W, 3) mask, that the class table does not know → pixels."""
    known: set[Any] = set(classes.value_to_id())
    if values.ndim == 3:
        codes, pixels = np.unique(pack_colours(values), return_counts=True)
        seen: dict[Any, int] = {(int(c) & 255, int(c) >> 8 & 255, int(c) >> 16): int(n) for c, n in zip(codes, pixels)}
        if not classes.source_colours and all(r == g == b for r, g, b in seen):  # grey ids that were saved as RGB
            return unknown_values(values[..., 0], classes)
        known = set(classes.colour_to_id())
    else:
        found, pixels = np.unique(values, return_counts=True)
        seen = {int(v): int(n) for v, n in zip(found, pixels)}
    return {value: count for value, count in seen.items() if value not in known}


def _encoding(mask: Path | tuple[Path, ...]) -> str:
    """How a mask holds its labels, told from the file's header."""
    if isinstance(mask, tuple):
        return "a file an object"
    if mask.suffix.lower() not in IMAGE_SUFFIXES:
        return mask.suffix.lower().lstrip(".") or "no suffix"
    try:
        with Image.open(mask) as opened:
            kind = "16-bit" if opened.mode.startswith("I") else ENCODINGS.get(opened.mode, opened.mode)
            return f"{kind} (JPEG)" if opened.format == "JPEG" else kind
    except (OSError, ValueError, Image.DecompressionBombError):
        return "unreadable"


def _path(value: Path | tuple[Path, ...] | None) -> Path | None:
    return value if isinstance(value, Path) else None
