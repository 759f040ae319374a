"""Costs against counts by hand, by hooks and by the papers; speed and memory against a clock and blocks of known size."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from segfield.inference import costs
from segfield.models import build_classifier
from segfield.models.classifier import Classifier
from segfield.models.unet import UNet
from tests.models.networks import TINY
from tests.models.test_every_classifier import one_a_family

MIB = 2**20


class Small(Classifier):
    """3 → 4 channels by 3×3 at half the size, a fixed and a grouped layer, and up again."""

    def __init__(self) -> None:
        super().__init__(3, 4)
        self.first = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.grouped = nn.Conv2d(4, 4, 3, padding=1, groups=2, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.up = nn.ConvTranspose2d(4, 4, 2, stride=2, bias=False).requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.up(self.norm(self.grouped(self.first(x))))


def test_parameters_are_those_that_are_trained() -> None:
    assert costs.trainable_parameters(Small()) == (3 * 4 * 9 + 4) + 4 * 2 * 9 + 2 * 4


def test_parameters_of_the_published_unet() -> None:
    with torch.device("meta"):
        assert costs.trainable_parameters(UNet(bands=1, classes=2)) == 31_030_658  # Ronneberger et al. 2015, counted


def test_multiply_adds_by_hand() -> None:
    classifier = Small()
    halved = 8 * 10
    expected = halved * (3 * 4 * 9) + halved * (4 * 2 * 9) + halved * (4 * 4 * 4)
    assert costs.multiply_adds(classifier, 16, 20) == expected
    assert costs.multiply_adds(classifier, 16 * 2**12, 20 * 2**12) == expected * 2**24  # no such image is ever made
    assert classifier.training and classifier.first.weight.device.type == "cpu"


@pytest.mark.parametrize("name", ["unet", "unet_padded", "deeplabv3plus:mobilenetv2_100"])
def test_multiply_adds_are_the_sum_over_the_convolutions(name: str) -> None:
    with torch.device("meta"):
        classifier = build_classifier(name, 3, 5, None, TINY.get(name, {})).eval()
    counted = []

    def count(module: nn.Module, given: tuple[torch.Tensor], output: torch.Tensor) -> None:
        positions = (
            given[0].numel() // given[0].shape[1] if isinstance(module, nn.ConvTranspose2d) else output[:, 0].numel()
        )
        counted.append(positions * module.weight.numel())

    hooks = [
        m.register_forward_hook(count) for m in classifier.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)
    ]
    with torch.no_grad():
        classifier(torch.zeros((1, 3, 96, 128), device="meta"))
    for hook in hooks:
        hook.remove()
    assert costs.multiply_adds(classifier, 96, 128) == sum(counted) > 0


@one_a_family
def test_every_classifier_can_be_counted(name: str) -> None:
    classifier = build_classifier(name, 3, 5, None, TINY[name])
    small, large = costs.multiply_adds(classifier, 64, 96), costs.multiply_adds(classifier, 128, 192)
    assert 0 < small < large


def test_predictions_are_timed_after_two_that_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, clock = [], iter(np.cumsum([0, 1, 10, 2, 20, 3]))
    monkeypatch.setattr(
        costs, "predict_image", lambda segmenter, image, refine: seen.append((int(image[0, 0, 0]), refine))
    )
    monkeypatch.setattr(costs.time, "perf_counter", lambda: float(next(clock)))
    images = [np.full((1, 2, 2), i) for i in range(3)]
    assert costs.prediction_seconds(None, images) == [1.0, 2.0, 3.0]  # type: ignore[arg-type]
    assert [number for number, _ in seen] == [0, 0, 0, 1, 2] and {how for _, how in seen} == {"auto"}


def test_a_slow_network_is_timed_on_few_images(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(np.arange(0.0, 4000.0, 50.0))
    monkeypatch.setattr(costs, "predict_image", lambda *_, **__: None)
    monkeypatch.setattr(costs.time, "perf_counter", lambda: float(next(clock)))
    assert len(costs.prediction_seconds(None, [np.zeros((1, 1, 1))] * 9)) == costs.LEAST_TIMED  # type: ignore[arg-type]


def test_training_rate_pools_the_stages() -> None:
    first = [{"step": 5.0, "seconds": 4.0}, {"step": 10.0, "seconds": 8.0}]
    second = [{"step": 20.0, "seconds": 12.0}]
    assert costs.training_rate([(first, 4), (second, 8)]) == (10 * 4 + 20 * 8) / 20
    assert costs.training_seconds([first, second, []]) == 20
    assert math.isnan(costs.training_rate([([], 4)]))


def test_memory_that_was_given_back_counts_and_memory_from_before_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """By marks of paper: what the kernel would say, whatever else this process holds."""
    marks = {"VmRSS": 100 * MIB, "VmHWM": 300 * MIB}
    monkeypatch.setattr(costs, "_resident", lambda entry: marks[entry])
    watch = costs.MemoryWatch("cpu")
    marks |= {"VmRSS": 108 * MIB, "VmHWM": 196 * MIB}
    assert watch.peak == 96 * MIB
    marks["VmHWM"] = 60 * MIB  # pages that were held before and given back
    assert watch.peak == 0


def test_marks_are_read_from_the_kernels_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "status").write_text("Name:\tpython\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\nRssAnon:\t 8 kB\n")
    monkeypatch.setattr(costs, "Path", lambda name: tmp_path / "status")
    assert (costs._resident("VmRSS"), costs._resident("VmHWM")) == (MIB, 2 * MIB)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_memory_on_a_gpu_is_that_of_its_tensors() -> None:
    watch = costs.MemoryWatch("cuda")
    held = torch.cuda.memory_allocated()
    block = torch.ones(64 * MIB, dtype=torch.uint8, device="cuda")
    del block
    assert watch.peak == held + 64 * MIB
