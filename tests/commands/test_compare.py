"""`segfield compare` on drawn scenes: the numbers are those of each run alone; it goes on, adds, refuses, and tells failures."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import segfield as sf
from segfield.commands import comparison_queue
from segfield.commands.comparison_child import score_run
from segfield.commands.main import main
from segfield.evaluation.bootstrap import bootstrap_difference
from segfield.evaluation.scores import mean_iou_from_tally
from tests.commands.in_process import run_in_process
from tests.evaluation.test_report import Balance
from tests.told import says

DATA = "scenes:count=15,size=32x48"
SMALL = {
    "model": "unet_padded", "weights": "none", "epochs": 50, "batch_size": 3, "precision": "32-true", "learning_rate": 0.02,
}  # fmt: skip
WIDTHS = {"narrow": {"width": 2, "levels": 2}, "wide": {"width": 4, "levels": 2}, "broken": {"widht": 4}}


def recipes(folder: Path, *names: str, **changed: object) -> list[str]:
    """Recipe files of these names."""
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({**SMALL, "options": WIDTHS[name], **changed}))
    return [str(folder / f"{name}.yaml") for name in names]


def words(out: Path, *files: str, **changed: object) -> list[str]:
    options = {"data": DATA, "epochs": 2, "seeds": 2, "device": "cpu", "pictures": 2, "out": out, **changed}
    return ["compare", *files, *(f"--{name}={value}" for name, value in options.items())]


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """OUT, and what was printed, of two recipes and a broken one, two seeds each."""
    folder = tmp_path_factory.mktemp("compare")
    files = recipes(folder / "recipes", "broken", "narrow", "wide")
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setattr(comparison_queue, "run_process", run_in_process)
        patch.setenv("COLUMNS", "120")
        status = main(words(folder / "out", *files))
    return folder / "out", status, printed.getvalue().splitlines()


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison_queue, "run_process", run_in_process)


def _told(out: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((out / "comparison.json").read_text())
    return told


def test_the_numbers_are_those_of_every_run_evaluated_alone(compared: Any, tmp_path: Path) -> None:
    out, _, _ = compared
    rows = {row["recipe"]: row for row in _told(out)["rows"]}
    for name in ("narrow", "wide"):
        files = [out / "runs" / f"{name}-seed{seed}" / "segmenter.safetensors" for seed in range(2)]
        alone = [sf.evaluate(str(f), DATA, out=str(tmp_path / f.parent.name), device="cpu", worst=0) for f in files]
        assert rows[name]["mean_iou"] == pytest.approx(statistics.fmean(a.scores.mean_iou for a in alone))
        assert rows[name]["deviation"] == pytest.approx(statistics.stdev(a.scores.mean_iou for a in alone))
        assert rows[name]["pixel_accuracy"] == pytest.approx(statistics.fmean(a.scores.pixel_accuracy for a in alone))
        assert rows[name]["boundary_iou"] == pytest.approx(statistics.fmean(a.boundaries.boundary_iou for a in alone))
        for seed, evaluation in enumerate(alone):
            kept = np.load(out / "measured" / f"{name}-seed{seed}" / "val.npz")["tallies"]
            assert np.array_equal(kept, evaluation.per_image)


def test_the_ranking_and_the_difference_follow_from_the_kept_tallies(compared: Any) -> None:
    out, _, _ = compared
    told = _told(out)
    kept = {
        name: [np.load(out / "measured" / f"{name}-seed{seed}" / "val.npz")["tallies"] for seed in range(2)]
        for name in ("narrow", "wide")
    }
    means = {n: float(np.mean([mean_iou_from_tally(*t.sum(axis=1)) for t in each])) for n, each in kept.items()}
    best, worst = sorted(means, key=means.__getitem__, reverse=True)
    assert [row["recipe"] for row in told["rows"]] == [best, worst, "broken"]
    (found,) = told["differences"]
    joined = [np.concatenate(kept[name], axis=-1) for name in (worst, best)]
    expected = bootstrap_difference(*joined)
    assert (found["better"], found["seeds"]) == (best, [0, 1])
    assert found["value"] == pytest.approx(means[best] - means[worst])
    assert (found["low"], found["high"]) == (expected.interval.low, expected.interval.high)


def test_costs_are_those_of_the_network_and_its_curves(compared: Any) -> None:
    out, _, _ = compared
    row = next(row for row in _told(out)["rows"] if row["recipe"] == "wide")
    segmenter = sf.Segmenter.load(out / "runs" / "wide-seed0" / "segmenter.safetensors", device="cpu")
    assert row["parameters"] == sum(p.numel() for p in segmenter.classifier.parameters())
    assert (
        row["runs"][0]["image_size"] == [32, 48] and row["prediction_rate"] > 0 and row["training_memory"] is not None
    )
    last = (out / "runs" / "wide-seed0" / "curves.csv").read_text().splitlines()
    step, seconds = (float(last[-1].split(",")[last[0].split(",").index(name)]) for name in ("step", "seconds"))
    assert (step, row["runs"][0]["training_rate"]) == (6, pytest.approx(6 * 3 / seconds))


def test_all_had_the_same_data_and_budget(compared: Any) -> None:
    out, _, _ = compared
    for folder in (out / "runs").iterdir():
        kept = yaml.safe_load((folder / "recipe.yaml").read_text())
        assert (kept["data"], kept["epochs"], kept["time"], kept["seed"]) == (DATA, 2, None, int(folder.name[-1]))
    assert (out / "runs" / "narrow-seed1" / "report.html").is_file()


def test_what_fails_has_its_sentence_and_the_others_go_on(compared: Any) -> None:
    out, status, printed = compared
    assert status == 2
    reasons = {failed["reason"] for row in _told(out)["rows"] for failed in row["failures"]}
    assert len(reasons) == 1 and says("'widht' … width?", reasons.pop())
    assert sum(line.startswith("broken, seed 1 failed: model 'unet_padded'") for line in printed) == 2
    best = _told(out)["rows"][0]["recipe"]
    assert printed[-1].startswith(f"2 of 6 runs failed (named above); {best} is first with mIoU ")
    assert printed[-1].endswith(f": page {out / 'comparison.html'}")
    order = [line.split(": ")[1] for line in printed if line.startswith("run ")]
    assert [label.split(";")[0] for label in order] == [
        f"{name}, seed {seed}" for seed in range(2) for name in ("broken", "narrow", "wide")
    ]


def test_the_page_holds_all_and_asks_for_nothing_outside(compared: Any) -> None:
    out, _, _ = compared
    page = (out / "comparison.html").read_text()
    parser = Balance()
    parser.feed(page)
    assert parser.open == [] and parser.wrong == []
    assert all(address.startswith(("#", "data:")) for address in parser.addresses)
    for row in _told(out)["rows"][:2]:
        assert row["recipe"] in page and f"<strong>{100 * row['mean_iou']:.2f}</strong>" in page
    assert "options.width" in page and "epochs 2" in page and "chosen on the split" in page
    assert page.count('src="data:image/') == 2 * 6  # two images; image, truth, and prediction and errors of both


def test_finished_runs_are_not_repeated(compared: Any, here: None, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "out"
    shutil.copytree(compared[0], tmp_path / "out")
    files = recipes(tmp_path / "recipes", "narrow", "wide")
    # the run folders name their place, which may change
    before = {file: file.stat().st_mtime_ns for file in out.rglob("resume.safetensors")}
    (out / "measured" / "wide-seed1" / "val.json").unlink()
    assert main(words(out, *files)) == 0
    assert {file: file.stat().st_mtime_ns for file in out.rglob("resume.safetensors")} == before
    printed = capsys.readouterr().out
    assert "3 of 4 runs" in printed and "run 4 of 4: wide, seed 1" in printed
    assert (out / "measured" / "wide-seed1" / "val.json").is_file()


def test_seeds_are_added_and_none_is_dropped(compared: Any, here: None, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "out"
    shutil.copytree(compared[0], out)
    (narrow,) = recipes(tmp_path / "recipes", "narrow")
    assert main(words(out, narrow)) == 2
    assert says("wide-seed0, wide-seed1 … name all", capsys.readouterr().err)
    shutil.rmtree(out / "runs" / "wide-seed0")
    shutil.rmtree(out / "runs" / "wide-seed1")
    assert main(words(out, narrow, seeds=3)) == 0
    assert [run["seed"] for run in _told(out)["rows"][0]["runs"]] == [0, 1, 2]
    assert "2 of 3 runs" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changed", "recipe", "told"),
    [
        ({"epochs": 3}, {}, "narrow-seed0 … other settings (epochs 2 → 3)"),
        ({"data": "scenes:count=16,size=32x48"}, {}, "other settings (data"),
        ({}, {"learning_rate": 0.5}, "other settings (learning_rate 0.02 → 0.5)"),
    ],
)
def test_changed_settings_are_refused(
    compared: Any, changed: dict[str, Any], recipe: dict[str, Any], told: str, tmp_path: Path, capsys: Any
) -> None:
    files = recipes(tmp_path / "recipes", "narrow", "wide", **recipe)
    before = (compared[0] / "comparison.json").read_bytes()
    assert main(words(compared[0], *files, **changed)) == 2
    assert says(told, capsys.readouterr().err)
    assert (compared[0] / "comparison.json").read_bytes() == before


def test_another_split_is_another_page(compared: Any, here: None, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(compared[0], out)
    before = (out / "comparison.html").read_bytes()
    comparison = sf.compare(
        recipes(tmp_path / "recipes", "narrow", "wide"),
        data=DATA, epochs=2, seeds=2, device="cpu", out=str(out), split="test", pictures=0,
    )  # fmt: skip
    assert comparison.exit_status == 0 and comparison.facts["split"] == "test"
    assert comparison.images == tuple(sf.open_dataset(DATA).split("test").names)
    assert comparison.facts["remark"] == ""
    assert (out / "comparison-val.html").read_bytes() == before
    assert json.loads((out / "comparison-val.json").read_text())["facts"]["split"] == "val"
    assert 'id="gallery"' not in (out / "comparison.html").read_text()


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"split": "tset"}, "split 'tset' … test?"),
        ({"val_split": "dev"}, "split 'dev'"),
        ({"pictures": -1}, "pictures is -1"),
        ({"device": "gpu"}, "device 'gpu' is unknown"),
        ({"epochs": "null"}, "budget … not given"),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_is_made(
    changed: dict[str, Any], told: str, tmp_path: Path, capsys: Any
) -> None:
    assert main(words(tmp_path / "out", *recipes(tmp_path / "r", "narrow"), **changed)) == 2
    assert says(told, capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "changed", "told"),
    [
        ("broken", {}, "broken: model 'unet_padded' … options"),
        ("wide", {"learning_rate": 1000, "optimiser": "sgd"}, "wide: … the training diverged … learning_rate"),
    ],
)
def test_when_all_fail_the_reason_is_told(
    here: None, name: str, changed: dict[str, Any], told: str, tmp_path: Path, capsys: Any
) -> None:
    assert main(words(tmp_path / "out", *recipes(tmp_path / "r", name, **changed), seeds=1, epochs=3)) == 2
    printed = capsys.readouterr()
    assert says(told, printed.err)
    assert f"{name}, seed 0 failed: " in printed.out
    assert not (tmp_path / "out" / "comparison.html").exists()


@pytest.mark.parametrize("name", ["comparison.html", "comparison.json", "recipe.yaml"])
def test_a_file_that_no_comparison_wrote_stays_and_is_told_at_once(name: str, tmp_path: Path, capsys: Any) -> None:
    mine = tmp_path / "out" / name
    mine.parent.mkdir()
    mine.write_text("mine")
    assert main(words(tmp_path / "out", *recipes(tmp_path / "r", "narrow"))) == 2
    assert says("give another --out", capsys.readouterr().err)
    assert mine.read_text() == "mine" and [*mine.parent.iterdir()] == [mine]


def test_scoring_a_run_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(
        yaml.safe_dump({**SMALL, "data": DATA, "out": str(tmp_path / "run"), "device": "cpu"})
    )
    with pytest.raises(sf.SegfieldError, match="no segmenter file"):
        score_run(tmp_path, "val")


@pytest.mark.thorough
def test_a_refiner_is_part_of_what_is_compared(compared: Any, here: None, tmp_path: Path) -> None:
    """As `evaluate` does it: with the CRF that the segmenter file carries; the page tells the mIoU without."""
    out = shutil.copytree(compared[0], tmp_path / "out")
    before = {row["recipe"]: row["mean_iou"] for row in _told(out)["rows"]}
    for seed in range(2):
        file = out / "runs" / f"wide-seed{seed}" / "segmenter.safetensors"
        segmenter = sf.Segmenter.load(file, device="cpu")
        segmenter.refiner = sf.DenseCRF(bilateral_sxy=8, bilateral_srgb=20, gaussian_sxy=2)
        segmenter.save(file)
        (out / "measured" / f"wide-seed{seed}" / "val.json").unlink()
    main(words(out, *(str(compared[0].parent / "recipes" / f"{name}.yaml") for name in ("broken", "narrow", "wide"))))
    rows = {row["recipe"]: row for row in _told(out)["rows"]}
    alone = [sf.evaluate(str(run / "segmenter.safetensors"), DATA, out=str(tmp_path / run.name), device="cpu", worst=0)
             for run in sorted((out / "runs").glob("wide-seed*"))]  # fmt: skip
    assert rows["wide"]["mean_iou"] == pytest.approx(statistics.fmean(a.scores.mean_iou for a in alone))
    assert rows["wide"]["mean_iou"] != pytest.approx(before["wide"], abs=1e-5)
    assert statistics.fmean(run["unrefined"] for run in rows["wide"]["runs"]) == pytest.approx(before["wide"])
    assert rows["narrow"]["mean_iou"] == before["narrow"] and "narrow" not in _told(out)["facts"]["remark"]
    keys = f"wide … refiner … without it … mIoU is {100 * before['wide']:.2f}"
    assert says(keys, (out / "comparison.html").read_text())


TRAINED = """
import os, pathlib, signal, sys, time
from segfield.commands import comparison_child
comparison_child._end_with_parent()
real, asked = pathlib.Path.replace, []
def replace(self, target):
    done = real(self, target)
    if pathlib.Path(target).name == "resume.safetensors" and not asked:
        heed = signal.getsignal(signal.SIGTERM)
        signal.signal(signal.SIGTERM, lambda *given: (asked.append(1), heed(*given)))
        os.kill(os.getppid(), NUMBER)
        while not asked:
            time.sleep(0.01)
    return done
