"""Unaries: the formulas, and a sentence for everything that no classifier can have put out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from segfield.crf.unary import unary_from_labels, unary_from_logits, unary_from_probabilities
from segfield.errors import DataError, SettingError

LOGITS = np.random.default_rng(0).normal(0, 2, (5, 6, 7)).astype(np.float32)
PROBABILITIES = np.exp(LOGITS) / np.exp(LOGITS).sum(0)


def test_logits_become_minus_log_softmax() -> None:
    expected = -torch.log_softmax(torch.from_numpy(LOGITS).double(), 0).numpy()
    found = unary_from_logits(LOGITS)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_large_logits_do_not_overflow() -> None:
    found = unary_from_logits(np.array([[[1e4]], [[-1e4]]]))
    np.testing.assert_allclose(found.ravel(), [0, 2e4])


def test_probabilities_become_minus_log() -> None:
    np.testing.assert_allclose(unary_from_probabilities(PROBABILITIES), -np.log(PROBABILITIES), atol=1e-5)


def test_certain_probabilities_are_clipped() -> None:
    found = unary_from_probabilities(np.array([1.0, 0.0]).reshape(2, 1, 1), clip=1e-3)
    np.testing.assert_allclose(found.ravel(), [0, -math.log(1e-3)], rtol=1e-6)


@pytest.mark.parametrize("clip", [0, 1, -1e-5])
def test_a_clip_out_of_range(clip: float) -> None:
    with pytest.raises(SettingError, match="clip is"):
        unary_from_probabilities(PROBABILITIES, clip=clip)


def test_tensors_stay_tensors() -> None:
    logits = torch.from_numpy(LOGITS)
    assert isinstance(unary_from_logits(logits), torch.Tensor)
    np.testing.assert_allclose(unary_from_logits(logits), unary_from_logits(LOGITS), atol=1e-6)
    np.testing.assert_allclose(
        unary_from_probabilities(logits.softmax(0)), unary_from_probabilities(PROBABILITIES), atol=1e-4
    )


@pytest.mark.parametrize("wrap", [np.asarray, torch.as_tensor], ids=["numpy", "torch"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_logits_that_are_not_numbers(bad: float, wrap: object) -> None:
    logits = LOGITS.copy()
    logits[2, 3, 4] = logits[1, 3, 4] = logits[0, 5, 6] = bad
    with pytest.raises(DataError, match=r"2 of 42 pixels.*class 0, row 5, column 6"):
        unary_from_logits(wrap(logits))  # type: ignore[operator]


def test_probabilities_that_do_not_sum_to_one() -> None:
    wrong = PROBABILITIES.copy()
    wrong[:, 0, :3] *= 1.5
    wrong[:, 1, 1] = 0
    with pytest.raises(DataError, match=r"4 of 42 pixels \(worst sum 0\)"):
        unary_from_probabilities(wrong)


def test_half_precision_probabilities_pass() -> None:
    unary_from_probabilities(PROBABILITIES.astype(np.float16))


def test_one_foreground_map_is_told_what_it_lacks() -> None:
    with pytest.raises(DataError, match=r"stack \(1 − p, p\)"):
        unary_from_probabilities(np.full((1, 2, 2), 0.3))


def test_negative_probabilities() -> None:
    wrong = PROBABILITIES.copy()
    wrong[3, 2, 1] = -0.25
    with pytest.raises(DataError, match=r"down to -0\.25 \(class 3, row 2, column 1\).*logits="):
        unary_from_probabilities(wrong)


@pytest.mark.parametrize("shape", [(5, 6), (1, 5, 6, 7), (0, 6, 7), (5, 0, 7)])
def test_other_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"expected \(K, H, W\)"):
        unary_from_logits(np.zeros(shape))


def test_labels_with_confidence() -> None:
    found = unary_from_labels(np.array([[0, 2], [9, 1]]), 3, confidence=0.7, unknown_id=9)
    assert found.shape == (3, 2, 2) and found.dtype == np.float32
    probabilities = np.exp(-found)
    np.testing.assert_allclose(probabilities[:, 0, 0], [0.7, 0.15, 0.15], rtol=1e-6)
    np.testing.assert_allclose(probabilities[:, 0, 1], [0.15, 0.15, 0.7], rtol=1e-6)
    np.testing.assert_allclose(probabilities[:, 1, 0], [1 / 3] * 3, rtol=1e-6)


def test_a_confidence_for_each_class() -> None:
    probabilities = np.exp(-unary_from_labels(np.array([[0, 1]], np.uint8), 2, confidence=[0.6, 0.9]))
    np.testing.assert_allclose(probabilities[:, 0], [[0.6, 0.1], [0.4, 0.9]], rtol=1e-6)


def test_one_class_and_many() -> None:
    np.testing.assert_array_equal(unary_from_labels(np.zeros((2, 3), int), 1), np.zeros((1, 2, 3)))
    many = np.exp(-unary_from_labels(torch.arange(255, dtype=torch.uint8)[None], 255))
    np.testing.assert_allclose(many.sum(0), 1, rtol=1e-5)
    assert (many.argmax(0) == np.arange(255)).all()


def test_an_id_that_is_no_class() -> None:
    with pytest.raises(DataError, match=r"id 255 at 2 pixels.*0 to 2.*unknown_id=255"):
        unary_from_labels(np.array([[0, 255, 255]]), 3)


@pytest.mark.parametrize("labels", [np.zeros((2, 2)), np.zeros((1, 2, 2), int)])
def test_labels_that_are_none(labels: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"expected integer class ids \(H, W\)"):
        unary_from_labels(labels, 2)


@pytest.mark.parametrize("confidence", [0, 1, 1.2, math.nan, [0.5, 1.0]])
def test_a_confidence_out_of_range(confidence: float) -> None:
    with pytest.raises(SettingError, match="between 0 and 1"):
        unary_from_labels(np.zeros((1, 1), int), 2, confidence)


def test_confidences_of_another_number_and_no_class() -> None:
    with pytest.raises(SettingError, match="3 values for 2 classes"):
        unary_from_labels(np.zeros((1, 1), int), 2, [0.5, 0.5, 0.5])
    with pytest.raises(SettingError, match="at least one"):
        unary_from_labels(np.zeros((1, 1), int), 0)
