"""Trials on disk: what is read back, and what is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from segfield.crf.tuning.grid import OFF, Point
from segfield.crf.tuning.store import TrialFolder
from segfield.crf.tuning.trials import Trials, prepare_crf
from tests.crf.tuning.planted import CLASSES, CRF, GRID, CountingPrepare, planted

TALLIES = {OFF: np.arange(6).reshape(3, 2), Point(0.1, 12.3, 4.56, 0.0): np.full((3, 2), 2**40)}


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    store = TrialFolder(tmp_path / "new", {"iterations": 10, "pair": (1, 2)})
    assert store.read("city/a ü") == {}
    store.write("city/a ü", TALLIES)
    found = TrialFolder(tmp_path / "new", {"iterations": 10, "pair": (1, 2)}).read("city/a ü")
    assert found.keys() == TALLIES.keys()
    assert all(np.array_equal(found[point], TALLIES[point]) for point in TALLIES)
    assert store.read("city/b") == {}


def test_trials_of_another_crf_and_damaged_files_are_not_read(tmp_path: Path) -> None:
    TrialFolder(tmp_path, {"iterations": 10}).write("a", TALLIES)
    assert TrialFolder(tmp_path, {"iterations": 5}).read("a") == {}
    (file,) = tmp_path.glob("*.json")
    file.write_text(file.read_text()[:50])
    assert TrialFolder(tmp_path, {"iterations": 10}).read("a") == {}
    file.write_text("[1, 2]")
    assert TrialFolder(tmp_path, {"iterations": 10}).read("a") == {}


def test_a_second_start_tries_only_what_is_new(tmp_path: Path) -> None:
    samples = planted(2)
    first = Trials(samples, ["a", "b"], CLASSES, CRF, prepare_crf, store=TrialFolder(tmp_path, CRF.as_dict()))
    first.run(GRID.points()[:4])
    prepare = CountingPrepare()
    second = Trials(samples, ["a", "b"], CLASSES, CRF, prepare, store=TrialFolder(tmp_path, CRF.as_dict()))
    second.run(GRID.points()[:4])
    assert (second.runs, prepare.built) == (0, [])
    second.run(GRID.points())
    assert second.runs == 2 * (len(GRID.points()) - 4)
    assert all(np.array_equal(first.tallies[point], second.tallies[point]) for point in first.tallies)


def test_trials_of_points_without_a_gaussian_weight_are_made_again(tmp_path: Path) -> None:
    store = TrialFolder(tmp_path, {})
    store.write("a", TALLIES)
    (file,) = tmp_path.glob("*.json")
    file.write_text(file.read_text().replace("4.56, 0.0]", "4.56]"))
    assert store.read("a") == {}