pathlib.Path.replace = replace
sys.exit(comparison_child.run_words(sys.argv[1:]))
"""
"""A run that stops the comparison which began it, by that signal, as it keeps its first state, and waits to be told."""


@pytest.mark.thorough
@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["kill -9", "Ctrl-C"])
def test_stopped_it_goes_on(here: None, tmp_path: Path, number: signal.Signals) -> None:
    """By real processes up to the stop: what trains ends soon with its state kept, and the same command goes on from it."""
    files = recipes(tmp_path / "r", "narrow", validate_every=6, save_every="0.001s")
    given = words(tmp_path / "out", *files, seeds=1, epochs=6)
    run = tmp_path / "out" / "runs" / "narrow-seed0"
    trained = TRAINED.replace("NUMBER", str(int(number)))
    program = (
        "import sys\nfrom segfield.commands import comparison_queue\nfrom segfield.commands.main import main\n"
        f"comparison_queue.CHILD = (sys.executable, '-c', {trained!r})\nsys.exit(main(sys.argv[1:]))"
    )
    child = subprocess.run([sys.executable, "-c", program, *given], capture_output=True, text=True, check=False)
    if number == signal.SIGINT:
        assert child.returncode == 2
        assert says("stopped … narrow, seed 0 … nothing is lost", child.stderr)
        assert child.stderr.count("\n") == 1
    else:
        assert child.returncode == -number
    assert not (run / "scores.json").exists()
    recipes(tmp_path / "r", "narrow", validate_every=6)
    assert main(given) == 0  # waits for the process that the killed one left behind
    log = (tmp_path / "out" / "measured" / "narrow-seed0" / "log.txt").read_text()
    assert "going on at step" in log and log.count("stopped at step") == 1
    assert len(_told(tmp_path / "out")["rows"][0]["runs"]) == 1
