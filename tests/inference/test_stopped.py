"""Prediction stopped at every file it writes, by Ctrl-C and as by kill −9: what was finished stays, and the rest is made up."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import numpy as np
import pytest

from segfield.commands import predict as verb
from segfield.commands.main import main
from segfield.data.images import write_png
from tests.inference.networks import FakeSegmenter, pixelwise
from tests.writes import kept_instants, watched_writes

KINDS = ("ids", "overlay")


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Of the command, up to --out."""
    monkeypatch.setattr(verb, "load_segmenter", lambda file, device, engine: FakeSegmenter(pixelwise))
    (tmp_path / "segmenter.safetensors").write_bytes(b"weights")
    for i in range(4):
        picture = np.random.default_rng(i).integers(0, 256, (3, 20 + i, 24), dtype=np.uint8)
        write_png(tmp_path / "photos" / f"{i}.png", picture.transpose(1, 2, 0))
    given = [str(tmp_path / "segmenter.safetensors"), str(tmp_path / "photos")]
    return ["predict", *given, "--device", "cpu", "--save", ",".join(KINDS), "--out"]


def contents(folder: Path) -> dict[str, bytes]:
    """What a user finds: every file but temporary ones and the command's own record."""
    names = {file: file.relative_to(folder) for file in folder.rglob("*") if file.is_file()}
    return {
        name.as_posix(): file.read_bytes()
        for file, name in names.items()
        if not any(part.startswith(".") for part in name.parts)
    }


def stamps(folder: Path) -> dict[Path, int]:
    return {file: file.stat().st_mtime_ns for kind in KINDS for file in (folder / kind).glob("*.*")}


def complete(folder: Path) -> int:
    """Images of which everything is there."""
    return len(set.intersection(*({file.stem for file in (folder / kind).glob("*.*")} for kind in KINDS)))


def goes_on(words: list[str], out: Path, whole: dict[str, bytes]) -> None:
    """The same command makes up what lacks, and nothing that is complete anew."""
    before, done = stamps(out), complete(out)
    assert main([*words, str(out)]) == 0
    assert contents(out) == whole
    after = stamps(out)
    assert sum(after[file] == stamp for file, stamp in before.items()) >= done * len(KINDS)


def test_killed_at_any_write_it_goes_on(words: list[str], tmp_path: Path) -> None:
    with kept_instants(tmp_path / "out", tmp_path) as instants:
        assert main([*words, str(tmp_path / "out")]) == 0
    whole = contents(tmp_path / "out")
    assert len(instants) >= 4 * len(KINDS) and complete(tmp_path / "out") == 4
    assert [complete(instant) for instant in instants] == sorted(complete(instant) for instant in instants)
    for instant in instants:
        assert whole.items() >= contents(instant).items()
        goes_on(words, instant, whole)


@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="signals come to the main thread")
def test_stopped_by_ctrl_c_at_any_write_it_says_so_and_goes_on(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    writes: list[Path] = []
    with watched_writes(lambda number, file: writes.append(file)):
        assert main([*words, str(tmp_path / "whole")]) == 0
    whole = contents(tmp_path / "whole")
    outputs = [number for number, file in enumerate(writes, 1) if file.parent.name in KINDS]
    assert len(outputs) == 4 * len(KINDS)
    for number in outputs:
        out = tmp_path / f"{number}"
        capsys.readouterr()
        with watched_writes(
            lambda now, file, number=number: signal.raise_signal(signal.SIGINT) if now == number else None
        ):
            assert main([*words, str(out)]) == 2
        told = capsys.readouterr().err.splitlines()[-1]
        assert told.startswith("segfield: stopped by Ctrl-C; ") and f"{complete(out)} of 4 images are complete" in told
        assert not list(out.rglob("*.tmp"))
        goes_on(words, out, whole)
