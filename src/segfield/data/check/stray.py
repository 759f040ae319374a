"""Masks that belong to no sample: their image is missing, or is named otherwise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from segfield.data.check.problem import SHOWN, Problem, counted
from segfield.data.check.sample import SampleFacts
from segfield.data.written import without_own


def stray_masks(facts: Sequence[SampleFacts]) -> Iterator[Problem]:
    """Files that look like the masks in use, in the same folders, which no sample uses.

    'Look like': the same suffix, and a name that ends as the masks' names do beyond their images' (`_gtFine_labelIds`),
    so that the other files of such a folder (instance ids, surfaces) are not taken for masks.
    """
    pairs = [(fact.image_file, fact.mask_file) for fact in facts if fact.image_file and fact.mask_file]
    pairs = [(image, mask) for image, mask in pairs if mask.suffix and not mask.is_dir()]
    if not pairs:
        return
    tails = Counter((tail(image, mask), mask.suffix) for image, mask in pairs)
    (ending, suffix), count = tails.most_common(1)[0]
    if count < 0.9 * len(pairs):
        return
    used = {mask for _, mask in pairs}
    images = {image for image, _ in pairs}
    strays: list[Path] = []
    for folder in sorted({mask.parent for mask in used}):
        if folder.is_dir():
            there = sorted(path for path in folder.iterdir() if path.suffix == suffix and path.stem.endswith(ending))
            strays += [path for path in without_own(there, folder) if path not in used and path not in images]
    if strays:
        message = f"{counted(len(strays), 'mask')} without a sample: no image of that name, or no list has it"
        files = tuple(str(path) for path in strays[:SHOWN])
        yield Problem("warning", "masks without an image", message, len(strays), files)


def tail(image: Path, mask: Path) -> str:
    """What the mask's name has beyond what it shares with its image's: '_mask' of a1.jpg and a1_mask.png."""
    shared = 0
    while shared < min(len(image.stem), len(mask.stem)) and image.stem[shared] == mask.stem[shared]:
        shared += 1
    return mask.stem[shared:]
