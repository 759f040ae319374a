"""NumPy arrays and torch tensors are told apart, converted and handed back alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from segfield.crf.arrays import as_array, as_float32, dtype_name, is_tensor, like, namespace


def test_tensors_are_told_from_arrays() -> None:
    assert is_tensor(torch.zeros(2)) and not is_tensor(np.zeros(2)) and not is_tensor([1.0])
    assert namespace(torch.zeros(2)) is torch and namespace(np.zeros(2)) is np


@pytest.mark.parametrize("values", [np.arange(3), torch.arange(3)], ids=["numpy", "torch"])
def test_float32_in_the_same_library(values) -> None:
    found = as_float32(values)
    assert type(found) is type(values)
    assert dtype_name(found) == "float32" and dtype_name(values) == "int64"
    assert found.tolist() == [0, 1, 2]
    assert as_float32(found) is found  # no copy


def test_tensors_become_arrays_that_share_their_memory() -> None:
    tensor = torch.ones(3, requires_grad=True)
    array = as_array(tensor)
    array[0] = 5
    assert tensor.tolist() == [5, 1, 1]
    half = as_array(torch.tensor([1.5], dtype=torch.bfloat16))  # NumPy has no such type
    assert half.dtype == np.float32 and half[0] == 1.5


def test_values_follow_a_reference() -> None:
    assert is_tensor(like(np.ones(2, np.float64), torch.zeros(1)))
    found = like(torch.ones(2, dtype=torch.float64), np.zeros(1))
    assert isinstance(found, np.ndarray) and found.dtype == np.float32
