"""Mean field with gradients over any filters: torch's own check in float64, features included, and few maps kept."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from segfield.crf.filters.batch import batch_filter
from segfield.crf.mean_field_gradient import BatchKernel, Messages, unrolled_mean_field

BATCH, PIXELS, CLASSES = 2, 12, 3


def given(sets: int) -> tuple[Tensor, ...]:
    """Scores, two tables, features of four dimensions; float64, all wanting gradients."""
    generator = torch.Generator().manual_seed(0)
    shapes = ((BATCH, PIXELS, CLASSES), (sets, CLASSES, CLASSES), (sets, CLASSES, CLASSES), (BATCH, PIXELS, 4))
    return tuple((0.5 * torch.randn(s, generator=generator, dtype=torch.float64)).requires_grad_() for s in shapes)


def run(scores: Tensor, one: Tensor, two: Tensor, features: Tensor, kind: Any, iterations: int) -> Tensor:
    near = features[..., :2] * 2
    kernels = [BatchKernel(batch_filter(f, "exact", 0.0), kind, scores) for f in (features, near)]
    terms = [Messages(kernels[0], one, features), Messages(kernels[1], two, near)]
    return unrolled_mean_field(scores, terms, iterations)


@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize(
    ("kind", "iterations"),
    [("none", 2), ("before", 2), ("after", 2), ("symmetric", 2), pytest.param("after", 7, marks=pytest.mark.thorough)],
)
def test_gradients_to_everything(kind: Any, separate: bool, iterations: int) -> None:
    inputs = given(iterations if separate else 1)
    assert torch.autograd.gradcheck(lambda *values: run(*values, kind, iterations), inputs)  # type: ignore[arg-type]


def test_it_is_plain_mean_field() -> None:
    scores, one, _, features = (value.detach() for value in given(1))
    kernel = batch_filter(features, "exact", 0.0)
    sums = kernel(torch.ones(BATCH, PIXELS, 1, dtype=torch.float64))
    expected = scores
    for _ in range(3):
        expected = scores - (kernel(expected.softmax(-1)) / sums) @ one[0].T
    found = unrolled_mean_field(scores, [Messages(BatchKernel(kernel, "after", scores), one)], 3)
    torch.testing.assert_close(found, expected)


def test_without_iterations_the_scores_come_back() -> None:
    scores, one, two, features = given(1)
    found = run(scores, one, two, features, "after", 0)
    found.sum().backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(found, scores)
    assert scores.grad is not None and bool((scores.grad == 1).all())
