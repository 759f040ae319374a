"""What processes decide alike: one reads its own clock and signals; several agree now and then, at the same steps."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from segfield.training import agreement
from segfield.training.agreement import Agreement
from segfield.training.interrupt import StopSignals


class _World:
    """The fabric of one process of two, whose other process says what the test says."""

    device = torch.device("cpu")

    def __init__(self, size: int) -> None:
        self.world_size, self.asked, self.gathered = size, False, 0

    def all_gather(self, told: torch.Tensor) -> torch.Tensor:
        self.gathered += 1
        return torch.stack([told, torch.tensor([float(self.asked), 9e9], dtype=torch.float64)])


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that the test moves."""
    now = SimpleNamespace(time=100.0)
    monkeypatch.setattr(agreement.time, "monotonic", lambda: now.time)
    return now


def test_one_process_asks_nobody(clock: SimpleNamespace) -> None:
    fabric: Any = _World(1)
    agreed, signals = Agreement(fabric, seconds=7.0, step=3), StopSignals()
    clock.time += 2.5
    agreed.after_step(4, signals)
    assert (agreed.seconds, agreed.stop, fabric.gathered) == (9.5, False, 0)
    signals.asked = True
    agreed.after_step(5, signals)
    assert agreed.stop


def test_several_agree_twice_a_second(clock: SimpleNamespace) -> None:
    """On the first one's clock, however quick steps are; a stop that any was asked for is all's."""
    fabric: Any = _World(2)
    agreed, signals = Agreement(fabric, seconds=0.0, step=0), StopSignals()
    for step in range(1, 1001):
        clock.time += 0.01
        agreed.after_step(step, signals)
    assert 15 <= fabric.gathered <= 30  # ten seconds, and the first few steps
    assert agreed.seconds == pytest.approx(10.0, abs=0.5) and not agreed.stop
    fabric.asked = True
    for step in range(1001, 1100):
        clock.time += 0.01
        agreed.after_step(step, signals)
    assert agreed.stop
