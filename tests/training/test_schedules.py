"""Schedules against torch's own and against closed forms."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, PolynomialLR, StepLR

from segfield.training.schedules import SCHEDULES, rate_factor

STEPS = 90


@pytest.mark.parametrize("warmup", [0, 10])
@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("poly", lambda o: PolynomialLR(o, STEPS, power=0.9)),
        ("cosine", lambda o: CosineAnnealingLR(o, STEPS)),
        ("step", lambda o: StepLR(o, STEPS // 3, gamma=0.1)),
    ],
)
def test_equal_to_torchs_schedulers_begun_where_the_warm_up_ends(name: str, make: object, warmup: int) -> None:
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = make(optimiser)  # type: ignore[operator]
    whole = warmup + STEPS
    for step in range(STEPS):
        factor = rate_factor(name, (warmup + step) / whole, warmup=warmup / whole, step_every=1 / 3)
        assert factor == pytest.approx(scheduler.get_last_lr()[0], abs=1e-9), step
        optimiser.step()
        scheduler.step()


@pytest.mark.parametrize("name", SCHEDULES)
def test_warm_up_rises_from_zero_and_the_rate_never_grows_after(name: str) -> None:
    factors = [rate_factor(name, i / 1000, warmup=0.1) for i in range(1001)]
    assert factors[0] == 0
    assert factors[50] == pytest.approx(0.5)
    assert max(factors) == pytest.approx(1, abs=0.011)
    assert all(a >= b - 1e-12 for a, b in itertools.pairwise(factors[101:]))
