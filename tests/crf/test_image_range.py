"""Images of every depth reach the CRF in units of 0..255, and what cannot be told is asked for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from segfield.crf.image_range import check_image, in_byte_units, white_value
from segfield.errors import DataError

BYTES = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)


@pytest.mark.parametrize(
    "image",
    [
        BYTES,
        BYTES.astype(np.uint16) * 257,
        BYTES.astype(np.float32) / 255,
        BYTES.astype(np.float64),
        BYTES.astype(np.int64),
        torch.from_numpy(BYTES),
        torch.from_numpy(BYTES).half() / 255,
    ],
    ids=["uint8", "uint16", "unit floats", "byte floats", "int64", "tensor", "half tensor"],
)
def test_every_depth_comes_to_the_same(image: object) -> None:
    found = in_byte_units(image, white_value(image))
    np.testing.assert_allclose(np.asarray(found, np.float32), BYTES, atol=0.1)


def test_8_bit_images_stay_as_they_are() -> None:
    assert in_byte_units(BYTES, 255.0) is BYTES


def test_a_given_range_counts() -> None:
    twelve_bits = np.full((1, 2, 2), 4095, np.uint16)
    np.testing.assert_allclose(in_byte_units(twelve_bits, white_value(twelve_bits, 4095)), 255)
    below = np.array([[[-2.0, 3.0]]])
    np.testing.assert_allclose(in_byte_units(below, white_value(below, 2.0)), [[[-255, 382.5]]])


def test_black_and_white_masks() -> None:
    mask = np.array([[[True, False]]])
    np.testing.assert_array_equal(in_byte_units(mask, white_value(mask)), [[[255, 0]]])


@pytest.mark.parametrize("image", [BYTES.astype(np.int32) * 10, BYTES.astype(np.float32) - 3])
def test_a_range_that_cannot_be_told(image: np.ndarray) -> None:
    with pytest.raises(DataError, match=rf"from {image.min():.4g} to {image.max():.4g}, .*image_range="):
        white_value(image)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_image_with_holes(bad: float) -> None:
    with pytest.raises(DataError, match="NaN or infinite"):
        white_value(np.array([[[0.5, bad]]]), 1.0)


@pytest.mark.parametrize("shape", [(4, 4), (0, 4, 4), (3, 0, 4), (1, 3, 4, 4)])
def test_other_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"expected \(C, H, W\)"):
        check_image(np.zeros(shape))


def test_complex_images() -> None:
    with pytest.raises(DataError, match="magnitude"):
        check_image(np.zeros((1, 2, 2), complex))
