"""A run of a comparison in its own process: trained with its memory noted, scored, and ended with who began it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from segfield.commands.comparison_child import run_words

SETTINGS = {
    "data": "scenes:count=10,size=32x48", "model": "unet_padded", "weights": "none", "options": {"width": 2, "levels": 2},
    "epochs": 1, "batch_size": 3, "precision": "32-true", "device": "cpu",
}  # fmt: skip


def measured(folder: Path, **changed: object) -> Path:
    """A folder as the comparison makes it for a run."""
    place = folder / "measured" / "narrow-seed0"
    place.mkdir(parents=True)
    settings = {**SETTINGS, "out": str(folder / "runs" / "narrow-seed0"), **changed}
    (place / "recipe.yaml").write_text(yaml.safe_dump(settings))
    return place


def in_a_process(*words: str, held: bool) -> subprocess.CompletedProcess[str]:
    """The child, with an input that stays open while it runs, or is closed at once."""
    reader, writer = os.pipe()
    if not held:
        os.close(writer)
    try:
        return subprocess.run(
            [sys.executable, "-m", "segfield.commands.comparison_child", *words], stdin=reader, capture_output=True, text=True,
            timeout=240,
        )  # fmt: skip
    finally:
        os.close(reader)
        if held:
            os.close(writer)


@pytest.mark.thorough
def test_it_trains_notes_its_memory_and_scores(tmp_path: Path) -> None:
    place = measured(tmp_path)
    for words in (["train", str(place)], ["score", str(place), "val"]):
        done = in_a_process(*words, held=True)
        assert done.returncode == 0, done.stderr
    told = {file.name: json.loads(file.read_text()) for file in place.glob("*.json")}
    assert any("memory" in json.dumps(facts) for facts in told.values())
    (score,) = (facts for facts in told.values() if "costs" in facts)
    assert score["costs"]["image_size"] == [32, 48]
    assert score["costs"]["parameters"] > 0 and score["costs"]["prediction_rate"] > 0
    assert any(np.load(file) is not None for file in place.glob("*.np*")), "tallies of each image are kept"


def test_what_cannot_be_scored_is_a_sentence_and_a_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = measured(tmp_path)
    assert run_words(["score", str(place), "val"]) == 2
    assert "no segmenter file" in capsys.readouterr().err
    assert run_words(["score", str(place), "nowhere"]) == 2
    assert "split 'nowhere'" in capsys.readouterr().err


def test_a_run_that_cannot_be_trained_is_a_sentence_and_a_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = measured(tmp_path, options={"widht": 2})
    assert run_words(["train", str(place)]) == 2
    assert "widht" in capsys.readouterr().err


@pytest.mark.thorough
@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_it_ends_with_who_began_it(tmp_path: Path) -> None:
    done = in_a_process("train", str(measured(tmp_path, epochs=10_000)), held=False)
    assert done.returncode in (
        -signal.SIGTERM,
        128 + signal.SIGTERM,
    )  # before and after the loop heeds the signal itself
