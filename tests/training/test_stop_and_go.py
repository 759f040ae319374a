"""A run that was stopped, or killed, at any moment and started again leaves what the run that was never stopped leaves.

Everything is compared bit by bit: weights, resume state, curves, best segmenter, scores and report; wall-clock times alone may
differ. Stops and kills are in this process, at every moment there is; real signals are in tests/bad_input/test_stops.py.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from segfield.commands.train import train
from segfield.data import files, leftovers
from segfield.data.augmentation import AugmentationConfig
from segfield.errors import FileFormatError, SettingError
from segfield.training import loop, run_lock
from segfield.training.adversarial_config import AdversarialConfig
from segfield.training.interrupt import Interrupted, StopSignals
from segfield.training.recipe import Recipe
from segfield.training.run_lock import NAME
from segfield.training.semi_supervised_config import SemiSupervisedConfig

SMALL = Recipe(
    data="",
    out="run",
    model="unet_padded",
    weights="none",
    options={"width": 2, "levels": 2, "dropout": 0.2},
    steps=5,
    learning_rate=0.02,
    batch_size=2,
    precision="32-true",
    device="cpu",
    threads=1,
    augment=AugmentationConfig(crop=(16, 16)),
)
CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "everything": {
        "accumulate": 2, "batch_size": 1, "ema": 0.9, "patience": 2, "recompute_norm": True, "optimiser": "sgd", "clip": 1.0,
        "save_every": "0.000001s",
    },
    "adversary": {
        "adversary": "smallfov_light", "adversarial": AdversarialConfig(stride=1, normalise=True, turns=2),
        "unlabelled": "train", "semi_supervised": SemiSupervisedConfig(start=0.0), "save_every": "0.000001s",
    },
    "no masks": {
        "unlabelled": "scenes:count=3,size=32x32", "semi_supervised": SemiSupervisedConfig(confidence=0.0),
        "save_every": "0.000001s",
    },
    "stages": {"half_size_first": 0.5, "validate_every": 2, "save_every": "0.000001s"},
}  # fmt: skip
LEFT = ".segfield-999999999-0123456789ab.tmp"
"""Of a process that cannot be: ids end far below."""


class Case(NamedTuple):
    """A recipe, what it leaves when it is never stopped, and the folder as it was whenever a file was about to be named."""

    recipe: Recipe
    whole: dict[str, Any]
    photographs: list[Path]


def what_is_left(run: Path) -> dict[str, Any]:
    """Every file of a run, without wall-clock times."""
    left: dict[str, Any] = {}
    for file in sorted(run.rglob("*")):
        name = file.relative_to(run).as_posix()
        if file.is_dir() or "tensorboard" in name:
            continue
        left[name] = file.read_bytes()
        if file.name == "curves.csv":
            names, *rows = [line.split(",") for line in file.read_text().splitlines()]
            left[name] = [[value for key, value in zip(names, row) if key != "seconds"] for row in rows]
        if file.name == "resume.safetensors":
            with safe_open(file, framework="pt") as opened:
                document = json.loads(opened.metadata()["segfield_resume"])
                left[name] = {key: opened.get_tensor(key).numpy().tobytes() for key in opened.keys()}  # noqa: SIM118
            del document["counters"]["seconds"]
            for row in document["counters"]["rows"]:
                del row["seconds"]
            left[name]["document"] = document
    return left


def require_same(case: Case, when: object) -> None:
    left = what_is_left(Path("run"))
    assert left.keys() == case.whole.keys(), when
    for name in case.whole:
        assert left[name] == case.whole[name], f"{name} differs after {when}"


@pytest.fixture(scope="module", autouse=True)
def _report_without_pictures() -> Iterator[None]:
    """What a report is made of: its drawing takes longer than the whole training."""

    def write(path: Path, evaluation: Any, *, curves: Any, recipe: Any, facts: Any, **others: Any) -> None:
        rows = [{key: value for key, value in row.items() if key != "seconds"} for row in curves]
        files.write_text(path, json.dumps([evaluation.as_dict(), rows, recipe, facts, sorted(others)]))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("segfield.evaluation.report.write_report", write)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four pictures to train on, two to validate on: bright on one side, of two classes."""
    folder = tmp_path_factory.mktemp("data")
    for number in range(6):
        split = "train" if number < 4 else "val"
        labels = (np.indices((20, 24))[1] > 6 + 2 * number).astype(np.uint8)
        noise = np.random.default_rng(number).integers(0, 90, (20, 24, 3))
        for kind, pixels in (("images", labels[..., None] * 90 + noise), ("masks", labels)):
            (folder / kind / split).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / kind / split / f"{number}.png")
    return folder


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=[] if name == "plain" else pytest.mark.thorough) for name in CASES]
)
def case(request: pytest.FixtureRequest, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Case:
    recipe = dataclasses.replace(SMALL, data=str(data), **CASES[request.param])
    here = tmp_path_factory.mktemp("whole")
    photographs: list[Path] = []
    whole_replacing = files.replacing

    @contextlib.contextmanager
    def replacing(path: str | Path) -> Iterator[Path]:
        with whole_replacing(path) as temporary:
            yield temporary
            photographs.append(here / str(len(photographs)))
            shutil.copytree(here / "run", photographs[-1], ignore=lambda *_: {temporary.name, NAME})
            (photographs[-1] / Path(path).absolute().relative_to(here / "run").parent / LEFT).write_bytes(b"half a fi")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "replacing", replacing)
        patch.chdir(here)
        train(recipe)
    return Case(recipe, what_is_left(here / "run"), photographs)


