"""Images that are broken, unreadable or of an unusual kind, through check, train, evaluate and predict."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.bad_input.conftest import CommandLine
from tests.bad_input.folders import NETWORK, QUICK, bomb, picture, truth, write_folder, write_mask
from tests.told import says


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (_cut, "truncated or damaged"),
    "empty": (lambda file: file.write_bytes(b""), "empty … copy it again"),
    "no image": (lambda file: file.write_text("<html>404</html>"), "not an image"),
    "decompression bomb": (lambda file: file.write_bytes(bomb()), "3,600,000,000 pixels, more than the"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_image_is_named_with_its_mend(
    segfield: CommandLine, data: Path, segmenter: Path, tmp_path: Path, fault: str
) -> None:
    spoil, sentence = BROKEN[fault]
    bad = data / "images" / "train" / "2.png"
    spoil(bad)
    told = segfield("check", data)
    assert told.status == 1
    assert says(sentence, told.out) and str(bad) in told.out
    for words in (
        ("train", data, "--out", tmp_path / "run", *NETWORK),
        ("evaluate", segmenter, data, "--split", "train", "--allow_seen", "true", "--out", tmp_path / "scores", *QUICK),
    ):
        said = segfield.refuses(*words)
        assert says(sentence, said) and str(bad) in said
    told = segfield("predict", segmenter, data / "images", "--out", tmp_path / "out", "--device", "cpu")
    assert told.status == 2
    assert says(sentence, told.err) and str(bad) in told.err
    assert "1 of 4 images" in told.err.splitlines()[-1]
    assert len(list((tmp_path / "out" / "ids").rglob("*.png"))) == 3
    picture(2).save(bad)
    segfield.works("predict", segmenter, data / "images", "--out", tmp_path / "out", "--device", "cpu")
    assert len(list((tmp_path / "out" / "ids").rglob("*.png"))) == 4
    segfield.works("train", data, "--out", tmp_path / "run", *NETWORK)


@pytest.mark.filterwarnings("ignore:.*holds 3 frames")
def test_unusual_images_simply_work(segfield: CommandLine, tmp_path: Path) -> None:
    """CMYK, RGBA, EXIF-rotated, animated, palette, grey among RGB; names with spaces and non-ASCII letters."""
    data, plain = write_folder(tmp_path / "Grüße aus 東京" / "my data"), picture(9)
    upright = Image.Exif()
    upright[0x0112] = 6  # the camera was turned: show it a quarter clockwise
    unusual: dict[str, Callable[[Path], object]] = {
        "cmyk.jpg": plain.convert("CMYK").save,
        "rgba.png": plain.convert("RGBA").save,
        "exif.jpg": lambda file: plain.transpose(Image.Transpose.ROTATE_90).save(file, exif=upright),
        "moving.gif": lambda file: plain.save(file, save_all=True, append_images=[picture(1), picture(2)]),
        "palette.png": plain.quantize(16).save,
        "grey.png": plain.convert("L").save,
        "ein Bild, größer als 図 é.png": plain.save,
    }
    for split in ("train", "val"):
        for name, save in unusual.items():
            save(data / "images" / split / f"{split} {name}")
            write_mask(data / "masks" / split / f"{split} {Path(name).stem}.png", truth())
    run, out = tmp_path / "mein Lauf é", tmp_path / "out"
    assert "usable" in segfield.works("check", data).out
    told = segfield.works("train", data, "--out", run, *NETWORK)
    assert "training on 9, validating on 9" in told.out
    segmenter = run / "segmenter.safetensors"
    segfield.works(
        "evaluate", segmenter, data, "--split", "all", "--allow_seen", "true", "--out", tmp_path / "scores", *QUICK
    )
    told = segfield.works("predict", segmenter, data / "images", "--out", out, "--device", "cpu")
    assert says("moving.gif … 3 frames … first", told.err)
    found = sorted((out / "ids").rglob("*.png"))
    assert len(found) == 18
    assert {Image.open(file).size for file in found} == {(48, 32)}
    assert (out / "overlay" / "train" / "train ein Bild, größer als 図 é.jpg").is_file()


def test_16_bit_images_simply_work_but_not_beside_8_bit_ones(segfield: CommandLine, data: Path, tmp_path: Path) -> None:
    files = sorted((data / "images").rglob("*.png"))
    for file in files:
        Image.fromarray(np.asarray(Image.open(file))[..., 0].astype(np.uint16) * 300).save(file)
    segmenter = tmp_path / "run" / "segmenter.safetensors"
    segfield.works("check", data)
    segfield.works("train", data, "--out", tmp_path / "run", *NETWORK)
    segfield.works(
        "evaluate", segmenter, data, "--split", "all", "--allow_seen", "true", "--out", tmp_path / "scores", *QUICK
    )
    segfield.works("predict", segmenter, data / "images", "--out", tmp_path / "out", "--device", "cpu")
    picture(0).convert("L").save(files[0])
    assert segfield("check", data).status == 1
    said = segfield.refuses("train", data, "--out", tmp_path / "other", *NETWORK)
    assert "uint16" in said and "bring all images to one form" in said


def test_one_pixel_images_simply_work(segfield: CommandLine, data: Path, tmp_path: Path) -> None:
    for split in ("train", "val"):
        picture(0, (1, 1)).save(data / "images" / split / "dot.png")
        write_mask(data / "masks" / split / "dot.png", np.ones((1, 1)))
    segmenter = tmp_path / "run" / "segmenter.safetensors"
    segfield.works("check", data)
    segfield.works("train", data, "--out", tmp_path / "run", *NETWORK)
    segfield.works(
        "evaluate", segmenter, data, "--split", "all", "--allow_seen", "true", "--out", tmp_path / "scores", *QUICK
    )
    segfield.works("predict", segmenter, data / "images", "--out", tmp_path / "out", "--device", "cpu")
    assert Image.open(tmp_path / "out" / "ids" / "val" / "dot.png").size == (1, 1)


@pytest.mark.usefixtures("rights_bite")
def test_images_that_may_not_be_read(segfield: CommandLine, data: Path, segmenter: Path, tmp_path: Path) -> None:
    bad = data / "images" / "train" / "2.png"
    bad.chmod(0)
    sentence = "not permitted … chmod u+r"
    assert says(sentence, segfield("check", data).out)
    for words in (
        ("train", data, "--out", tmp_path / "run", *NETWORK),
        ("evaluate", segmenter, data, "--split", "train", "--allow_seen", "true", "--out", tmp_path / "scores", *QUICK),
    ):
        assert says(sentence, segfield.refuses(*words))
    told = segfield("predict", segmenter, data / "images", "--out", tmp_path / "out", "--device", "cpu")
    assert told.status == 2 and says(sentence, told.err)
    assert len(list((tmp_path / "out" / "ids").rglob("*.png"))) == 3
    bad.chmod(0o600)
    (data / "masks" / "train").chmod(0)
    said = segfield.refuses("train", data, "--out", tmp_path / "run", *NETWORK)
    (data / "masks" / "train").chmod(0o700)
    assert "masks" in said and "not permitted" in said


def test_a_folder_named_like_an_image_is_no_image(
    segfield: CommandLine, data: Path, segmenter: Path, tmp_path: Path
) -> None:
    bad = data / "images" / "train" / "2.png"
    bad.unlink()
    bad.mkdir()
    assert "1 mask without a sample" in segfield.works("check", data).out
    segfield.works("predict", segmenter, data / "images", "--out", tmp_path / "out", "--device", "cpu")
    said = segfield.refuses("predict", segmenter, bad, "--out", tmp_path / "other", "--device", "cpu")
    assert says("no image … end in", said)


def test_no_images_to_predict(segfield: CommandLine, segmenter: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("nothing here")
    for given, sentence in (
        (tmp_path / "empty", "holds no image"),
        (tmp_path / "emtpy", "did you mean empty?"),
        (f"{tmp_path}/empty/*.png", "images end in"),
        (tmp_path / "empty" / "notes.txt", "could not be predicted"),
    ):
        told = segfield("predict", segmenter, given, "--out", tmp_path / "out", "--device", "cpu")
        assert told.status == 2 and says(sentence, told.err), told
