"""CheckReport: the facts of all samples pooled, with the problems; `check_dataset` makes it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from segfield.classes import ClassTable
from segfield.data.check.duplicates import ROLE
from segfield.data.check.findings import find_file_problems, find_problems
from segfield.data.check.problem import Problem
from segfield.data.check.sample import BandStats, SampleFacts, examine
from segfield.data.class_weights import enet_weights, median_frequency_weights
from segfield.data.dataset import Dataset
from segfield.errors import DataError
from segfield.machine import usable_threads

Tick = Callable[[int, int], None]  # samples done, samples in all


@dataclass
class CheckReport:
    """What `check` found. `usable` says whether training could start; `problems` are sorted, the worst first.

    Attributes:
        data: what was checked, as it was given; layout: the data set's own description.
        facts: one entry a sample, in the data set's order.
        splits: names of the splits, in the data set's order.
        obstacle: why the data set cannot be opened as it is; '' where it can. `classes` then is a stand-in.
        page: where the HTML page was written, if it was.
    """

    data: str
    layout: str
    classes: ClassTable
    facts: Sequence[SampleFacts]
    splits: tuple[str, ...]
    problems: Sequence[Problem] = ()
    seconds: float = 0.0
    obstacle: str = ""
    page: str | None = field(default=None)

    def of_split(self, split: str | None) -> list[SampleFacts]:
        """The facts of one split, or of all samples."""
        return [fact for fact in self.facts if split is None or split in fact.splits]

    @property
    def main_splits(self) -> tuple[str, ...]:
        """The splits worth a column each: train, val, test and the like, else all of them where they are few."""
        main = [name for name in self.splits if ROLE.fullmatch(name.lower()) and not name.startswith("fold")]
        shown = main if main else list(self.splits)
        return tuple(shown) if len(shown) <= 4 else ()

    def pixels(self, split: str | None = None) -> npt.NDArray[np.int64]:
        """(K,) labelled pixels of each class."""
        counts = [fact.counts for fact in self.of_split(split) if fact.counts is not None]
        return sum(counts, start=np.zeros(len(self.classes), dtype=np.int64))

    def images_with(self, split: str | None = None) -> npt.NDArray[np.int64]:
        """(K,) number of images in which each class occurs."""
        counts = [(fact.counts > 0).astype(np.int64) for fact in self.of_split(split) if fact.counts is not None]
        return sum(counts, start=np.zeros(len(self.classes), dtype=np.int64))

    @cached_property
    def sizes(self) -> Counter[tuple[int, int]]:
        """(H, W) → images."""
        return Counter(fact.size for fact in self.facts if fact.size is not None)

    @cached_property
    def kinds(self) -> Counter[tuple[int, str]]:
        """(bands, dtype) → images."""
        return Counter((fact.bands, fact.dtype) for fact in self.facts if fact.bands)

    @cached_property
    def encodings(self) -> Counter[str]:
        """How the mask files hold their labels → files: palette, grey, colour, 16-bit, 1-bit, or the kind of file."""
        return Counter(fact.encoding for fact in self.facts if fact.encoding)

    @cached_property
    def ignored_share(self) -> float:
        """Share of the pixels of all masks that carry the ignored id."""
        ignored = sum(fact.ignored for fact in self.facts)
        return ignored / max(ignored + int(self.pixels().sum()), 1)

    @cached_property
    def band_stats(self) -> BandStats | None:
        """Statistics of each band over all images of the commonest number of bands."""
        if not self.kinds:
            return None
        bands = self.kinds.most_common(1)[0][0][0]
        merged: BandStats | None = None
        for fact in self.facts:
            if fact.bands == bands and fact.stats is not None:
                merged = fact.stats if merged is None else merged.merged(fact.stats)
        return merged

    @cached_property
    def weights(self) -> dict[str, npt.NDArray[np.float64]]:
        """Suggested class weights from the training split (from all samples where there is none): (K,) each."""
        split = next((name for name in self.splits if name == "train"), None)
        facts = [fact for fact in self.of_split(split) if fact.counts is not None]
        per_image = [
            (fact.counts > 0) * (int(fact.counts.sum()) + fact.ignored) for fact in facts if fact.counts is not None
        ]
        images = sum(per_image, start=np.zeros(len(self.classes), dtype=np.int64))
        pixels = self.pixels(split)
        return {"median_frequency": median_frequency_weights(pixels, images), "enet": enet_weights(pixels)}

    @property
    def usable(self) -> bool:
        """Whether nothing stands in the way of training."""
        return not any(problem.severity == "error" for problem in self.problems)

    @property
    def exit_status(self) -> int:
        """Of the command: 0 usable, 1 unusable."""
        return 0 if self.usable else 1

    @property
    def verdict(self) -> str:
        """'usable', 'usable with warnings' or 'unusable'."""
        if not self.usable:
            return "unusable"
        return "usable with warnings" if any(p.severity == "warning" for p in self.problems) else "usable"

    def as_dict(self) -> dict[str, Any]:
        """The report as plain lists and numbers, for JSON."""
        stats = self.band_stats
        return {
            "data": self.data,
            "verdict": self.verdict,
            "samples": len(self.facts),
            "splits": {name: len(self.of_split(name)) for name in self.splits},
            "sizes": [[*size, count] for size, count in self.sizes.most_common()],
            "images": [[*kind, count] for kind, count in self.kinds.most_common()],
            "encodings": dict(self.encodings),
            "classes": list(self.classes.names),
            "pixels": {name: self.pixels(name).tolist() for name in self.splits},
            "images_with": {name: self.images_with(name).tolist() for name in self.splits},
            "ignored_share": self.ignored_share,
            "mean": stats.mean.tolist() if stats else [],
            "std": stats.std.tolist() if stats else [],
            "weights": {name: values.tolist() for name, values in self.weights.items()},
            "problems": [problem.as_dict() for problem in self.problems],
        }

    def __str__(self) -> str:
        return f"{self.data}: {self.verdict}"


def check_dataset(
    dataset: Dataset, data: str = "", workers: int = 0, tick: Tick | None = None, obstacle: str = ""
) -> CheckReport:
    """Open every sample once and report.

    Args:
        data: the name the report carries.
        workers: threads; 0 for one a usable core. Decoding releases Python's lock, so they do run at once.
        obstacle: why the data set cannot be opened with its own classes, if so; then only its files are judged.
        tick: called after every sample with (samples done, samples in all).
    """
    began = time.perf_counter()
    members, lost = membership(dataset)
    facts: list[SampleFacts | None] = [None] * len(members)
    pool = ThreadPoolExecutor(workers if workers > 0 else usable_threads())
    try:
        futures = {pool.submit(examine, part, i, splits): at for at, (part, i, splits) in enumerate(members)}
        for done, future in enumerate(as_completed(futures), start=1):
            facts[futures[future]] = future.result()
            if tick:
                tick(done, len(members))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    seen = [fact for fact in facts if fact is not None]
    layout = dataset.describe().splitlines()[0] if obstacle else dataset.describe()
    report = CheckReport(data, layout, dataset.classes, seen, tuple(dataset.splits), obstacle=obstacle)
    if obstacle:
        found = [Problem("error", "classes", obstacle), *find_file_problems(seen)]
    else:
        found = [*lost, *find_problems(seen, dataset.classes, report.splits)]
    report.problems = sorted(found, key=lambda problem: problem.rank)
    report.seconds = time.perf_counter() - began
    return report


Member = tuple[Dataset, int, tuple[str, ...]]


def membership(dataset: Dataset) -> tuple[list[Member], list[Problem]]:
    """Every sample once, as (data set, index, its splits), whether splits overlap (VOC's trainval) or add samples."""
    of_name: dict[str, list[str]] = {name: [] for name in dataset.names}
    added: list[tuple[Dataset, int, str]] = []
    lost: list[Problem] = []
    for split in dataset.splits:
        try:
            part = dataset.split(split)
        except DataError as error:
            lost.append(Problem("warning", "split", f"the split '{split}' cannot be read: {error}"))
            continue
        for i, name in enumerate(part.names):
            if name not in of_name:
                of_name[name] = []
                added.append((part, i, name))
            of_name[name].append(split)
    members: list[Member] = [(dataset, i, tuple(of_name[name])) for i, name in enumerate(dataset.names)]
    members += [(part, i, tuple(of_name[name])) for part, i, name in added]
    return members, lost
