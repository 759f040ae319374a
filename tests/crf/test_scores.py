"""Scores: exactly one kind, of the image's size, and back in the library they came from."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from segfield.crf.arrays import as_array, as_float32, dtype_name, is_tensor, like
from segfield.crf.scores import Scores, back_to, check_scores, energies, given_scores, on_one_device
from segfield.errors import DataError, SettingError

from .exact_mean_field import softmax

LOGITS = np.random.default_rng(0).standard_normal((3, 4, 5)).astype(np.float32)


def test_exactly_one_is_given() -> None:
    assert given_scores(None, None, LOGITS) == ("unary", LOGITS)
    with pytest.raises(SettingError, match="given none of them"):
        given_scores(None, None, None)
    with pytest.raises(SettingError, match="given logits and probabilities"):
        given_scores(LOGITS, LOGITS, None)


@pytest.mark.parametrize(
    "scores",
    [Scores("logits", LOGITS), Scores("probabilities", softmax(LOGITS)), Scores("unary", 7 - LOGITS)],
    ids=lambda scores: scores.kind,
)
def test_energies_hold_the_same_probabilities(scores: Scores) -> None:
    check_scores(scores, (3, 4, 5))
    found = energies(scores)
    assert found.dtype == np.float32
    np.testing.assert_allclose(softmax(-found), softmax(LOGITS), atol=1e-6)


def test_another_size() -> None:
    with pytest.raises(DataError, match=r"4 × 5 pixels.*8 × 10.*resize"):
        check_scores(Scores("logits", LOGITS), (3, 8, 10))


def test_an_image_with_its_bands_last() -> None:
    with pytest.raises(DataError, match=r"transpose\(2, 0, 1\)"):
        check_scores(Scores("logits", LOGITS), (4, 5, 3))


def test_an_infinite_unary() -> None:
    with pytest.raises(DataError, match=r"unary.*NaN or infinite"):
        check_scores(Scores("unary", np.full((2, 1, 1), np.inf)), (1, 1, 1))


def test_tensors_on_the_cpu_become_arrays_and_come_back() -> None:
    logits = torch.from_numpy(LOGITS).requires_grad_()
    image, values = on_one_device(torch.zeros(1, 4, 5, dtype=torch.uint8), logits)
    assert isinstance(image, np.ndarray) and isinstance(values, np.ndarray)
    back = back_to(logits, values)
    assert is_tensor(back) and not back.requires_grad
    np.testing.assert_array_equal(as_array(torch.from_numpy(LOGITS).bfloat16()), as_array(logits.bfloat16()))


def test_scores_elsewhere_take_the_image_along() -> None:
    image, values = on_one_device(np.zeros((1, 4, 5), np.uint8), torch.empty(3, 4, 5, device="meta"))
    assert image.device.type == values.device.type == "meta"


def test_arrays_of_either_library() -> None:
    tensor = torch.zeros(2, dtype=torch.float64)
    assert dtype_name(tensor) == dtype_name(np.zeros(2)) == "float64"
    assert as_float32(tensor).dtype == torch.float32 and as_float32(np.zeros(2)).dtype == np.float32
    assert is_tensor(like(np.ones(2), tensor)) and not is_tensor(like(tensor, np.ones(2)))
