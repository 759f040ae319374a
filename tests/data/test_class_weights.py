"""Class weights against the formulas, and against the weights SegNet published for CamVid."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from segfield.data.class_weights import enet_weights, median_frequency_weights


def test_median_frequency_by_hand() -> None:
    pixels = np.array([800, 150, 50])
    image_pixels = np.array([1000, 1000, 500])  # the last class is in half of the images
    np.testing.assert_allclose(median_frequency_weights(pixels, image_pixels), [0.15 / 0.8, 1.0, 0.15 / 0.1])


def test_absent_class_weighs_nothing_and_moves_no_median() -> None:
    pixels, images = np.array([800, 0, 150, 50]), np.array([1000, 0, 1000, 500])
    with np.errstate(all="raise"):
        weights = median_frequency_weights(pixels, images)
        enet = enet_weights(pixels)
    np.testing.assert_allclose(weights, [0.15 / 0.8, 0, 1.0, 1.5])
    assert enet[1] == 0
    np.testing.assert_array_equal(median_frequency_weights(np.zeros(2, int), np.zeros(2, int)), [0, 0])


def test_enet_by_hand() -> None:
    np.testing.assert_allclose(enet_weights(np.array([75, 25])), [1 / math.log(1.77), 1 / math.log(1.27)])
    assert enet_weights(np.array([1, 10**9]))[0] == pytest.approx(50.5, abs=0.1)  # the paper's upper end


@pytest.mark.shared
def test_camvid_against_the_published_segnet_weights(shared_data: Path) -> None:
    """Equal within 9% up to one common factor (the median; SegNet counted void as a class in it).

    SignSymbol and Bicyclist are left out: their published weights (9.6446, 7.3614) do not follow from these masks.
    """
    from segfield.data.check import check_dataset
    from segfield.data.formats import open_dataset

    published = np.array([0.2595, 0.1826, 4.5640, 0.1417, 0.9051, 0.3826, 9.6446, 1.8418, 0.6823, 6.2478, 7.3614])
    ours = check_dataset(open_dataset(f"camvid:{shared_data / 'camvid' / 'CamVid'}")).weights["median_frequency"]
    ratio = np.delete(ours / published, [6, 10])
    np.testing.assert_allclose(ratio / np.median(ratio), 1.0, atol=0.09)
