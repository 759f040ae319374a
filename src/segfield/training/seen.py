"""Which images a segmenter was trained on, so that no score and no CRF comes from them unasked."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from segfield.classes import Array
from segfield.data.dataset import Dataset, Subset
from segfield.data.images import fit_bands
from segfield.errors import SegfieldError, SettingError, did_you_mean
from segfield.segmenter import read_facts
from segfield.training.recipe import Recipe
from segfield.training.setup import open_splits

HELD_OUT = "held_out"
"""The split, beside a data set's own, of what the folds of a run left out."""

LOOKED_AT = 8
"""Images of the same names that are opened to tell whether they are the same images."""


def trained_on(recipe: Recipe, checksums: Mapping[str, str]) -> dict[str, str]:
    """What a segmenter file keeps of it: name of a sample → CRC-32 of its image; with those of the segmenter it starts from.

    Args:
        recipe: of the training.
        checksums: name → checksum of each training sample, as `data_changes.checksum` gives them.
    """
    own = {name: checksum[:8] for name, checksum in checksums.items()}
    if recipe.start is None:
        return own
    start = Path(recipe.start)
    before = read_facts(start / "segmenter.safetensors" if start.is_dir() else start).get("facts") or {}
    return {**before.get("trained_on", {}), **own}


def seen(
    facts: Mapping[str, Any], chosen: Dataset, whole: Dataset, bands: int, assumed: Recipe | None = None
) -> list[str]:
    """Names of the samples of `chosen` that the segmenter was trained on.

    Images count as the same where their names are, and the first of them hold the same pixels. For files that do not tell
    what they were trained on, the recipe does: its training split, without the fold it left out.

    Args:
        facts: of the segmenter.
        chosen: samples to score or to learn from.
        whole: the data set they are of, with its splits.
        bands: C of the segmenter.
        assumed: the recipe of a segmenter whose file tells nothing.
    """
    known: Mapping[str, str] | None = facts.get("trained_on")
    if known is None:
        names = _by_recipe(_recipe(facts) or assumed, whole)
        return [name for name in chosen.names if name in names]
    same = [index for index, name in enumerate(chosen.names) if name in known]
    for index in same[:: max(1, len(same) // LOOKED_AT)]:
        sample = chosen[index]
        if _checksum(fit_bands(sample.image, bands, sample.name)) == known[sample.name]:
            return [chosen.names[i] for i in same]
    return []


def refuse_seen(names: list[str], chosen: Dataset, allow: bool, why: str) -> str:
    """The note about samples the segmenter was trained on, where they are allowed; empty where there are none.

    Raises:
        SettingError: if there are some and `allow` is not given; `why` says what comes of them.
    """
    if not names:
        return ""
    count = f"{len(names)} of {len(chosen)} images of '{chosen.split_name}' are ones the segmenter was trained on"
    if not allow:
        raise SettingError(
            f"{count} (such as '{names[0]}'), {why}; give another --split (held_out: what the folds of a run left out), "
            "or --allow_seen true"
        )
    return f"{count}: {why}"


def chosen_split(facts: Mapping[str, Any], whole: Dataset, split: str, purpose: str) -> Dataset:
    """A split of the data set, 'all' of it, or what the folds of the segmenter's run left out ('held_out').

    Raises:
        SettingError: if there is no such split; `purpose` says what it was wanted for.
    """
    if split == HELD_OUT and split not in whole.splits:
        return _held_out(facts, whole)
    if split != "all" and split not in whole.splits:
        known = did_you_mean(split, [*whole.splits, "all"])
        raise SettingError(f"there is no split '{split}' to {purpose}; {known}; choose with --split")
    return whole if split == "all" else whole.split(split)


def _held_out(facts: Mapping[str, Any], whole: Dataset) -> Dataset:
    """The samples of the training split that the folds of a run left out of its training.

    Raises:
        SettingError: if the segmenter is not of a run with folds.
    """
    recipe = _recipe(facts)
    if recipe is None or not recipe.folds:
        raise SettingError(
            f"the segmenter is not of a run with --folds, so nothing was held out; give a split of the data: "
            f"{', '.join(whole.splits)}"
        )
    part = whole.split(recipe.train_split) if recipe.train_split in whole.splits else whole
    names = set(facts["trained_on"]) if "trained_on" in facts else _by_recipe(recipe, whole)
    return Subset(part, [index for index, name in enumerate(part.names) if name not in names], HELD_OUT)


def _by_recipe(recipe: Recipe | None, whole: Dataset) -> set[str]:
    if recipe is None:
        return set()
    try:
        return set(open_splits(recipe, whole)[0].names)
    except SegfieldError:  # a data set without that split, or with too few samples for the folds
        return set()


def _recipe(facts: Mapping[str, Any]) -> Recipe | None:
    """The recipe that a segmenter file keeps; None where it keeps none, or one that is not understood."""
    try:
        return Recipe.from_stored(facts["recipe"])
    except (KeyError, TypeError, SegfieldError):
        return None


def _checksum(image: Array) -> str:
    return f"{zlib.crc32(np.ascontiguousarray(image).tobytes()):08x}"
