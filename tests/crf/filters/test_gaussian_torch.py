"""The Gaussian of position as matrix products: equal to the sum over all pairs, any batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from segfield.crf.features import position_features
from segfield.crf.filters.exact import ExactFilter
from segfield.crf.filters.gaussian_torch import TorchGridGaussian
from segfield.errors import DataError, SettingError

SHAPE = (9, 13)


@pytest.mark.parametrize("sxy", [1.5, (4.0, 0.7)])
def test_it_is_the_sum_over_all_pairs(sxy: float | tuple[float, float]) -> None:
    values = np.random.default_rng(0).normal(size=(2, 117, 3))
    found = TorchGridGaussian(SHAPE, sxy, torch.device("cpu"), torch.float64)(torch.from_numpy(values))
    exact = ExactFilter(position_features(SHAPE, sxy))
    for image, result in zip(values, found):
        np.testing.assert_allclose(result, exact(image), atol=1e-5)


def test_it_is_its_own_transpose() -> None:
    kernel = TorchGridGaussian(SHAPE, (2.0, 3.0), torch.device("cpu"), torch.float64)
    one, other = torch.randn(2, 117, 1, dtype=torch.float64)
    assert float((kernel(one) * other).sum()) == pytest.approx(float((one * kernel.transposed(other)).sum()))


def test_bad_input_is_refused() -> None:
    with pytest.raises(SettingError, match="above 0"):
        TorchGridGaussian(SHAPE, 0.0, torch.device("cpu"), torch.float32)
    with pytest.raises(DataError, match="117, C"):
        TorchGridGaussian(SHAPE, 1.0, torch.device("cpu"), torch.float32)(torch.ones(5, 2))
