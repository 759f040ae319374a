"""Which images a segmenter takes as they are, which it maps with a word, and which it refuses with the option's name."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from segfield.data.value_matching import RangeWarning, in_trained_units
from segfield.data.value_range import ValueRange
from segfield.errors import DataError, SettingError

BYTES = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
UINT8 = ValueRange("uint8", 255)
TWELVE, SIXTEEN = ValueRange("uint16", 4095), ValueRange("uint16", 65535)
NORMALISED = (BYTES / np.float32(255) - 0.45) / 0.225
UNIT, BYTE_FLOATS = ValueRange("float32", 1), ValueRange("float32", 255)
HOUNSFIELD = ValueRange("float32", 3000, -1000)


def silent(image: np.ndarray, values: ValueRange) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return in_trained_units(image, values)


def said(image: np.ndarray, values: ValueRange) -> np.ndarray:
    with pytest.warns(RangeWarning):
        found = in_trained_units(image, values)
    assert found.dtype == values.kind
    return found


@pytest.mark.parametrize(
    ("image", "values"),
    [
        (BYTES, UINT8),
        (BYTES // 9, UINT8),
        (BYTES.astype(np.uint16) * 16, TWELVE),
        (BYTES.astype(np.uint16) * 3, TWELVE),  # dim
        (BYTES.astype(np.uint16) * 16, SIXTEEN),
        (BYTES.astype(np.float32) / 255, UNIT),
        (BYTES.astype(np.float32) / 1000, UNIT),
        (BYTES.astype(np.float32), BYTE_FLOATS),
        (BYTES.astype(np.float32) * 10 - 900, HOUNSFIELD),
        (np.zeros((1, 4, 4), np.float32), BYTE_FLOATS),
    ],
)
def test_what_was_trained_on_is_taken_as_it_is(image: np.ndarray, values: ValueRange) -> None:
    assert silent(image, values) is image


@pytest.mark.parametrize("kind", [np.int32, np.int64, np.float32, np.float64])
def test_the_same_numbers_in_a_wider_kind_are_the_same(kind: type) -> None:
    found = silent(BYTES.astype(kind), UINT8)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, BYTES)
    np.testing.assert_array_equal(silent(BYTES.astype(kind) * 16, TWELVE), BYTES.astype(np.uint16) * 16)
    np.testing.assert_array_equal(silent(BYTES, BYTE_FLOATS), BYTES.astype(np.float32))


@pytest.mark.parametrize(
    ("image", "values", "expected"),
    [
        (BYTES.astype(np.float32) / 255, UINT8, BYTES),
        (BYTES / 255, UINT8, BYTES),
        (BYTES.astype(np.uint16) * 257, UINT8, BYTES),
        (np.full((1, 2, 2), 4095, np.uint16), UINT8, np.full((1, 2, 2), 255)),  # saturated at 12 bits
        (BYTES.astype(np.uint16), UINT8, BYTES),
        (BYTES + np.float32(0.25), UINT8, BYTES),  # resampled
        (BYTES, SIXTEEN, BYTES.astype(np.uint16) * 257),
        (BYTES, TWELVE, np.rint(BYTES * (4095 / 255))),
        (BYTES / 255, SIXTEEN, BYTES.astype(np.uint16) * 257),
        (BYTES / 255, TWELVE, np.rint(BYTES * (4095 / 255))),
        (BYTES, UNIT, BYTES / np.float32(255)),
        (BYTES.astype(np.uint16) * 257, UNIT, BYTES / np.float32(255)),
        (BYTES / 255, BYTE_FLOATS, BYTES),
        (np.full((1, 2, 2), 6000, np.uint16), TWELVE, np.full((1, 2, 2), 6000)),  # brighter, not of another depth
        (BYTES > 100, SIXTEEN, (BYTES > 100) * 65535),
    ],
)
def test_what_is_certain_is_mapped_and_said(image: np.ndarray, values: ValueRange, expected: np.ndarray) -> None:
    np.testing.assert_allclose(said(image, values), expected, atol=1e-4)


@pytest.mark.parametrize("values", [UINT8, TWELVE, SIXTEEN, UNIT, BYTE_FLOATS])
def test_normalised_images_are_refused(values: ValueRange) -> None:
    with pytest.raises(DataError, match=r"'cell' .*-2 to 2.4.*undo the normalisation"):
        in_trained_units(NORMALISED, values, name="cell")
    with pytest.raises(DataError, match="undo the normalisation"):
        in_trained_units(NORMALISED, values, white=values.white)


@pytest.mark.parametrize(
    ("image", "values"),
    [
        (BYTES.astype(np.uint16) * 15, UINT8),  # 12 bits, or dark 16
        (BYTES.astype(np.uint16) * 257, TWELVE),  # other bits than trained on
        (BYTES.astype(np.float32), UNIT),
        (BYTES.astype(np.float32), SIXTEEN),  # 8 bits, or dark
        (BYTES.astype(np.float32) / 65535, TWELVE),  # 12 bits as a share of 16, or dark
        (BYTES.astype(np.float32) / 100, UINT8),  # normalised without negative values
        (BYTES.astype(np.float32) * 16, UINT8),
        (BYTES.astype(np.uint16) * 15, UNIT),
        (BYTES, HOUNSFIELD),
        (BYTES / 255, ValueRange("float32", 3000, 0.5)),
        (BYTES.astype(np.float32) * 100, HOUNSFIELD),
        (NORMALISED, HOUNSFIELD),
    ],
)
def test_what_may_mean_anything_is_refused_until_the_user_says(image: np.ndarray, values: ValueRange) -> None:
    with pytest.raises(DataError, match="--image_range"):
        in_trained_units(image, values)
    white = float(image.max())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = in_trained_units(image, values, white=white)
    assert found.dtype == values.kind
    np.testing.assert_allclose(found.max(), values.white, rtol=1e-3)


def test_what_the_user_says_holds_for_dim_images_too() -> None:
    dim = np.full((1, 2, 2), 900, np.uint16)
    assert (in_trained_units(dim, UINT8, white=4095) == 56).all()
    assert (in_trained_units(dim * 20, TWELVE, white=4095) == 18000).all()  # the same units, however bright
    for wrong in (0, -1.0, float("nan")):
        with pytest.raises(SettingError, match="image_range"):
            in_trained_units(dim, UINT8, white=wrong)


@pytest.mark.parametrize("values", [UINT8, TWELVE, UNIT])
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 1e300])
def test_numbers_that_are_none_are_counted(values: ValueRange, wrong: float) -> None:
    image = np.full((1, 3, 4), 0.5)
    image[0, 1, 1:3] = wrong
    with pytest.raises(DataError, match=r"'cell' .*2 of 12"):
        in_trained_units(image, values, name="cell")


def test_other_arrays_are_refused() -> None:
    with pytest.raises(DataError, match="complex64"):
        in_trained_units(BYTES.astype(np.complex64), UINT8)
