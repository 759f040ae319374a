"""The brute-force sum in torch against the NumPy one, and its gradients against finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from segfield.crf.filters import exact_torch
from segfield.crf.filters.exact import ExactFilter
from segfield.crf.filters.exact_torch import ExactTorchFilter
from segfield.errors import DataError
from tests.crf.filters.photos import clusters, probabilities


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact_torch, "CHUNK_PAIRS", 40)


@pytest.mark.parametrize(("kind", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.usefixtures("small_chunks")
def test_equals_the_numpy_form(kind: torch.dtype, tolerance: float) -> None:
    features, values = clusters(70, 5), probabilities(70, 3)
    sums = ExactTorchFilter(torch.from_numpy(features).to(kind))(torch.from_numpy(values).to(kind))
    assert sums.dtype == kind
    np.testing.assert_allclose(sums.numpy(), ExactFilter(features)(values), rtol=tolerance)


@pytest.mark.usefixtures("small_chunks")
def test_gradients_to_values_and_features_are_exact() -> None:
    features = torch.from_numpy(0.3 * clusters(9, 3)).double().requires_grad_()
    values = torch.from_numpy(probabilities(9, 2)).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda f, v: ExactTorchFilter(f)(v), (features, values))


def test_memory_stays_a_few_chunks_in_the_backward_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact_torch, "CHUNK_PAIRS", 500)
    features = torch.from_numpy(clusters(100, 2)).double().requires_grad_()
    kept: list[int] = []

    def count(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        ExactTorchFilter(features)(torch.ones(100, 1, dtype=torch.float64))
    assert sum(kept) < 100 * 100


def test_the_transpose_is_the_filter_itself() -> None:
    filter_ = ExactTorchFilter(torch.from_numpy(clusters(30, 4)))
    values = torch.from_numpy(probabilities(30, 2))
    assert torch.equal(filter_.transposed(values), filter_(values))


@pytest.mark.parametrize("features", [torch.zeros(4), torch.zeros(3, 2, dtype=torch.int64), torch.zeros(0, 2)])
def test_features_of_another_kind_are_refused(features: torch.Tensor) -> None:
    with pytest.raises(DataError, match=r"give floating numbers \(N, D\)"):
        ExactTorchFilter(features)


def test_infinite_features_are_refused() -> None:
    with pytest.raises(DataError, match="NaN or infinite"):
        ExactTorchFilter(torch.tensor([[0.0], [torch.inf]]))


def test_values_of_other_pixels_are_refused() -> None:
    with pytest.raises(DataError, match=r"give \(5, C\)"):
        ExactTorchFilter(torch.zeros(5, 2))(torch.zeros(6, 2))
