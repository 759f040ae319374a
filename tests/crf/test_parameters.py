"""Every parameter of the dense CRF refuses what it cannot be, in one sentence that names it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from segfield.crf.dense_crf import DenseCRF
from segfield.crf.parameters import LARGEST_BANDWIDTH, LARGEST_WEIGHT, frozen_numbers, is_zero, widest
from segfield.errors import SettingError


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("bilateral_sxy", 0, "number above 0, in pixels"),
        ("bilateral_srgb", 1e-6, "too narrow to connect any pixels; use 0.001 or more"),
        ("bilateral_sxy", -3.0, "number above 0"),
        ("bilateral_sxy", math.nan, "number above 0"),
        ("bilateral_sxy", (3.0, 3.0, 3.0), "x and y"),
        ("gaussian_sxy", 0.0, "None leaves the kernel out"),
        ("gaussian_sxy", "3", "number above 0"),
        ("bilateral_srgb", 0, "in units of 0..255"),
        ("bilateral_srgb", (3.0, 0.0), "in units of 0..255"),
        ("bilateral_srgb", None, "in units of 0..255"),
        ("bilateral_srgb", (), "in units of 0..255"),
        ("bilateral_weight", math.inf, "give a number"),
        ("gaussian_weight", (1.0, math.nan), "one a class"),
        ("iterations", -1, "at least 0"),
        ("iterations", 2.5, "whole number"),
        ("iterations", True, "whole number"),
        ("normalization", "symetric", "did you mean symmetric"),
        ("accuracy", "fats", "did you mean fast"),
        ("epsilon", 0, "above 0 and below 1"),
        ("epsilon", 1.0, "above 0 and below 1"),
        ("damping", 1.0, "at least 0 and below 1"),
        ("tolerance", -1e-3, "at least 0"),
        ("image_range", 0, "above"),
        ("image_range", 1e300, "below"),
        ("gaussian_weight", 1e300, "infinite in float32"),
        ("bilateral_weight", (1.0, -1e40), "infinite in float32"),
        ("compatibility", ((0.0, 1e300), (1.0, 0.0)), "infinite in float32"),
        ("gaussian_sxy", 1e300, "or less"),
        ("bilateral_srgb", (1.0, 1e9), "or less"),
        ("tile", 8, "at least 16"),
        ("compatibility", ((1.0, 0.0),), "square table"),
        ("compatibility", ((1.0, 0.0), (0.0, math.inf)), "square table"),
        ("compatibility", (), "square table"),
        ("compatibility", 3.0, "square table"),
    ],
)
def test_what_a_parameter_cannot_be(name: str, value: Any, says: str) -> None:
    with pytest.raises(SettingError, match=f"{name}.*{says}") as caught:
        DenseCRF(**{name: value})
    assert "\n" not in str(caught.value)


def test_lists_and_arrays_become_tuples() -> None:
    crf = DenseCRF(bilateral_weight=[1.0, 2.0], compatibility=-np.eye(2), gaussian_weight=np.float32(3))  # type: ignore[arg-type]
    assert crf.bilateral_weight == (1.0, 2.0)
    assert crf.compatibility == ((-1.0, 0.0), (0.0, -1.0))
    assert crf == DenseCRF(bilateral_weight=(1.0, 2.0), compatibility=((-1.0, 0.0), (0.0, -1.0)), gaussian_weight=3.0)
    assert hash(crf)


def test_numbers_stay_numbers() -> None:
    assert frozen_numbers(3.0) == 3.0
    assert frozen_numbers([[1], (2,)]) == ((1,), (2,))


def test_weights_that_turn_a_kernel_off() -> None:
    assert is_zero(0) and is_zero((0.0, 0.0))
    assert not is_zero((0.0, 1.0)) and not is_zero(-1.0)


def test_the_widest_bandwidth() -> None:
    assert widest(3.0, (2.0, 67.0), None) == 67.0
    assert widest(None, None) == 0.0


@pytest.mark.parametrize("accuracy", ["fast", "fine", "exact"])
def test_the_largest_parameters_give_probabilities(accuracy: str) -> None:
    """What is allowed is enough: at the limits, and with no row sums divided out, every result is a probability."""
    generator = np.random.default_rng(0)
    image = generator.integers(0, 256, (3, 18, 20), dtype=np.uint8)
    probabilities = generator.dirichlet((1.0, 1.0), (18, 20)).transpose(2, 0, 1).astype(np.float32)
    table = ((-LARGEST_WEIGHT, 0.0), (0.0, -LARGEST_WEIGHT))
    weights = {"gaussian_weight": LARGEST_WEIGHT, "bilateral_weight": -LARGEST_WEIGHT, "compatibility": table}
    widths = {"bilateral_sxy": LARGEST_BANDWIDTH, "bilateral_srgb": LARGEST_BANDWIDTH}
    refined = DenseCRF(accuracy=accuracy, normalization="none", **weights, **widths)(image, probabilities=probabilities)  # type: ignore[arg-type]
    np.testing.assert_allclose(refined.sum(axis=0), 1, atol=1e-5)
