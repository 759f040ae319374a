"""Random trees, random commands, stops at random places: whatever happens, no byte of the user's is lost."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segfield.commands import predict as verb
from segfield.commands.evaluate import evaluate
from segfield.commands.predict import predict
from segfield.commands.refine import refine
from segfield.errors import SegfieldError
from segfield.segmenter import Segmenter
from tests.inference.networks import FakeSegmenter, pixelwise

FOLDERS = ("photos", "photos/ids", "photos/sub", "masks", "ids", "photos/a.png.d", "out", "out/ids", "out/overlay")
NAMES = ("a.png", "a.jpg", "a.png.png", "A.png", "é.png", "e\u0301.png", "b.png", "legend.png", "scores.json", "b.txt")
OUTS = (".", "photos", "out", "photos/out", "ids", "out/ids", "new", "new", "photos/new", "photos/new", "new/deep")
READ = (
    "photos",
    "photos",
    "photos",
    "ids",
    "photos/ids",
    "photos/*.png",
    "photos/**/*.png",
    "out",
    "*",
    "photos/sub",
    "out/ids",
)
KINDS = ("ids", "palette", "overlay", "entropy", "polygons", "probabilities")


class Stopped(KeyboardInterrupt):
    """As a kill: nothing of ours catches it at that place."""


@pytest.fixture
def stops(monkeypatch):
    """Stop as the n-th file is about to take its place, or has just taken it."""
    left = [-1]
    really = Path.replace

    def replace(self, target):
        left[0] -= 1
        if left[0] == 0 and len(str(target)) % 2:
            raise Stopped
        placed = really(self, target)
        if left[0] == 0:
            raise Stopped
        return placed

    monkeypatch.setattr(Path, "replace", replace)
    return left


@pytest.fixture(autouse=True)
def _pretend(monkeypatch):
    fake = FakeSegmenter(pixelwise)
    fake.facts = {}
    monkeypatch.setattr(verb, "load_segmenter", lambda file, device, engine: fake)
    monkeypatch.setattr(Segmenter, "load", lambda path, device: fake)


def write(file: Path, chance: random.Random) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix in (".png", ".jpg"):
        labels = file.parent.name in ("masks", "ids")
        values = np.random.default_rng(chance.randrange(10**6)).integers(0, 2 if labels else 256, (5, 6, 3), np.uint8)
        Image.fromarray(values[..., 0] if labels else values).save(file)
    else:
        file.write_text(str(chance.random()))


def grow(root: Path, chance: random.Random) -> dict[Path, bytes]:
    for i in range(3):
        for folder in ("photos", "masks"):
            write(root / folder / f"{i}.png", chance)
    for _ in range(chance.randrange(2, 9)):
        write(root / chance.choice(FOLDERS) / chance.choice(NAMES), chance)
    (root / "segmenter.safetensors").write_bytes(b"weights")
    return {file: file.read_bytes() for file in root.rglob("*") if file.is_file()}


def act(root: Path, chance: random.Random) -> list[Path]:
    """One command with settings at random; the files it says it made."""
    out, overwrite = str(root / chance.choice(OUTS)), chance.random() < 0.6
    what = chance.random()
    if what < 0.6:
        inputs = [str(root / chance.choice(READ)) for _ in range(chance.choice((1, 1, 2)))]
        return predict(
            str(root / "segmenter.safetensors"), inputs, out, save=chance.sample(KINDS, chance.randrange(1, 4)),
            flips=chance.choice(("none", "all")), overwrite=overwrite, device="cpu", quiet=True,
        )  # fmt: skip
    if what < 0.9:
        labels = str(root / chance.choice(("masks", "ids", "out/ids", "photos/ids")))
        images = str(root / chance.choice(("photos", "out", "photos/sub")))
        return refine(images, labels, out, save="ids,overlay", preset="guided_filter", overwrite=overwrite, quiet=True)
    evaluate(str(root / "segmenter.safetensors"), f"folder:{root}", split="all", out=out, worst=0, boundaries=False,
             calibration=False, overwrite=overwrite, device="cpu")  # fmt: skip
    return [Path(out) / "report.html", Path(out) / "scores.json"]


def meddle(root: Path, users: dict[Path, bytes], chance: random.Random) -> None:
    """The user adds a file, or changes one of ours, which then is the user's."""
    ours = sorted(
        file for file in root.rglob("*") if file.is_file() and file not in users and ".segfield" not in file.parts
    )
    file = root / chance.choice(FOLDERS) / chance.choice(NAMES)
    if ours and chance.random() < 0.5:
        file = chance.choice(ours)
        if file.suffix == ".json" and file.name in ("predict.json", "refine.json"):
            return
        changed = bytearray(file.read_bytes())
        changed[-1] ^= 1
        file.write_bytes(bytes(changed))
    elif not file.exists():
        write(file, chance)
    else:
        return
    users[file] = file.read_bytes()


@pytest.mark.parametrize("seed", range(10))
def test_no_byte_of_the_user_s_is_lost(tmp_path, stops, seed, capsys):
    chance = random.Random(seed)
    users = grow(tmp_path, chance)
    made = predict(
        str(tmp_path / "segmenter.safetensors"), [str(tmp_path / "photos")], str(tmp_path / "new"), quiet=True
    )
    assert len(made) >= 9
    for _ in range(12):
        stops[0] = chance.choice((-1, -1, 1, 2, 4, 7))
        files: list[Path] = []
        with contextlib.suppress(SegfieldError, Stopped):
            files = act(tmp_path, chance)
        stops[0] = -1
        lost = {file for file, content in users.items() if not file.is_file() or file.read_bytes() != content}
        assert not lost, "a command changed or removed these"
        assert all(file.is_file() for file in files), "told as made, but not there"
        assert len({file.stat().st_ino for file in files}) == len(files), "two outputs share a file"
        if chance.random() < 0.3:
            meddle(tmp_path, users, chance)
