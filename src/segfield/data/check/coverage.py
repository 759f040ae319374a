"""Questions to the classes: which never occur, cannot be learned, cannot be measured, or are very rare?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from segfield.classes import ClassTable
from segfield.data.check.problem import Problem, counted
from segfield.data.check.sample import SampleFacts


def coverage(facts: Sequence[SampleFacts], classes: ClassTable, splits: Sequence[str]) -> Iterator[Problem]:
    """Classes that never occur, that cannot be learned, or that cannot be measured."""
    labelled = [fact for fact in facts if fact.counts is not None]
    if not labelled:
        return
    occurs = {name: _occurs([fact for fact in labelled if name in fact.splits], len(classes)) for name in splits}
    anywhere = _occurs(labelled, len(classes))
    if anywhere.sum() == 1:
        only = classes.names[int(np.flatnonzero(anywhere)[0])]
        message = f"'{only}' is the only class that occurs; check the class table, or label the others"
        yield Problem("error", "one class", message, len(labelled))
    absent = [classes.names[i] for i in np.flatnonzero(~anywhere)]
    if absent and anywhere.any():
        message = f"{_classes(len(absent))} without a pixel, so not to be learned; label some or drop them"
        yield Problem("warning", "absent classes", message, len(absent), (", ".join(absent),))
    trained = [name for name in splits if name.startswith("train")]
    held = [name for name in splits if name.startswith(("val", "test")) and occurs[name].any()]
    learned = np.logical_or.reduce([occurs[name] for name in trained]) if trained else np.zeros(0, dtype=bool)
    if not trained or not learned.any():
        return
    if "val" in splits and "val" not in held and any("val" in fact.splits for fact in labelled):
        yield Problem("error", "unlabelled val", "every pixel of 'val' is ignored, so it measures nothing; label some")
    for name in held:
        unlearned = [classes.names[i] for i in np.flatnonzero(occurs[name] & ~learned)]
        if unlearned:
            message = f"{_classes(len(unlearned))} in '{name}' but not in training; move some samples over"
            yield Problem("warning", "untrained classes", message, len(unlearned), (", ".join(unlearned),))
        unmeasured = [classes.names[i] for i in np.flatnonzero(~occurs[name] & learned)]
        if unmeasured:
            message = f"{_classes(len(unmeasured))} of training not in '{name}', which so cannot measure them"
            yield Problem("note", "unmeasured classes", message, len(unmeasured), (", ".join(unmeasured),))


def amounts(facts: Sequence[SampleFacts], classes: ClassTable, splits: Sequence[str]) -> Iterator[Problem]:
    """Too few samples, no held-out split, mostly ignored pixels, very rare classes."""
    if len(facts) == 1:
        yield Problem(
            "warning", "one sample", "there is one sample, so nothing is left to measure on; label another", 1
        )
    elif not any(name.startswith(("val", "test", "fold")) for name in splits):
        yield Problem("note", "no held-out split", "no split is held out; training sets one aside, or use folds")
    counts = [fact.counts for fact in facts if fact.counts is not None]
    pixels = sum(counts, start=np.zeros(len(classes), dtype=np.int64))
    labelled, ignored = int(pixels.sum()), sum(fact.ignored for fact in facts)
    if ignored > labelled > 0:
        share = ignored / (ignored + labelled)
        yield Problem("note", "mostly ignored", f"{share:.0%} of all mask pixels are ignored; is that meant?")
    rare = [i for i in np.flatnonzero(pixels) if pixels[i] < 0.001 * labelled]
    if rare:
        listed = ", ".join(f"{classes.names[i]} {pixels[i] / labelled:.4%}" for i in rare)
        message = f"{_classes(len(rare))} below 0.1% of the labelled pixels; class weights or rare-class crops help"
        yield Problem("note", "rare classes", message, len(rare), (listed,))


def _occurs(facts: Sequence[SampleFacts], classes: int) -> npt.NDArray[np.bool_]:
    there = np.zeros(classes, dtype=bool)
    for fact in facts:
        if fact.counts is not None:
            there |= fact.counts > 0
    return there


def _classes(number: int) -> str:
    return counted(number, "class", "classes")
