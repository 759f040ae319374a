"""DenseCRF against mean field with every pair summed, in all the ways it can be called."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
import torch

from segfield.crf.dense_crf import DenseCRF
from segfield.crf.refiner import Refiner, build_refiner
from segfield.errors import DataError, SettingError

from .exact_mean_field import exact_mean_field, scene, softmax

IMAGE, LABELS, LOGITS = scene(3)
NEAR: dict[str, Any] = {"bilateral_sxy": 12.0, "bilateral_srgb": 12.0, "gaussian_sxy": 2.0, "iterations": 5}
# Weak kernels leave probabilities between 0 and 1, where differences show.
WEAK: dict[str, Any] = NEAR | {"bilateral_weight": 0.5, "bilateral_srgb": 40.0, "gaussian_weight": 0.5}
MATRIX = ((-1.0, 0.5, 0.0), (0.5, -1.0, 0.2), (0.0, 0.2, -2.0))


def wrong(found: Any) -> float:
    return float((np.asarray(found).argmax(0) != LABELS).mean())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"normalization": "after"},
        {"bilateral_weight": (0.2, 0.5, 1.5), "gaussian_weight": (0.0, 0.6, 0.2)},
        {"compatibility": MATRIX},
        {"bilateral_sxy": None},
        {"gaussian_sxy": None},
        {"gaussian_weight": 0.0},
        {"bilateral_srgb": (10.0, 40.0, 80.0)},
    ],
    ids=str,
)
@pytest.mark.parametrize(("accuracy", "mean_error"), [("fast", 0.004), ("fine", 0.002), ("exact", 1e-6)])
def test_against_the_exact_sum(changes: dict[str, Any], accuracy: Any, mean_error: float) -> None:
    settings = WEAK | changes
    found = DenseCRF(accuracy=accuracy, epsilon=1e-5, **settings)(IMAGE, LOGITS)
    image, widths = IMAGE, settings["bilateral_srgb"]
    if isinstance(widths, tuple):
        image, settings = IMAGE / np.array(widths)[:, None, None], settings | {"bilateral_srgb": 1.0}
    settings = {key: value for key, value in settings.items() if key != "compatibility"}
    matrix = np.array(MATRIX) if "compatibility" in changes else None
    expected = exact_mean_field(image, -LOGITS, matrix, **settings)
    assert found.shape == LOGITS.shape and found.dtype == np.float32
    assert abs(found - expected).mean() < mean_error
    assert (found.argmax(0) != expected.argmax(0)).mean() < 0.01


def test_it_cleans_labels_up() -> None:
    assert wrong(LOGITS) > 0.2
    assert wrong(DenseCRF(**NEAR)(IMAGE, LOGITS)) < 0.05


def test_scores_of_every_kind_give_the_same() -> None:
    crf = DenseCRF(**NEAR)
    expected = crf(IMAGE, LOGITS)
    np.testing.assert_allclose(crf(IMAGE, probabilities=softmax(LOGITS)), expected, atol=1e-3)
    np.testing.assert_allclose(crf(IMAGE, unary=3 - LOGITS), expected, atol=1e-3)
    np.testing.assert_array_equal(crf.refine(IMAGE, softmax(LOGITS)), crf(IMAGE, probabilities=softmax(LOGITS)))


def test_weights_of_zero_leave_the_softmax() -> None:
    for crf in (
        DenseCRF(bilateral_weight=0.0, gaussian_weight=0.0),
        DenseCRF(iterations=0),
    ):
        np.testing.assert_allclose(crf(IMAGE, LOGITS), softmax(LOGITS), atol=1e-5)


def test_depths_of_the_same_image_give_the_same() -> None:
    crf = DenseCRF(**NEAR)
    expected = crf(IMAGE, LOGITS)
    for image in (IMAGE.astype(np.uint16) * 257, IMAGE / 255, IMAGE.astype(np.float64)):
        np.testing.assert_allclose(crf(image, LOGITS), expected, atol=2e-3)
    dark = dataclasses.replace(crf, image_range=1023.0)(IMAGE * (1023 / 255), LOGITS)
    np.testing.assert_allclose(dark, expected, atol=2e-3)


@pytest.mark.parametrize("bands", [1, 4, 7])
def test_any_number_of_bands(bands: int) -> None:
    image = np.concatenate([IMAGE] * 3)[:bands]
    found = DenseCRF(**NEAR)(image, LOGITS)
    expected = exact_mean_field(image, -LOGITS, **NEAR)
    assert (found.argmax(0) != expected.argmax(0)).mean() < 0.05


def test_tensors_give_tensors() -> None:
    crf = DenseCRF(**NEAR)
    logits = torch.from_numpy(LOGITS).requires_grad_()
    found = crf(torch.from_numpy(IMAGE), logits)
    assert isinstance(found, torch.Tensor) and not found.requires_grad
    np.testing.assert_array_equal(found, crf(IMAGE, LOGITS))
    np.testing.assert_array_equal(crf(IMAGE, logits.detach()), crf(IMAGE, LOGITS))


@pytest.mark.parametrize("count", [1, 5])
def test_a_batch_is_its_images(count: int) -> None:
    crf = DenseCRF(**NEAR)
    scenes = [scene(3, seed=seed) for seed in range(count)]
    images, logits = np.stack([image for image, _, _ in scenes]), np.stack([scores for _, _, scores in scenes])
    found = crf(images, logits)
    assert found.shape == logits.shape
    for index, (image, _, scores) in enumerate(scenes):
        np.testing.assert_allclose(found[index], crf(image, scores), atol=1e-5)


@pytest.mark.parametrize("accuracy", ["fast", "exact"])
def test_a_bandwidth_for_each_axis(accuracy: Any) -> None:
    """The image turned over its diagonal, with x and y exchanged, gives the same."""
    crf = DenseCRF(accuracy=accuracy, **WEAK | {"bilateral_sxy": (4.0, 12.0), "gaussian_sxy": (0.5, 3.0)})
    squeezed = dataclasses.replace(crf, bilateral_sxy=(12.0, 4.0), gaussian_sxy=(3.0, 0.5))
    turned = squeezed(IMAGE.transpose(0, 2, 1), LOGITS.transpose(0, 2, 1)).transpose(0, 2, 1)
    assert abs(crf(IMAGE, LOGITS) - turned).mean() < 0.004
    assert abs(crf(IMAGE, LOGITS) - squeezed(IMAGE, LOGITS)).mean() > 0.008


def test_a_batch_that_does_not_fit() -> None:
    with pytest.raises(DataError, match=r"\(B, C, H, W\) with as many"):
        DenseCRF()(IMAGE, LOGITS[None])
    with pytest.raises(DataError, match=r"\(B, C, H, W\) with as many"):
        DenseCRF()(np.stack([IMAGE] * 3), np.stack([LOGITS] * 2))


def test_bad_values_in_one_image_of_a_batch() -> None:
    logits = np.stack([LOGITS] * 4)
    logits[2, 0, 0, 0] = np.nan
    with pytest.raises(DataError, match="NaN or infinite at 1 of"):
        DenseCRF(**NEAR)(np.stack([IMAGE] * 4), logits)


def test_prepared_filters_serve_many_weights() -> None:
    crf = DenseCRF(**NEAR)
    prepared = crf.prepare(IMAGE, threads=1)
    np.testing.assert_allclose(prepared.run(-LOGITS), crf(IMAGE, LOGITS), atol=1e-5)
    for changes in ({"bilateral_weight": 9.0}, {"gaussian_weight": (0.0, 1.0, 2.0)}, {"iterations": 2, "damping": 0.3}):
        expected = dataclasses.replace(crf, **changes)(IMAGE, LOGITS)  # type: ignore[arg-type]
        np.testing.assert_allclose(prepared.run(-LOGITS, **changes), expected, atol=1e-4)  # type: ignore[arg-type]
    tensor = prepared.run(torch.from_numpy(-LOGITS), compatibility=MATRIX)
    expected = dataclasses.replace(crf, compatibility=MATRIX)(IMAGE, LOGITS)
    np.testing.assert_allclose(tensor, expected, atol=1e-4)


def test_prepared_filters_and_what_does_not_fit_them() -> None:
    prepared = DenseCRF(**NEAR).prepare(IMAGE)
    with pytest.raises(DataError, match="but the image 30 × 40"):
        prepared.run(-LOGITS[:, 1:])
    with pytest.raises(SettingError, match=r"2 values.*3 classes"):
        prepared.run(-LOGITS, bilateral_weight=(1.0, 2.0))
    np.testing.assert_array_equal(prepared.run(-LOGITS[:1]), np.ones((1, 30, 40)))


def test_a_tolerance_stops_early_near_the_same() -> None:
    crf = DenseCRF(**NEAR | {"iterations": 200})
    np.testing.assert_allclose(dataclasses.replace(crf, tolerance=1e-4)(IMAGE, LOGITS), crf(IMAGE, LOGITS), atol=0.02)


@pytest.mark.parametrize("accuracy", ["fast", "exact"])
def test_one_pixel_one_class_and_255(accuracy: Any) -> None:
    crf = DenseCRF(accuracy=accuracy)
    one_pixel = crf(np.zeros((3, 1, 1), np.uint8), np.array([1.0, 0.0]).reshape(2, 1, 1))
    assert 0.5 < one_pixel[0, 0, 0] <= 1 and one_pixel.sum() == pytest.approx(1)
    np.testing.assert_array_equal(crf(IMAGE, LOGITS[:1]), np.ones((1, 30, 40)))
    many = np.random.default_rng(0).standard_normal((255, 9, 8)).astype(np.float32)
    found = crf(IMAGE[:, :9, :8], many)
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-4)


def test_a_line_of_pixels() -> None:
    for image, logits in ((IMAGE[:, :1], LOGITS[:, :1]), (IMAGE[:, :, :1], LOGITS[:, :, :1])):
        expected = exact_mean_field(image, -logits, **NEAR)
        assert abs(DenseCRF(**NEAR)(image, logits) - expected).mean() < 0.05


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"bilateral_weight": (1.0, 2.0)}, "bilateral_weight has 2 values.*3 classes"),
        ({"compatibility": ((1.0,),)}, "compatibility has 1 rows.*3 classes"),
        ({"bilateral_srgb": (3.0, 3.0)}, "bilateral_srgb has 2 values.*3 bands"),
    ],
    ids=str,
)
def test_parameters_that_do_not_fit_the_classes_or_bands(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingError, match=says):
        DenseCRF(**changes)(IMAGE, LOGITS)


def test_it_is_a_refiner_that_files_can_hold() -> None:
    crf = DenseCRF.preset("deeplab_largefov", bilateral_weight=(1.0, 2.0), compatibility=((-1.0, 0.0), (0.0, -1.0)))
    document = json.loads(json.dumps(crf.as_dict()))
    assert document["name"] == "dense_crf"
    assert DenseCRF.from_dict(document) == crf == build_refiner(document)
    assert isinstance(crf, Refiner)


def test_an_unknown_parameter() -> None:
    with pytest.raises(SettingError, match=r"'bilateral_rgb'.*mean bilateral_srgb"):
        DenseCRF.from_dict({"name": "dense_crf", "bilateral_rgb": 3})


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize(("accuracy", "mean_error"), [("fast", 0.004), ("fine", 0.002), ("exact", 1e-3)])
def test_on_a_gpu(accuracy: Any, mean_error: float) -> None:
    crf = DenseCRF(accuracy=accuracy, epsilon=1e-5, **WEAK)
    logits = torch.from_numpy(np.stack([LOGITS] * 2)).cuda()
    found = crf(torch.from_numpy(np.stack([IMAGE] * 2)), logits)
    assert found.device == logits.device
    expected = exact_mean_field(IMAGE, -LOGITS, **WEAK)
    for one in found.cpu().numpy():
        assert abs(one - expected).mean() < mean_error
