"""The loop on small drawn scenes: it learns, it ends when told. That it goes on exactly where it was: test_stop_and_go.py."""

from __future__ import annotations

import dataclasses
import itertools
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from segfield.data.augmentation import AugmentationConfig
from segfield.errors import DataError, SettingError
from segfield.segmenter import Segmenter
from segfield.training.adversarial_config import AdversarialConfig
from segfield.training.loop import fit
from segfield.training.recipe import Recipe
from segfield.training.semi_supervised_config import SemiSupervisedConfig

SMALL = Recipe(
    data="scenes:count=20,size=32x48",
    model="unet_padded",
    weights="none",
    options={"width": 4, "levels": 3, "dropout": 0.2},
    epochs=8,
    learning_rate=0.01,
    batch_size=4,
    ema=0.9,
    precision="32-true",
    device="cpu",
    threads=1,
    augment=AugmentationConfig(crop=(32, 32)),
)


def _recipe(out: Path, **changes: object) -> Recipe:
    return dataclasses.replace(SMALL, out=str(out), **changes)  # type: ignore[arg-type]


def _equal(first: Path, second: Path) -> bool:
    a, b = load_file(first), load_file(second)
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "run"
    fit(_recipe(out))
    return out


def test_it_learns(uninterrupted: Path) -> None:
    rows = [dict(zip(lines[0], line)) for lines in [_csv(uninterrupted)] for line in lines[1:]]
    assert len(rows) == 8
    assert float(rows[-1]["loss"]) < 0.8 * float(rows[0]["loss"])
    segmenter = Segmenter.load(uninterrupted / "segmenter.safetensors", device="cpu")
    assert segmenter.facts["val_miou"] == pytest.approx(max(float(row["val_miou"]) for row in rows), rel=1e-4)


def test_the_same_recipe_gives_the_same_weights(uninterrupted: Path, tmp_path: Path) -> None:
    fit(_recipe(tmp_path / "again"))
    assert _equal(uninterrupted / "resume.safetensors", tmp_path / "again" / "resume.safetensors")
    fit(_recipe(tmp_path / "other", seed=1))
    assert not _equal(uninterrupted / "resume.safetensors", tmp_path / "other" / "resume.safetensors")


def test_an_epoch_limit_that_is_reached_is_not_trained_past(uninterrupted: Path) -> None:
    before = (uninterrupted / "resume.safetensors").read_bytes()
    fitted = fit(_recipe(uninterrupted))
    assert fitted.counters.finished
    assert (uninterrupted / "resume.safetensors").read_bytes() == before


