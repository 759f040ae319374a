"""Filters of a batch: each image's own, whichever form, with true transposes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from segfield.crf.filters.batch import batch_filter, batch_grid_gaussian
from segfield.crf.filters.exact import ExactFilter

SHAPE = (8, 11)


def batch(images: int, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    """Features (B, N, 3) and values (B, N, 4)."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(images, 88, 3, generator=generator, dtype=dtype)
    return features, torch.rand(images, 88, 4, generator=generator, dtype=dtype)


@pytest.mark.parametrize("images", [1, 5])
@pytest.mark.parametrize(("accuracy", "tolerance"), [("fast", 0.3), ("fine", 0.1), ("exact", 1e-3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_each_image_has_its_own_filter(images: int, accuracy: Any, tolerance: float, dtype: torch.dtype) -> None:
    features, values = batch(images, dtype)
    found = batch_filter(features, accuracy, 1e-6)(values)
    assert found.dtype == dtype and found.shape == values.shape
    for feature, value, result in zip(features, values, found):
        expected = ExactFilter(feature.numpy())(value.numpy())
        assert np.linalg.norm(result.numpy() - expected) < tolerance * np.linalg.norm(expected)


@pytest.mark.parametrize("accuracy", ["fast", "fine", "exact"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_transpose_is_true(accuracy: Any, dtype: torch.dtype) -> None:
    features, values = batch(3, dtype)
    other = torch.rand(values.shape, generator=torch.Generator().manual_seed(1), dtype=dtype)
    kernel = batch_filter(features, accuracy, 1e-6)
    forward, backward = (kernel(values) * other).sum(), (values * kernel.transposed(other)).sum()
    assert float(forward) == pytest.approx(float(backward), rel=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_gaussian_of_position(dtype: torch.dtype) -> None:
    values = torch.rand(3, 88, 4, dtype=dtype)
    found = batch_grid_gaussian(SHAPE, (1.5, 2.5), values)(values)
    alone = batch_grid_gaussian(SHAPE, (1.5, 2.5), values[:1].double())(values[:1].double())
    np.testing.assert_allclose(found[:1], alone, rtol=2e-3)
