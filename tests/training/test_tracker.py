"""The TensorBoard file, read back with TensorBoard's own reader."""

from __future__ import annotations

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from segfield.errors import SegfieldError
from segfield.training.tracker import Tracker

ROWS = [{"epoch": float(i), "step": 10.0 * i, "loss": 1 / i, "val_miou": 0.1 * i} for i in (1, 2, 3)]


def _curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    reader = EventAccumulator(str(folder / "tensorboard")).Reload()
    return {tag: [(event.step, event.value) for event in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]}


def test_rows_are_read_back(tmp_path: Path) -> None:
    tracker = Tracker(tmp_path, 0)
    for row in ROWS:
        tracker.add(row)
    # before it is closed: a killed run loses nothing
    curves = _curves(tmp_path)
    tracker.close()
    assert set(curves) == {"loss", "val_miou"}
    assert [step for step, _ in curves["loss"]] == [10, 20, 30]
    assert [value for _, value in curves["loss"]] == pytest.approx([1, 1 / 2, 1 / 3])


def test_a_continued_run_hides_what_lies_past_its_step(tmp_path: Path) -> None:
    first = Tracker(tmp_path, 0)
    for row in ROWS:
        first.add(row)
    first.close()
    second = Tracker(tmp_path, 20)
    second.add({**ROWS[2], "loss": 7.0})
    second.close()
    assert [pair for pair in _curves(tmp_path)["loss"] if pair[0] == 30] == [(30, 7.0)]


def test_a_file_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "tensorboard").write_text("a file, where the folder should be")
    with pytest.raises(SegfieldError, match="could not be written"):
        Tracker(tmp_path, 0)


def test_a_disk_that_fills_up_is_a_sentence(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    tracker = Tracker(tmp_path, 0)
    tracker.close()
    tracker._records._writer = full.open("ab", buffering=0)
    with pytest.raises(SegfieldError, match=r"No space left.*free some space"):
        tracker.add(ROWS[0])
