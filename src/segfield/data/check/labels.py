"""Questions to the masks: do their values stand for classes, are there any, are they written alike?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from segfield.classes import ClassTable
from segfield.data.check.problem import SHOWN, Problem, Severity, counted
from segfield.data.check.sample import SampleFacts


def unknown_labels(facts: Sequence[SampleFacts], classes: ClassTable) -> Iterator[Problem]:
    """Mask values or colours outside the class table, with the lines that would map them."""
    pixels: Counter[Any] = Counter()
    images: Counter[Any] = Counter()
    first: dict[Any, str] = {}
    for fact in facts:
        pixels.update(fact.unknown)
        for value in fact.unknown:
            images[value] += 1
            first.setdefault(value, str(fact.mask_file or fact.name))
    if not pixels:
        return
    noun = "colour" if any(isinstance(value, tuple) for value in pixels) else "value"
    concerned = sum(bool(fact.unknown) for fact in facts)
    soft = " (so many of them point to masks saved as JPEG or resized with interpolation)" if len(pixels) > 64 else ""
    rows = [
        f"{_written(value)}: {counted(count, 'pixel')} in {counted(images[value], 'mask')}, first {first[value]}"
        for value, count in pixels.most_common(SHOWN)
    ]
    yield Problem(
        "error",
        f"unknown mask {noun}s",
        f"{counted(len(pixels), 'mask ' + noun)} in {counted(concerned, 'mask')} without a class{soft}; map each to "
        f"its id, or to {classes.ignored_id} to ignore it",
        concerned,
        tuple(rows),
        mapping_lines(classes, [value for value, _ in pixels.most_common(SHOWN)]),
    )


def mapping_lines(classes: ClassTable, unknown: Sequence[Any]) -> str:
    """YAML for the class table that keeps the mapping there is and sends the unknown values to the ignored id."""
    lines = []
    values = sorted(value for value in unknown if not isinstance(value, tuple))
    colours = sorted(value for value in unknown if isinstance(value, tuple))
    if values:
        known = classes.value_to_id()
        spare = [i for i in range(len(classes)) if i not in known.values()]
        if values == [255] and set(known) <= {0, 1} and len(classes) == 2:  # the usual {0, 255} masks
            known, spare = {0: 0}, [1]
        guess = {value: spare.pop(0) if spare and len(values) <= len(spare) else classes.ignored_id for value in values}
        rows = ", ".join(f"{value}: {target}" for value, target in sorted({**known, **guess}.items()))
        lines.append(f"source_values: {{{rows}}}")
    if colours:
        lines.append("source_colours:")
        for colour, target in [*classes.colour_to_id().items(), *((c, classes.ignored_id) for c in colours)]:
            lines.append(f"  - [[{colour[0]}, {colour[1]}, {colour[2]}], {target}]")
    return "\n".join(lines)


def labels_there(facts: Sequence[SampleFacts], splits: Sequence[str]) -> Iterator[Problem]:
    """Samples without masks, and masks in which every pixel is ignored."""
    bare = [fact for fact in facts if fact.counts is None and not fact.faults and not fact.unknown]
    if len(bare) == len(facts):
        yield Problem("error", "no masks", "no sample has a mask; there is nothing to learn from", len(facts))
        return
    whole = [name for name in splits if all(fact in bare for fact in facts if name in fact.splits) and bare]
    for name in whole:
        count = sum(name in fact.splits for fact in bare)
        if count:
            yield Problem("note", "no masks", f"'{name}' has no masks: it can be predicted, not measured", count)
    rest = [fact.name for fact in bare if not set(fact.splits) & set(whole)]
    if rest:
        message = f"{counted(len(rest), 'sample')} without a mask; give them one or take them out"
        yield Problem("warning", "no mask", message, len(rest), tuple(rest[:SHOWN]))
    labelled = [fact for fact in facts if fact.counts is not None]
    void = [fact.name for fact in labelled if not fact.counts.any()]  # type: ignore[union-attr]
    if void:
        message = f"every pixel is ignored in {len(void)} of {len(labelled)} masks, which teach nothing; take them out"
        severity: Severity = "error" if len(void) == len(labelled) else "warning"
        yield Problem(severity, "all ignored", message, len(void), tuple(void[:SHOWN]))


def two_values(facts: Sequence[SampleFacts], classes: ClassTable) -> Iterator[Problem]:
    """Masks of 0 and 255: read as two classes, or 255 taken for 'ignored' unasked."""
    pairs = [fact for fact in facts if fact.values == (0, 255)]
    others = [fact for fact in facts if fact.counts is not None and not fact.values and fact.counts.any()]
    if not pairs or others or any(set(fact.values) - {0, 255} for fact in facts):
        return
    target = classes.value_to_id().get(255, classes.ignored_id)
    if target != classes.ignored_id:
        here = f"masks hold the two values 0 and 255, where 255 is '{classes.names[target]}'"
        yield Problem("note", "0 and 255", here, len(pairs))
    elif sum(int((fact.counts > 0).sum()) for fact in pairs if fact.counts is not None) <= len(pairs):
        message = (
            f"{counted(len(pairs), 'mask')} with only 0 and 255; 255 counts as ignored, so one class is all there is; "
            "if 255 is a class, map it"
        )
        files = tuple(str(fact.mask_file or fact.name) for fact in pairs[:SHOWN])
        yield Problem("error", "0 and 255", message, len(pairs), files, "source_values: {0: 0, 255: 1}")


def mask_kinds(facts: Sequence[SampleFacts]) -> Iterator[Problem]:
    """Masks in unlike encodings, and masks in a format that loses values."""
    seen = Counter(fact.encoding for fact in facts if fact.encoding)
    lossy = [fact for fact in facts if fact.encoding and fact.encoding.endswith("(JPEG)")]
    if lossy:
        message = f"{counted(len(lossy), 'JPEG mask')}, which blur values at every edge; save them anew as PNG"
        yield Problem("warning", "JPEG masks", message, len(lossy), tuple(str(f.mask_file) for f in lossy[:SHOWN]))
    if len(seen) > 1:
        usual = seen.most_common(1)[0][0]
        odd = [fact for fact in facts if fact.encoding and fact.encoding != usual]
        listed = ", ".join(f"{count} {kind}" for kind, count in seen.most_common())
        message = f"masks come in unlike encodings ({listed}), which may give one class two values; write all alike"
        files = tuple(f"{fact.mask_file}: {fact.encoding}" for fact in odd[:SHOWN])
        yield Problem("warning", "mixed masks", message, len(odd), files)


def _written(value: Any) -> str:
    return f"colour {list(value)}" if isinstance(value, tuple) else f"value {value}"
