"""What an adversary is shown: Basic, Product and Scaling by their formulas; nothing where nothing is known."""

from __future__ import annotations

import pytest
import torch

from segfield.data.value_range import ValueRange
from segfield.training.adversarial_config import AdversarialConfig
from segfield.training.adversary_input import AdversaryInput

VALUES = ValueRange("uint8", 255.0)


def made(**settings: object) -> AdversaryInput:
    return AdversaryInput(AdversarialConfig(stride=1, **settings), 3, 255, VALUES)  # type: ignore[arg-type]


@pytest.fixture
def case() -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (2, 3, 4, 6) and labels with void."""
    torch.manual_seed(0)
    labels = torch.randint(0, 3, (2, 4, 6), dtype=torch.uint8)
    labels[0, 1, 2:4] = 255
    return torch.randn(2, 3, 4, 6), labels


def test_basic(case: tuple[torch.Tensor, torch.Tensor]) -> None:
    logits, labels = case
    shown = made()
    predicted = shown.predicted(logits, labels != 255)
    true = shown.true(labels, predicted, (4, 6))
    for b, y, x in ((0, 0, 0), (1, 3, 5)):
        torch.testing.assert_close(predicted[b, :, y, x], logits[b, :, y, x].softmax(0))
        assert true[b, :, y, x].tolist() == [float(labels[b, y, x] == k) for k in range(3)]
    assert not predicted[0, :, 1, 2:4].any() and not true[0, :, 1, 2:4].any()
    assert shown(true, None) is true


def test_product_is_every_map_times_every_band(case: tuple[torch.Tensor, torch.Tensor]) -> None:
    logits, labels = case
    shown, image = made(input="product"), torch.rand(2, 3, 4, 6) * 255
    predicted = shown.predicted(logits, labels != 255)
    product = shown(predicted, shown.image(image, predicted.shape[2:]))
    assert product.shape == (2, 9, 4, 6)
    for k in range(3):
        for band in range(3):
            torch.testing.assert_close(product[:, 3 * k + band], predicted[:, k] * image[:, band] / 255)


def test_scaling_keeps_sums_and_the_least_share_of_the_truth(case: tuple[torch.Tensor, torch.Tensor]) -> None:
    logits, labels = case
    shown = made(input="scaling", tau=0.6)
    predicted = shown.predicted(logits, labels != 255)
    true = shown.true(labels, predicted, (4, 6))
    for b, y, x in ((0, 0, 0), (0, 2, 3), (1, 1, 4)):
        s, label = logits[b, :, y, x].softmax(0), int(labels[b, y, x])
        kept = max(0.6, float(s[label]))
        expected = [kept if k == label else float(s[k]) * (1 - kept) / (1 - float(s[label])) for k in range(3)]
        assert true[b, :, y, x].tolist() == pytest.approx(expected, abs=1e-5)
    assert not true[0, :, 1, 2:4].any()
    torch.testing.assert_close(true.sum(1)[labels != 255], torch.ones(int((labels != 255).sum())))


def test_grids() -> None:
    """Every fourth pixel, also where the scores' own grid is finer or as coarse."""
    shown = AdversaryInput(AdversarialConfig(stride=4), 3, 255, VALUES)
    labels = torch.arange(13 * 18).reshape(1, 13, 18) % 3
    for step in (1, 2, 4):
        grid = (-(-13 // step), -(-18 // step))
        predicted = shown.predicted(torch.zeros(1, 3, *grid), torch.ones(1, 13, 18, dtype=torch.bool))
        true = shown.true(labels, predicted, grid)
        assert true.shape == predicted.shape == (1, 3, 4, 5)
        assert torch.equal(true.argmax(1)[0], labels[0, ::4, ::4])
    image = torch.rand(1, 2, 13, 18)
    small = shown.image(image, torch.Size((4, 5)))
    assert small.shape == (1, 2, 4, 5)
    torch.testing.assert_close(small[0, 0, 1, 2] * 255, image[0, 0, 4:8, 8:12].mean())
