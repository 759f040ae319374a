"""Gallery pictures: what each pixel shows, sizes, and data URIs that decode."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from segfield.classes import ClassTable
from segfield.errors import DataError
from segfield.evaluation.pictures import LONGEST_SIDE, VOID, error_picture, pictures
from tests.evaluation.label_maps import patches

CLASSES = ClassTable(("sky", "road", "car", "tree"), ((70, 130, 180), (128, 64, 128), (0, 0, 142), (107, 142, 35)))


def decoded(uri):
    kind, data = uri.split(",", 1)
    assert kind in ("data:image/png;base64", "data:image/jpeg;base64")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


def test_label_pictures_hold_exactly_the_classes_colours():
    truth, predicted = patches()
    image = np.random.default_rng(0).integers(0, 256, (3, *truth.shape), dtype=np.uint8)
    shown = pictures(image, truth, predicted, CLASSES)
    colours = CLASSES.colour_array()
    np.testing.assert_array_equal(decoded(shown.truth), colours[truth])
    np.testing.assert_array_equal(decoded(shown.prediction), colours[predicted])
    np.testing.assert_allclose(decoded(shown.image).mean(), image.mean(), atol=3)


def test_errors_are_red_right_is_grey_and_void_is_slate():
    truth, predicted = patches(seed=2)
    rgb = np.random.default_rng(1).integers(0, 256, (*truth.shape, 3), dtype=np.uint8)
    shown = error_picture(rgb, truth, predicted, 255).astype(int)
    void, wrong = truth == 255, (truth != predicted) & (truth != 255)
    assert (shown[void] == VOID).all()
    assert (shown[wrong][:, 0] > shown[wrong][:, 1] + 80).all() and wrong.any()
    assert (np.ptp(shown[~void & ~wrong], axis=1) == 0).all()


@pytest.mark.parametrize(
    ("size", "expected"), [((1000, 2000), (280, 560)), ((30, 40), (30, 40)), ((3, 4000), (1, 560))]
)
def test_big_images_are_shrunk_and_labels_stay_ids(size, expected):
    truth = np.zeros(size, np.uint8)
    truth[:, size[1] // 2 :] = 2
    shown = pictures(np.zeros((1, *size), np.uint16), truth, truth, CLASSES)
    found = decoded(shown.truth)
    assert found.shape[:2] == expected and max(expected) <= LONGEST_SIDE
    assert {tuple(colour) for colour in found.reshape(-1, 3)} == {CLASSES.colours[0], CLASSES.colours[2]}


def test_sizes_that_differ_are_an_error():
    truth, predicted = patches()
    with pytest.raises(DataError, match="differ in size"):
        pictures(np.zeros((3, 5, 5), np.uint8), truth, predicted, CLASSES)
