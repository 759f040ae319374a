"""The run folder: recipe, curves, resume state, segmenter, scores and report, and whose run it is."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from segfield.data.files import write_text
from segfield.data.leftovers import is_temporary, sweep
from segfield.errors import FileFormatError, SettingError
from segfield.training import run_lock
from segfield.training.recipe import Recipe, completed

# Settings that may change between a start and its continuation: they do not change the weights that come out.
_FREE = ("out", "device", "workers", "threads", "cache", "hold", "save_every", "accept_changed_data")

_OF_A_START = frozenset({"recipe.yaml", "samples.json", "tensorboard", "stages"})
"""What a start writes before there is anything trained."""

_NEVER_LEFT_OUT = frozenset({"data", "out", "train_split", "precision", "save_every", "seed"})
"""A run writes every setting into its recipe.yaml; a recipe that somebody wrote by hand has some of them."""


class RunFolder:
    """The files of one run.

    Attributes:
        recipe: recipe.yaml, the settings.
        curves: curves.csv, a row each validation.
        state: resume.safetensors, what a continuation needs.
        samples: samples.json, checksums of what the run was begun on.
        segmenter: segmenter.safetensors, the best weights so far.
        scores: scores.json, the final evaluation.
        report: report.html.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.recipe = self.path / "recipe.yaml"
        self.curves = self.path / "curves.csv"
        self.state = self.path / "resume.safetensors"
        self.samples = self.path / "samples.json"
        self.segmenter = self.path / "segmenter.safetensors"
        self.scores = self.path / "scores.json"
        self.report = self.path / "report.html"

    def claim(self, recipe: Recipe) -> bool:
        """Make the folder, or take it up again. Returns whether a run is to be continued.

        A start that failed before it had trained anything (a misspelt loss) leaves the folder free for other settings.

        Raises:
            SettingError: if a run with other settings, or something else, lies there.
            FileFormatError: if the recipe of the run there is damaged.
        """
        if self.path.is_file():
            raise SettingError(f"{self.path} is a file; choose another --out for the run folder")
        sweep(self.path)
        if any(file.is_file() for file in (self.state, self.segmenter, self.scores)) and self.recipe.is_file():
            self._check_same(recipe)
            return self.state.is_file()
        if self.path.is_dir() and not self._is_left_by_a_start():
            raise SettingError(f"{self.path} is not empty and holds no run; choose another --out")
        self.path.mkdir(parents=True, exist_ok=True)
        write_text(self.recipe, yaml.safe_dump(_plain(recipe.as_dict()), sort_keys=False, allow_unicode=True))
        return False

    def _is_left_by_a_start(self) -> bool:
        """Whether all that lies here was left by a start that trained nothing: a recipe of somebody's own is not."""
        left = {path.name for path in self.path.iterdir() if path.name != run_lock.NAME and not is_temporary(path)}
        if not left <= _OF_A_START:
            return False
        try:
            read = yaml.safe_load(self.recipe.read_text(encoding="utf-8")) if self.recipe.name in left else {}
        except (OSError, yaml.YAMLError, UnicodeDecodeError):
            return False
        return not left or (isinstance(read, dict) and read.keys() >= _NEVER_LEFT_OUT)

    def is_finished(self) -> bool:
        """Whether the run was trained and reported to its end."""
        return self.scores.is_file()

    def _check_same(self, recipe: Recipe) -> None:
        try:
            read = yaml.safe_load(self.recipe.read_text(encoding="utf-8"))
            if not isinstance(read, dict):
                raise FileFormatError("it holds no settings")
            before = _flat(completed(read))
            # settings that are newer than the run were as they are by default
            before = {**_flat(_plain(Recipe(data="").as_dict())), **before}
        except (yaml.YAMLError, UnicodeDecodeError, FileFormatError) as error:
            raise FileFormatError(
                f"{self.recipe} is damaged, so it cannot be told whether this is the same run; "
                "choose another --out, or restore the file"
            ) from error
        now = _flat(_plain(recipe.as_dict()))
        changed = [key for key in sorted({*before, *now}) if key not in _FREE and before.get(key) != now.get(key)]
        if changed:
            listed = ", ".join(f"{key} {before.get(key)} → {now.get(key)}" for key in changed[:3])
            raise SettingError(
                f"{self.path} holds a run with other settings ({listed}); choose another --out, or repeat its settings"
            )

    def read_curves(self) -> list[dict[str, float]]:
        """Rows of curves.csv.

        Raises:
            FileFormatError: if the file is damaged.
        """
        if not self.curves.is_file():
            return []
        try:
            with self.curves.open(encoding="utf-8", newline="") as stream:
                return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(stream)]
        except (OSError, ValueError, TypeError, csv.Error) as error:
            raise FileFormatError(
                f"{self.curves} is damaged ({error}); delete it: going on with an unfinished run writes it anew"
            ) from error

    def write_curves(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Write all rows anew, atomically."""
        names = list(dict.fromkeys(key for row in rows for key in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows([{key: f"{value:.6g}" for key, value in row.items()} for row in rows])
        write_text(self.curves, text.getvalue())

    def write_scores(self, scores: Mapping[str, Any]) -> None:
        """Write scores.json: from now on the run is finished."""
        write_text(self.scores, json.dumps(scores, indent=2, ensure_ascii=False) + "\n")


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{augment: {flip: true}} → {augment.flip: true}."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat.update(_flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value})
    return flat


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, tuple | list) else value
