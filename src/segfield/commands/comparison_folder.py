"""The folder of a comparison: which runs it asks for, what of them is there, and that nothing in it belongs to another one."""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from segfield.data.files import write_atomically, write_text
from segfield.data.written import Written
from segfield.errors import SettingError
from segfield.evaluation.comparison import Costs, ScoredRun
from segfield.training.recipe import Recipe
from segfield.training.run_folder import RunFolder

_AGREED = ("data", "classes", "train_split", "val_split")
"""Settings that all recipes of a comparison share: given once, or the same in all."""
PATIENCE = 30.0
"""Seconds to wait for the run of a comparison that was killed, which ends at its next step."""


@dataclass(frozen=True)
class Entry:
    """One recipe with one seed: a run to be trained and scored. Its recipe says where: `out` is the run folder."""

    name: str
    seed: int
    recipe: Recipe

    @property
    def label(self) -> str:
        return f"{self.name}, seed {self.seed}"

    @property
    def run(self) -> RunFolder:
        """Its run folder."""
        return RunFolder(self.recipe.out)

    @property
    def measured(self) -> Path:
        """Folder of what is measured of it: recipe.yaml, training.json, SPLIT.json, SPLIT.npz, log.txt."""
        return self.run.path.parents[1] / "measured" / self.run.path.name


def read_entries(
    files: Sequence[str], seeds: int, out: Path, budget: Mapping[str, Any], given: Mapping[str, str | None], device: str
) -> list[Entry]:
    """All runs of a comparison, one seed of every recipe before the next seed.

    Args:
        files: the recipes' YAML files.
        seeds: how many; they are 0, 1, 2 …
        out: folder of the comparison.
        budget: time, epochs or steps, of which one is not None.
        given: data, classes, train_split, val_split; where None, what all recipes say.
        device: that all train on.

    Raises:
        SettingError: if no budget or several are given, a recipe stands twice, or the recipes disagree about the data.
        FileFormatError: if a file is no recipe.
    """
    chosen = {name: value for name, value in budget.items() if value is not None}
    if len(chosen) != 1:
        raise SettingError(
            "the budget that every run gets is " + (" and ".join(chosen) if chosen else "not given")
            + "; give one of --time 20m, --epochs 50 and --steps 10000"
        )  # fmt: skip
    if seeds < 1:
        raise SettingError(f"seeds is {seeds}; give the number of runs of each recipe, 1 or more")
    recipes = {name: Recipe.read(file) for name, file in _names(files).items()}
    shared = _agreed(recipes, given)
    entries = []
    for seed in range(seeds):
        for name, settings in recipes.items():
            own = {key: value for key, value in settings.items() if key not in _displaced(chosen)}
            place = {"out": str(out / "runs" / f"{name}-seed{seed}"), "seed": seed, "device": device, "threads": 0}
            try:
                recipe = Recipe.from_dict({**own, **chosen, **shared, **place})
            except SettingError as error:
                raise SettingError(f"recipe '{name}': {error}") from error
            if recipe.folds:
                raise SettingError(
                    f"recipe '{name}' trains on a fold, and folds change with the seed; leave out folds and give splits with "
                    "--train_split and --val_split"
                )
            entries.append(Entry(name, seed, recipe))
    return entries


def _names(files: Sequence[str]) -> dict[str, str]:
    """{file's stem: file}; each once."""
    names: dict[str, str] = {}
    for file in files:
        name = Path(file).stem
        if name in names:
            same = Path(names[name]).resolve() == Path(file).resolve()
            told = f"'{file}' is given twice" if same else f"'{names[name]}' and '{file}' have one name, '{name}'"
            raise SettingError(f"{told}; " + ("give it once" if same else "rename one of the files"))
        names[name] = file
    return names


def _displaced(chosen: Mapping[str, Any]) -> set[str]:
    """Settings that the budget takes the place of."""
    return {name for group in Recipe.ALTERNATIVES if {*group} & {*chosen} for name in group}


def _agreed(recipes: Mapping[str, Mapping[str, Any]], given: Mapping[str, str | None]) -> dict[str, Any]:
    shared: dict[str, Any] = {}
    for name in _AGREED:
        if given.get(name) is not None:
            shared[name] = given[name]
            continue
        default = getattr(Recipe, name, None)
        told = {settings.get(name, default) for settings in recipes.values()}
        if len(told) > 1 or (name == "data" and told == {None}):
            listed = ", ".join(f"{recipe}: {settings.get(name, default)}" for recipe, settings in recipes.items())
            raise SettingError(f"the recipes do not name the same {name} ({listed}); give it with --{name}")
        shared[name] = told.pop()
    return shared