class _Asked(StopSignals):
    """Asks for a stop the n-th time that the run looks."""

    left = 0

    @property
    def asked(self) -> bool:
        _Asked.left -= 1
        return _Asked.left == 0

    @asked.setter
    def asked(self, value: bool) -> None:
        pass


def test_stopped_after_every_single_step(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one run: every start makes one step, or one validation."""
    monkeypatch.setattr(loop, "StopSignals", _Asked)
    monkeypatch.chdir(tmp_path)
    stops = 0
    while True:
        _Asked.left = 1
        try:
            train(case.recipe)
            break
        except Interrupted:
            stops += 1
    assert stops > 5
    require_same(case, "stops at every step")


@pytest.mark.parametrize("at", range(1, 9))
def test_stopped_at_one_step(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Or after one validation: the last ones are the end of the budget, where nothing but the validation is left to do."""
    monkeypatch.setattr(loop, "StopSignals", _Asked)
    monkeypatch.chdir(tmp_path)
    _Asked.left = at
    with contextlib.suppress(Interrupted):
        train(case.recipe)
    train(case.recipe)
    require_same(case, f"stop {at}")


def test_killed_at_every_file(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the file has its name: its temporary file is left behind, and all that was written before."""
    assert len(case.photographs) > 10
    for number, photograph in enumerate(case.photographs):
        place = tmp_path / str(number)
        place.mkdir()
        monkeypatch.chdir(place)
        monkeypatch.setattr(leftovers, "_swept", set())
        shutil.copytree(photograph, "run")
        train(case.recipe)
        require_same(case, f"a kill at file {number}")


def test_data_that_changed_meanwhile_is_refused_unless_told(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One mask inverted, and one image to validate on."""
    own = tmp_path / "data"
    shutil.copytree(data, own)
    monkeypatch.setattr(loop, "StopSignals", _Asked)
    monkeypatch.chdir(tmp_path)
    recipe = dataclasses.replace(SMALL, data=str(own))
    _Asked.left = 2
    with pytest.raises(Interrupted):
        train(recipe)
    _Asked.left = 1
    for file in (own / "masks" / "train" / "1.png", own / "images" / "val" / "5.png"):
        pixels = np.asarray(Image.open(file))
        Image.fromarray((1 - pixels if "masks" in str(file) else pixels[::-1]).astype(np.uint8)).save(file)
    before = what_is_left(Path("run"))
    with pytest.raises(SettingError, match="--accept_changed_data") as told:
        train(recipe)
    assert "labels changed: '" in str(told.value) and "1'" in str(told.value) and "images changed: '" in str(told.value)
    assert what_is_left(Path("run")) == before
    with pytest.raises(Interrupted):
        train(dataclasses.replace(recipe, accept_changed_data=True))
    assert "labels changed" in capsys.readouterr().out
    with pytest.raises(Interrupted):  # from now on this is the run's data
        _Asked.left = 1
        train(recipe)


def test_a_second_start_is_refused_while_the_first_is_at_work(data: Path, tmp_path: Path) -> None:
    """Before it has saved anything."""
    hold = (
        "from pathlib import Path; from segfield.training.run_lock import alone_in; import time\n"
        f"with alone_in(Path({str(tmp_path / 'run')!r})): print(1, flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", hold], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None and child.stdout.readline()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(run_lock, "PATIENCE", 0.0)
            with pytest.raises(SettingError, match=f"process {child.pid}"):
                train(dataclasses.replace(SMALL, data=str(data), out=str(tmp_path / "run")))
        assert [file.name for file in (tmp_path / "run").iterdir()] == [NAME]
    finally:
        child.kill()
        child.communicate()


def _spoil(change: Callable[[dict[str, Any], dict[str, Any]], None]) -> None:
    """Change counters and tensors of the state, as one of before there was a check over it."""
    file = Path("run") / "resume.safetensors"
    tensors = load_file(file)
    with safe_open(file, framework="pt") as opened:
        document = json.loads(opened.metadata()["segfield_resume"])
    change(document["counters"], tensors)
    save_file(tensors, file, {"segfield_resume": json.dumps(document)})


@pytest.mark.parametrize(
    "change",
    [
        lambda counters, tensors: counters.update(step=10**9),
        lambda counters, tensors: counters.update(step=-3),
        lambda counters, tensors: counters.update(step="3"),
        lambda counters, tensors: counters.update(rows=[7]),
        lambda counters, tensors: counters.update(rows=[{"epoch": 1.0}]),
        lambda counters, tensors: counters.update(best=None),
        lambda counters, tensors: counters.update(unknown=3),
        lambda counters, tensors: counters.pop("step"),
        lambda counters, tensors: tensors.update(losses=torch.zeros(99)),
        lambda counters, tensors: tensors.pop(next(key for key in tensors if key.startswith("average/"))),
        lambda counters, tensors: tensors.pop(next(key for key in tensors if key.startswith("network/"))),
        lambda counters, tensors: tensors.pop(next(key for key in tensors if key.endswith("exp_avg"))),
    ],
)
def test_a_spoilt_state_is_a_sentence(
    stopped: tuple[Recipe, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[..., None]
) -> None:
    recipe, run = stopped
    shutil.copytree(run, tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    _spoil(change)
    with pytest.raises(FileFormatError, match=r"resume\.safetensors"):
        loop.fit(recipe)


@pytest.fixture(scope="module")
def stopped(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Recipe, Path]:
    """A run stopped at its third step."""
    recipe = dataclasses.replace(SMALL, data=str(data), ema=0.9)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("stopped"))
        patch.setattr(loop, "StopSignals", _Asked)
        _Asked.left = 4
        with pytest.raises(Interrupted):
            loop.fit(recipe)
        return recipe, Path("run").absolute()


def test_a_diverged_training_is_never_the_best(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its weights are no numbers, and no number is class 0, which scores."""
    recipe = dataclasses.replace(SMALL, data=str(data), out=str(tmp_path / "run"))
    step = loop.Fit._step

    def poisoned(self: loop.Fit, batches: Iterator[Any]) -> torch.Tensor:
        loss = step(self, batches)
        next(self.classifier.parameters()).data.fill_(float("nan"))
        return loss

    monkeypatch.setattr(loop.Fit, "_step", poisoned)
    with pytest.raises(SettingError, match="diverged") as told:
        loop.fit(recipe)
    assert "learning_rate" in str(told.value) and "clip" in str(told.value) and "keeps the best" not in str(told.value)
    assert not (tmp_path / "run" / "segmenter.safetensors").exists()
