"""Preview: uint8 untouched, anything else stretched, always (H, W, 3) uint8."""

from __future__ import annotations

import numpy as np
import pytest

from segfield.data.preview import preview
from segfield.errors import DataError


def test_uint8_rgb_stays_as_it_is():
    image = np.random.default_rng(0).integers(0, 256, (3, 5, 7), dtype=np.uint8)
    np.testing.assert_array_equal(preview(image), image.transpose(1, 2, 0))


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 12])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32, bool])
def test_any_bands_and_type(bands, dtype):
    image = (200 * np.random.default_rng(1).random((bands, 6, 8))).astype(dtype)
    shown = preview(image)
    assert shown.shape == (6, 8, 3) and shown.dtype == np.uint8
    if bands < 3:
        assert (shown == shown[..., :1]).all()


@pytest.mark.parametrize(("dtype", "scale"), [(np.uint16, 4095), (np.float32, 1e-3), (np.float32, 1e6)])
def test_ramp_is_stretched_to_black_and_white_whatever_its_range(dtype, scale):
    ramp = (np.linspace(0, 1, 1000) * scale).astype(dtype).reshape(1, 10, 100)
    shown = preview(ramp)[..., 0].reshape(-1)
    assert (np.diff(shown.astype(int)) >= 0).all()
    assert shown[5] == 0 and shown[-5] == 255 and abs(int(shown[500]) - 128) <= 2


def test_a_few_hot_pixels_do_not_darken_the_rest():
    image = np.random.default_rng(2).random((1, 40, 40)).astype(np.float32)
    image[0, 3, :4] = 1e9
    assert 100 < preview(image).mean() < 155


def test_bands_are_stretched_alike_so_hues_stay():
    image = np.zeros((3, 20, 20), np.uint16)
    image[0] = np.linspace(0, 4000, 400).reshape(20, 20)
    image[1] = image[0] // 2
    shown = preview(image).astype(int)
    middle = shown[10, 10]
    assert middle[0] > 1.7 * middle[1] > 0 and (shown[..., 2] == 0).all()


def test_without_contrast_and_without_numbers():
    assert (preview(np.full((1, 4, 4), 7.5, np.float32)) == 128).all()
    assert (preview(np.full((1, 4, 4), np.nan, np.float32)) == 0).all()
    sparse = np.zeros((1, 50, 50), np.float32)
    sparse[0, 0, 0] = 3
    assert preview(sparse)[0, 0, 0] == 255 and preview(sparse)[1, 1, 0] == 0


def test_what_is_not_an_image():
    with pytest.raises(DataError, match=r"\(4, 4\)"):
        preview(np.zeros((4, 4), np.uint8))