def claim(entries: Sequence[Entry], out: Path) -> None:
    """Make the folders of the runs, or take them up again.

    Raises:
        SettingError: if a run with other settings lies in one of them, or the folder holds runs that are not asked for.
    """
    from segfield.training import stages

    runs = out / "runs"
    asked = {entry.run.path.name for entry in entries}
    others = [folder.name for folder in sorted(runs.glob("*-seed*")) if _has_begun(folder) and folder.name not in asked]
    if others:
        raise SettingError(
            f"{out} also holds {', '.join(others[:4])}{', …' if len(others) > 4 else ''}; name all its recipes and seeds "
            "(more of both may be added), or give another --out"
        )
    for entry in entries:
        # the last stage's folder holds those of the others, and is made first
        for _, stage in reversed(stages.stage_recipes(entry.recipe)):
            RunFolder(stage.out).claim(stage)
        settings = json.loads(json.dumps(entry.recipe.as_dict()))
        write_text(entry.measured / "recipe.yaml", yaml.safe_dump(settings, sort_keys=False, allow_unicode=True))


def _has_begun(folder: Path) -> bool:
    return re.search(r"-seed\d+$", folder.name) is not None and any(
        (folder / name).exists() for name in ("resume.safetensors", "segmenter.safetensors", "scores.json", "stages")
    )


def _is_comparison(out: Path) -> bool:
    """A folder 'runs' alone may be anybody's."""
    begun = Written(out, "compare").exists() or any((out / name).exists() for name in (".lock", "measured"))
    return begun and (out / "runs").is_dir()


@contextlib.contextmanager
def alone(out: Path) -> Iterator[int | None]:
    """While entered, no other comparison works in the folder. Gives the lock's file, which a run's process holds as well.

    Raises:
        SettingError: if another one does, or something else lies there.
    """
    if out.is_file():
        raise SettingError(f"{out} is a file; give another --out for the folder of the comparison")
    if out.is_dir() and any(file.name != ".lock" for file in out.iterdir()) and not _is_comparison(out):
        raise SettingError(f"{out} is not empty and holds no comparison; give another --out")
    out.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:  # Windows
        yield None
        return
    import time

    with (out / ".lock").open("a", encoding="ascii") as stream:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise SettingError(
                        f"another comparison is at work in {out}; wait for its end, or give another --out"
                    ) from error
                time.sleep(0.2)
        yield stream.fileno()


def is_scored(entry: Entry, split: str) -> bool:
    """Whether the run was trained to its end and scored on the split."""
    return entry.run.is_finished() and (entry.measured / f"{split}.json").is_file()


def write_score(folder: Path, split: str, score: Mapping[str, Any], tallies: Any) -> None:
    """Keep a run's score: from now on it is scored. Tallies are (3, N, K)."""
    packed = io.BytesIO()
    np.savez_compressed(packed, tallies=tallies)
    write_atomically(folder / f"{split}.npz", packed.getvalue())
    write_text(folder / f"{split}.json", json.dumps(score, indent=2, ensure_ascii=False) + "\n")


def read_score(entry: Entry, split: str) -> tuple[ScoredRun, list[str]]:
    """A scored run, and the names of its images."""
    told = json.loads((entry.measured / f"{split}.json").read_text(encoding="utf-8"))
    with np.load(entry.measured / f"{split}.npz", allow_pickle=False) as packed:
        tallies = packed["tallies"]
    training = _read(entry.measured / "training.json")
    costs = Costs(
        **{**told["costs"], "image_size": tuple(told["costs"]["image_size"])}, training_memory=training.get("peak")
    )
    scores = {name: _number(told["scores"][name]) for name in ("mean_iou", "pixel_accuracy", "mean_class_accuracy")}
    edges = _number(told["boundaries"]["boundary_iou"])
    curves = tuple(entry.run.read_curves())
    alone = _number(told["unrefined"]["mean_iou"]) if "unrefined" in told else None
    scored = ScoredRun(
        entry.name,
        entry.seed,
        **scores,
        boundary_iou=edges,
        tallies=tallies,
        costs=costs,
        curves=curves,
        unrefined=alone,
    )
    return scored, list(told["image_mean_iou"])


def note_training_memory(folder: Path, peak: int) -> None:
    """Keep the peak of a start of the training; of several starts the largest."""
    before = _read(folder / "training.json").get("peak", 0)
    write_text(folder / "training.json", json.dumps({"peak": max(before, peak)}) + "\n")


def data_hash(entry: Entry) -> str | None:
    """SHA-256 of the pixels the run was trained on, from its own report."""
    facts: dict[str, Any] = _read(entry.run.scores).get("facts", {})
    return next((str(value) for name, value in facts.items() if name.startswith("data hash")), None)


def _read(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
