"""Equal and nearly equal images, above all between training and held-out samples, where scores become too good."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from segfield.data.check.problem import SHOWN, Problem, counted
from segfield.data.check.sample import SampleFacts

ROLE = re.compile(r"((?P<fold>fold\d+)[-_/ ]?)?(?P<role>train|val|test)(?!val|-sequence).*")
ALIKE = 0.995  # correlation of the 16×16 grey thumbnails from which two images are called nearly equal


def roles(fact: SampleFacts) -> set[tuple[str, str]]:
    """(fold, 'train', 'val' or 'test') of each of the sample's splits that has such a role; fold is '' outside folds.

    All splits whose name begins with 'train' are one role (VOC's train lies within trainaug); trainval is none.
    """
    found = set()
    for split in fact.splits:
        match = ROLE.fullmatch(split.lower())
        if match is not None:
            found.add((match["fold"] or "", match["role"]))
    return found


def leaks(first: set[tuple[str, str]], second: set[tuple[str, str]]) -> bool:
    """Whether equal images in these roles join two parts that must be apart."""
    return any(a[0] == b[0] and a[1] != b[1] for a in first for b in second)


def duplicates(facts: Sequence[SampleFacts]) -> Iterator[Problem]:
    """Equal images across splits and within one, unlike masks of equal images, nearly equal images."""
    groups: dict[bytes, list[SampleFacts]] = defaultdict(list)
    for fact in facts:
        if fact.digest:
            groups[fact.digest].append(fact)
    same = [group for group in groups.values() if len(group) > 1]
    across = [group for group in same if any(leaks(roles(a), roles(b)) for a in group for b in group if a is not b)]
    twice = [fact for fact in facts if leaks(roles(fact), roles(fact))]
    if across or twice:
        count = len(across) + len(twice)
        message = f"{counted(count, 'image')} in two splits at once, so scores will be too good; keep each in one split"
        listed = [" = ".join(_where(fact) for fact in group) for group in across] + [_where(fact) for fact in twice]
        yield Problem("warning", "duplicates across splits", message, count, tuple(listed[:SHOWN]))
    within = [group for group in same if group not in across]
    if within:
        message = f"{counted(len(within), 'image')} more than once in the data set; each copy counts in training"
        listed = [" = ".join(_where(fact) for fact in group) for group in within]
        yield Problem("note", "duplicates", message, len(within), tuple(listed[:SHOWN]))
    unlike = [group for group in same if len({fact.labels_digest for fact in group}) > 1]
    if unlike:
        message = f"{counted(len(unlike), 'image')} twice with unlike masks; keep the right one"
        listed = [" ≠ ".join(_where(fact) for fact in group) for group in unlike]
        yield Problem("warning", "contradicting masks", message, len(unlike), tuple(listed[:SHOWN]))
    near = near_duplicates(facts)
    if near:
        count = len({b for _, b, _ in near})
        message = (
            f"{counted(count, 'held-out image')} nearly like a training image (frames of one video?); a hint, no proof"
        )
        listed = [f"{_where(facts[b])} ~ {_where(facts[a])} ({alike:.4f})" for a, b, alike in near[:SHOWN]]
        yield Problem("note", "near duplicates", message, count, tuple(listed))


def near_duplicates(facts: Sequence[SampleFacts]) -> list[tuple[int, int, float]]:
    """(training sample, held-out sample, correlation) for held-out images whose likest training image is beyond ALIKE.

    Invariant to brightness and contrast. Equal images and flat ones are left out.
    """
    own = [roles(fact) for fact in facts]
    train = [i for i, fact in enumerate(facts) if fact.thumb is not None and any(r == "train" for _, r in own[i])]
    held = [i for i, fact in enumerate(facts) if fact.thumb is not None and own[i] and i not in set(train)]
    if not train or not held:
        return []
    training = _thumbs(facts, train)
    found = []
    for start in range(0, len(held), 512):
        block = held[start : start + 512]
        alike = _thumbs(facts, block) @ training.T  # (held, train) correlations
        for row, j in enumerate(block):
            i = train[int(alike[row].argmax())]
            best = float(alike[row].max())
            if best >= ALIKE and facts[i].digest != facts[j].digest and leaks(own[i], own[j]):
                found.append((i, j, best))
    return sorted(found, key=lambda entry: -entry[2])


def _thumbs(facts: Sequence[SampleFacts], indices: Sequence[int]) -> npt.NDArray[np.float32]:
    return np.stack([thumb for i in indices if (thumb := facts[i].thumb) is not None])


def _where(fact: SampleFacts) -> str:
    splits = [split for split in fact.splits if not (split.startswith("fold") and split.endswith("train"))] or list(
        fact.splits
    )
    return f"{fact.name} ({', '.join(splits[:4])})" if splits else fact.name