def test_time_budget_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that goes on by a tenth of a second whenever it is looked at."""
    looks = itertools.count()
    monkeypatch.setattr(time, "monotonic", lambda: next(looks) / 10)
    fitted = fit(_recipe(tmp_path / "run", epochs=None, time="3s"))
    assert fitted.counters.finished
    assert 2 < fitted.counters.seconds < 4
    assert (tmp_path / "run" / "segmenter.safetensors").exists()


def test_patience_stops_early(tmp_path: Path) -> None:
    fitted = fit(
        _recipe(tmp_path / "run", epochs=50, patience=2, learning_rate=0.0, model="unet", options={"width": 2}, ema=0.0)
    )
    # without a rate and without batch norm nothing changes: the first validation stays the best
    assert len(fitted.counters.rows) == 3
    assert fitted.counters.finished


def test_accumulated_batches_give_the_step_of_one_large_batch(tmp_path: Path) -> None:
    plain = {"options": {"width": 2, "levels": 2}, "epochs": 1, "ema": 0.0, "loss": "cross_entropy", "optimiser": "sgd"}
    augment = AugmentationConfig(crop=(32, 48), scale=(1.0, 1.0), flip=False)
    runs = []
    for name, batch, accumulate in (("large", 4, 1), ("parts", 2, 2)):
        recipe = _recipe(
            tmp_path / name, batch_size=batch, accumulate=accumulate, augment=augment, model="unet", **plain
        )
        recipe = dataclasses.replace(recipe, options={"width": 2, "dropout": 0.0})
        fit(recipe)
        runs.append(load_file(tmp_path / name / "resume.safetensors"))
    for key, value in runs[0].items():
        if key.startswith("network/"):
            torch.testing.assert_close(value, runs[1][key], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("schedule", ["poly", "cosine", "step", "constant"])
def test_every_schedule_optimiser_and_loss_runs(tmp_path: Path, schedule: str) -> None:
    optimiser = "sgd" if schedule in ("step", "poly") else "adamw"
    loss = {"poly": "dice+focal", "cosine": "lovasz+cross_entropy", "step": "ohem_cross_entropy"}.get(schedule, "dice")
    recipe = _recipe(
        tmp_path / "run", epochs=1, schedule=schedule, optimiser=optimiser, loss=loss, clip=1.0, class_weights="enet",
        rare_crops=0.5,
    )  # fmt: skip
    fitted = fit(recipe)
    assert fitted.counters.rows[-1]["loss"] > 0


def test_a_diverged_run_is_said(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="diverged; lower learning_rate"):
        fit(
            _recipe(
                tmp_path / "run",
                epochs=3,
                learning_rate=1000.0,
                optimiser="sgd",
                momentum=0.99,
                model="unet",
                options={"width": 2},
                ema=0.0,
            )
        )


def test_folds_cover_the_training_split(tmp_path: Path) -> None:
    fitted = fit(_recipe(tmp_path / "run", epochs=1, folds=3, fold=1))
    assert len(fitted.val) == 4  # 12 training scenes in 3 folds


WITHOUT_MASKS = {"unlabelled": "train", "semi_supervised": SemiSupervisedConfig(confidence=0.0, start=0.0)}
ADVERSARY = {"adversary": "smallfov_light", "adversarial": AdversarialConfig(stride=1, turns=2, normalise=True)}


@pytest.mark.thorough
@pytest.mark.parametrize(
    "changes",
    [{}, WITHOUT_MASKS, ADVERSARY, {**WITHOUT_MASKS, **ADVERSARY}],
    ids=["plain", "no masks", "adversary", "both"],
)
def test_two_processes_train_as_one(changes: dict[str, Any], tmp_path: Path) -> None:
    import yaml

    recipe = _recipe(tmp_path / "run", epochs=1, batch_size=2, ema=0.0, **changes)
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(_lists(recipe.as_dict())))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "segfield"]
    done = subprocess.run(
        [*command, "train", "--recipe", str(tmp_path / "recipe.yaml"), "--devices", "2"],
        capture_output=True, text=True, timeout=300, env=_environment(), cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    row = _csv(tmp_path / "run")[1]
    # 12 scenes, 2 processes of 2 crops: 3 steps an epoch, as one process with batches of 4
    assert float(row[1]) == 3
    assert (tmp_path / "run" / "report.html").exists()


def test_wrong_splits_and_empty_ones_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no split 'vall'"):
        fit(_recipe(tmp_path / "run", val_split="vall"))


def test_a_gpu_where_none_is(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(SettingError, match="GPU"):
        fit(_recipe(tmp_path / "run", device="cuda"))


def _environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def _csv(run: Path) -> list[list[str]]:
    return [line.split(",") for line in (run / "curves.csv").read_text().splitlines()]


def _lists(value: object) -> object:
    if isinstance(value, dict):
        return {key: _lists(inner) for key, inner in value.items()}
    return [_lists(inner) for inner in value] if isinstance(value, tuple | list) else value


def test_the_last_weights_are_kept_where_val_is_to_choose_nothing(tmp_path: Path) -> None:
    """The same training, whose best epoch is not the last: one keeps the best weights, the other the last."""
    kept = {}
    for keep in ("best", "last"):
        out = tmp_path / keep
        fit(_recipe(out, epochs=2, keep=keep, ema=0.0, learning_rate=0.3, schedule="constant", clip=1.0, seed=3))
        rows = [dict(zip(_csv(out)[0], line)) for line in _csv(out)[1:]]
        scores = [float(row["val_miou"]) for row in rows]
        assert scores[0] > scores[1], "choose a seed whose last epoch is not its best"
        kept[keep] = Segmenter.load(out / "segmenter.safetensors", device="cpu").facts["val_miou"]
        assert kept[keep] == pytest.approx(max(scores) if keep == "best" else scores[-1], rel=1e-4)
    assert _equal(tmp_path / "best" / "resume.safetensors", tmp_path / "last" / "resume.safetensors")
