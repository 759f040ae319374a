"""The running average against its definition."""

from __future__ import annotations

import torch
from torch import nn

from segfield.training.ema import RunningAverage


def test_follows_its_definition_step_by_step() -> None:
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    average = RunningAverage(network, decay=0.9)
    expected = {key: value.double().clone() for key, value in network.state_dict().items()}
    for step in range(200):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(torch.randn(parameter.shape))
        network(torch.randn(4, 3))
        average.update(network, step)
        decay = min(0.9, (1 + step) / (10 + step))
        for key, value in network.state_dict().items():
            if value.dtype.is_floating_point:
                expected[key] = decay * expected[key] + (1 - decay) * value.double()
            else:
                expected[key] = value.double()
            # at every step: after many, how the average began is forgotten
            torch.testing.assert_close(average.average[key].double(), expected[key], atol=1e-4, rtol=1e-4)
    assert average.average["1.num_batches_tracked"] == 200


def test_load_takes_over_values() -> None:
    network = nn.Linear(2, 2)
    first, second = RunningAverage(network, 0.9), RunningAverage(nn.Linear(2, 2), 0.9)
    second.load(first.average)
    assert all(torch.equal(second.average[key], first.average[key]) for key in first.average)
