"""Many images with one segmenter: what is told, and how it ends."""

import warnings

import numpy as np
import pytest

from segfield.crf.dense_crf import DenseCRF
from segfield.crf.memory import crf_bytes
from segfield.data.images import write_png
from segfield.errors import SegfieldError, SettingError
from segfield.inference import batch as module
from segfield.inference.batch import BatchPrediction
from segfield.inference.inputs import Input
from segfield.inference.results import ResultsFolder
from tests.inference.networks import FakeSegmenter, pixelwise
from tests.told import says

OPTIONS = {"tile": 64, "overlap": 32, "flips": "none", "scales": [1.0]}


@pytest.fixture
def images(tmp_path):
    made = []
    for i, size in enumerate([40, 41, 300]):
        file = tmp_path / "in" / f"{i}.png"
        write_png(file, np.full((size, size, 3), 120, np.uint8))
        made.append(Input(file, str(i)))
    return made


def prediction(tmp_path, network=pixelwise, **settings):
    return BatchPrediction(FakeSegmenter(network), ResultsFolder(tmp_path / "out", ("ids",)), OPTIONS, **settings)


def test_memory_is_told_again_only_where_more_is_needed(tmp_path, images, capsys):
    prediction(tmp_path).run(images)
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("memory")]
    assert len(told) == 2
    assert "for '0' (40×40, whole)" in told[0] and "for '2' (300×300, 81 tiles" in told[1]


def test_memory_that_is_not_there_is_warned_of(tmp_path, images, capsys, monkeypatch):
    monkeypatch.setattr(module, "available_bytes", lambda device: 1000)
    prediction(tmp_path).run(images[:1])
    assert says("0.1 MiB … smaller --tile", capsys.readouterr().err)


def test_quiet_says_nothing(tmp_path, images, capsys):
    assert len(prediction(tmp_path, quiet=True).run(images)) == 3
    assert capsys.readouterr() == ("", "")


def test_what_a_reader_notes_is_a_line(tmp_path, images, capsys, monkeypatch):
    real = module.read_image

    def noting(file):
        warnings.warn("the first of 3 frames is read", stacklevel=1)
        return real(file)

    monkeypatch.setattr(module, "read_image", noting)
    prediction(tmp_path).run(images[:1])
    assert "first of 3 frames" in capsys.readouterr().err


def test_what_stops_everything_says_how_to_go_on(tmp_path, images):
    def network(tiles):
        if tiles.shape[-1] == 41:
            raise MemoryError
        return pixelwise(tiles)

    with pytest.raises(SettingError, match=r"does not fit .*1 of 3 images.*same command"):
        prediction(tmp_path, network, quiet=True).run(images)


def test_stopped_by_hand(tmp_path, images):
    def network(tiles):
        if tiles.shape[-1] > 41:
            raise KeyboardInterrupt
        return pixelwise(tiles)

    with pytest.raises(SegfieldError, match=r"Ctrl-C.*2 of 3 images"):
        prediction(tmp_path, network, quiet=True).run(images)
    assert [file.stem for file in prediction(tmp_path, quiet=True).run(images)] == ["0", "1", "2"]


def test_memory_of_the_crf_is_announced_by_the_image(tmp_path, images, capsys, monkeypatch):
    """Noise has sixty times the lattice points of a plain image of its size."""
    monkeypatch.setattr(DenseCRF, "__call__", lambda self, image, probabilities: probabilities)  # it is told before
    told = []
    noise = np.random.default_rng(0).integers(0, 256, (150, 150, 3), dtype=np.uint8)
    for name, pixels in (("plain", np.full((150, 150, 3), 90, np.uint8)), ("noise", noise)):
        file = tmp_path / "in" / f"{name}.png"
        write_png(file, pixels)
        folder = ResultsFolder(tmp_path / name, ("ids",))
        crf = DenseCRF(iterations=1)
        BatchPrediction(FakeSegmenter(pixelwise, refiner=crf), folder, OPTIONS).run([Input(file, name)])
        said = capsys.readouterr().err
        assert "and its refinement" in said
        number, unit = said.split("about ")[1].split()[:2]
        told.append(float(number) * {"MiB": 2**20, "GiB": 2**30}[unit])
        expected = crf_bytes(crf, pixels.transpose(2, 0, 1), 3) + 150 * 150 * (1 + 2 * 3 + 4 * 3)
        assert told[-1] == pytest.approx(expected, rel=0.02)
    assert told[1] > 3 * told[0]
