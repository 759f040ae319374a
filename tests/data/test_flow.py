"""Optical flow of pictures whose motion is known, and where it leads, against loops."""

import sys

import numpy as np
import pytest

from segfield.data.flow import DenseInverseSearch, Places
from segfield.errors import DataError, SettingError

cv2 = pytest.importorskip("cv2")


def texture(size=(64, 96), seed=0):
    """(3, H, W) uint8 with structure of a few pixels, the same in all bands."""
    noise = np.random.default_rng(seed).normal(size=size).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 2.5)
    grey = ((soft - soft.min()) / np.ptp(soft) * 255).astype(np.uint8)
    return np.repeat(grey[None], 3, axis=0)


@pytest.mark.parametrize("bands", [1, 3])
@pytest.mark.parametrize("step", [(0, 0), (3, 2), (-4, 1)])
def test_a_shifted_picture_has_its_shift_as_flow(bands, step):
    first = texture()[:bands]
    second = np.roll(first, (step[1], step[0]), axis=(1, 2))
    flow = DenseInverseSearch()(first, second)
    assert flow.shape == (64, 96, 2)
    inner = flow[12:-12, 12:-12]
    assert np.median(inner, axis=(0, 1)) == pytest.approx(step, abs=0.25)  # it searches at a quarter of the size
    assert (np.abs(inner - step).max(axis=-1) < 0.5).mean() > 0.95


@pytest.mark.parametrize("size", [(1, 1), (5, 40), (12, 12), (300, 2)])
def test_pictures_of_any_size_have_a_flow(size):
    image = np.full((3, *size), 90, np.uint8)
    assert np.abs(DenseInverseSearch()(image, image)).max(initial=0) < 0.01
    assert DenseInverseSearch()(image, image).shape == (*size, 2)


def test_what_are_no_two_pictures_is_refused():
    search = DenseInverseSearch()
    good = np.zeros((3, 20, 20), np.uint8)
    for other in (np.zeros((3, 20, 21), np.uint8), np.zeros((3, 20, 20), np.float32), np.zeros((20, 20), np.uint8)):
        with pytest.raises(DataError, match="between two images"):
            search(other, good)
    with pytest.raises(DataError, match="between two images"):
        search(np.zeros((5, 20, 20), np.uint8), np.zeros((5, 20, 20), np.uint8))


def test_places_against_a_loop():
    rng = np.random.default_rng(1)
    flow = rng.normal(0, 4, (7, 9, 2)).astype(np.float32)
    values = rng.integers(0, 200, (7, 9))
    places = Places(flow)
    found = places.read(values)
    for y in range(7):
        for x in range(9):
            row, column = y + round(float(flow[y, x, 1])), x + round(float(flow[y, x, 0]))
            assert places.inside[y, x] == (0 <= row < 7 and 0 <= column < 9)
            assert found[y, x] == values[min(max(row, 0), 6), min(max(column, 0), 8)]
    with pytest.raises(DataError, match=r"\(7, 9\).*\(9, 7\)"):
        places.read(values.T)


def test_without_opencv_a_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(SettingError, match=r"optical flow is OpenCV's.*pip install segfield\[video\]"):
        DenseInverseSearch()
