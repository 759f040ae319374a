"""From the facts of all samples to problems: one function a question, each pure, each problem with its mend."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from segfield.classes import ClassTable
from segfield.data.check.coverage import amounts, coverage
from segfield.data.check.duplicates import duplicates
from segfield.data.check.labels import labels_there, mask_kinds, two_values, unknown_labels
from segfield.data.check.problem import SHOWN, Problem, counted
from segfield.data.check.sample import SampleFacts
from segfield.data.check.stray import stray_masks

FILE_FAULTS = {
    "missing image": ("listed image", "not there; restore or unlist"),
    "corrupt image": ("image", "not to be read; restore or take out"),
    "not finite": ("image", "with NaN or infinite values, which spread through a network; fill them"),
    "missing mask": ("listed mask", "not there; restore or unlist"),
    "corrupt mask": ("mask", "not to be read; restore or take out"),
    "corrupt": ("sample", "not to be read; restore or take out"),
    "size mismatch": ("mask", "of another size than the image; pair each image with its own mask"),
}


def find_problems(facts: Sequence[SampleFacts], classes: ClassTable, splits: Sequence[str]) -> list[Problem]:
    """All problems of a data set, the errors first.

    Args:
        facts: one entry a sample.
        splits: names of the data set's splits.
    """
    if not facts:
        return [Problem("error", "empty", "there are no samples; check the path and the layout")]
    questions = (
        unknown_labels(facts, classes),
        labels_there(facts, splits),
        two_values(facts, classes),
        coverage(facts, classes, splits),
        amounts(facts, classes, splits),
    )
    found = [problem for question in questions for problem in question]
    return sorted([*find_file_problems(facts), *found], key=lambda problem: problem.rank)


def find_file_problems(facts: Sequence[SampleFacts]) -> list[Problem]:
    """The problems that can be told without knowing the classes."""
    questions = (
        file_faults(facts),
        image_kinds(facts),
        mask_kinds(facts),
        duplicates(facts),
        stray_masks(facts),
    )
    return [problem for question in questions for problem in question]


def file_faults(facts: Sequence[SampleFacts]) -> Iterator[Problem]:
    """Missing, unreadable and mismatched files."""
    for kind, (noun, mend) in FILE_FAULTS.items():
        said = [sentence for fact in facts for what, sentence in fact.faults if what == kind]
        if said:
            yield Problem("error", kind, f"{counted(len(said), noun)} {mend}", len(said), tuple(said[:SHOWN]))


def image_kinds(facts: Sequence[SampleFacts]) -> Iterator[Problem]:
    """Bands and dtypes that differ, values that are no numbers, images of one value."""
    for what, noun in (("bands", "band counts"), ("dtype", "value types")):
        seen = Counter(getattr(fact, what) for fact in facts if fact.bands)
        if len(seen) > 1:
            usual = seen.most_common(1)[0][0]
            odd = [fact for fact in facts if fact.bands and getattr(fact, what) != usual]
            listed = ", ".join(f"{count} × {value}" for value, count in seen.most_common())
            grey_and_rgb = what == "bands" and set(seen) == {1, 3}
            mend = "grey ones are shown as RGB" if grey_and_rgb else "convert the odd ones"
            message = f"images differ in their {noun} ({listed}); {mend}"
            files = tuple(f"{fact.image_file or fact.name}: {getattr(fact, what)}" for fact in odd[:SHOWN])
            yield Problem("note" if grey_and_rgb else "error", noun, message, len(odd), files)
    infinite = [fact for fact in facts if fact.not_finite]
    if infinite:
        files = tuple(f"{fact.image_file or fact.name}: {fact.not_finite:,} values" for fact in infinite[:SHOWN])
        message = (
            f"{counted(len(infinite), 'image')} with NaN or infinite values, which spread through a network; fill them"
        )
        yield Problem("error", "not finite", message, len(infinite), files)
    flat = [fact for fact in facts if fact.stats is not None and bool((fact.stats.low == fact.stats.high).all())]
    if flat:
        message = f"{counted(len(flat), 'image')} with one value everywhere; check that they were written whole"
        files = tuple(str(fact.image_file or fact.name) for fact in flat[:SHOWN])
        yield Problem("warning", "empty images", message, len(flat), files)
