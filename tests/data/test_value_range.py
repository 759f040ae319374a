"""What images' numbers mean is measured over the whole set, never over one image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segfield.data.value_range import RangeMeter, ValueRange, check_numbers, values_of
from segfield.errors import DataError, FileFormatError


def found(*images: np.ndarray) -> ValueRange:
    meter = RangeMeter()
    for number, image in enumerate(images):
        meter.add(image[None], f"i{number}")
    return meter.found()


@pytest.mark.parametrize(("highest", "white"), [(200, 255), (900, 1023), (3900, 4095), (4096, 16383), (60000, 65535)])
def test_the_depth_of_16_bit_files_is_the_least_that_holds_the_brightest_image(highest: int, white: int) -> None:
    dim, bright = np.full((4, 5), 100, np.uint16), np.full((4, 5), highest, np.uint16)
    assert found(dim, bright) == found(bright, dim) == ValueRange("uint16", white)


def test_8_bits_are_8_bits_however_dark() -> None:
    assert found(np.ones((4, 5), np.uint8)) == ValueRange("uint8", 255)


@pytest.mark.parametrize(
    ("low", "high", "white"),
    [(0, 1, 1), (0.1, 0.6, 1), (-0.01, 1.02, 1), (0, 255, 255), (3, 140.5, 255), (-4, 258, 255)],
)
def test_floats_of_the_usual_ranges(low: float, high: float, white: float) -> None:
    assert found(np.array([[low, high]], np.float32)) == ValueRange("float32", white)


@pytest.mark.parametrize(("low", "high"), [(-1000, 3000), (0, 3100), (-2.1, 2.6), (0, 0.05), (280, 310)])
def test_other_floats_are_measured_without_single_outliers(low: float, high: float) -> None:
    image = np.linspace(low, high, 10_000, dtype=np.float32).reshape(100, 100)
    image[3, 3] = 1e9
    values = found(image, image[::-1])
    assert values.kind == "float32"
    assert values.black == pytest.approx(low, abs=0.002 * (high - low))
    assert values.white == pytest.approx(high, abs=0.002 * (high - low))
    assert values.span == values.white - values.black


def test_one_value_everywhere_has_a_range_too() -> None:
    assert found(np.full((3, 3), -7.0, np.float32)).span > 0


def test_files_keep_it() -> None:
    values = ValueRange("float32", 3000.5, -1000.25)
    assert ValueRange.from_dict(values.as_dict()) == values
    assert values_of({"values": values.as_dict()}, Path("a")) == values
    assert values_of({}, Path("older")) is None
    for wrong in (
        {"kind": "uint8"},
        {"kind": "int3", "white": 1, "black": 0},
        {"kind": "uint8", "white": -1, "black": 0},
        3,
    ):
        with pytest.raises(FileFormatError, match="the file was changed"):
            values_of({"values": wrong}, Path("a.safetensors"))


@pytest.mark.parametrize(
    ("wrong", "count"), [(np.array([1.0, np.nan, np.inf]), "2 of 3"), (np.array([1e300, 1.0]), "1 of 2")]
)
def test_what_is_no_number_is_counted(wrong: np.ndarray, count: str) -> None:
    with pytest.raises(DataError, match=rf"cells.tif .*{count}"):
        check_numbers(wrong, "cells.tif")
    with pytest.raises(DataError, match=rf"'i0' .*{count}"):
        found(wrong)
    check_numbers(np.array([1e38, -3.0]), "fine")
