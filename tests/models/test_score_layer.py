"""The layer of class scores: a 1×1 convolution's numbers, and a process that outlives its training."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from segfield.models.score_layer import ScoreLayer

TRAINING = """
import torch
from segfield.models.score_layer import ScoreLayer
torch.set_num_threads(2)
layer = ScoreLayer(4096, 2).to(memory_format=torch.channels_last)
x = torch.randn(1, 4096, 8, 12).contiguous(memory_format=torch.channels_last).requires_grad_()
small = []
for _ in range(8):
    with torch.autocast("cpu", torch.bfloat16):
        scores = layer(x)
    scores.float().square().mean().backward()
    small = [*small, *(torch.randn(n) for n in range(1, 200))][::2]  # neighbours on the heap, taken and given back
"""


def test_it_is_a_1x1_convolution() -> None:
    layer, plain = ScoreLayer(6, 3).double(), torch.nn.Conv2d(6, 3, 1).double()
    plain.load_state_dict(layer.state_dict())
    x = torch.randn(2, 6, 5, 4, dtype=torch.float64)
    weights = torch.randn(2, 3, 5, 4, dtype=torch.float64)
    torch.testing.assert_close(layer(x), plain(x))
    for network in (layer, plain):
        (network(x) * weights).sum().backward()
    for own, other in zip(layer.parameters(), plain.parameters()):
        torch.testing.assert_close(own.grad, other.grad)


@pytest.mark.thorough
def test_training_from_4096_channels_to_few_classes_leaves_the_heap_whole() -> None:
    """In a process of its own: where it fails, the process is aborted."""
    done = subprocess.run([sys.executable, "-c", TRAINING], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
