import numpy as np
import pytest
import torch
import torch.nn.functional as F

from segfield.errors import SettingError
from segfield.losses import cross_entropy
from tests.losses.cases import IGNORED, batch, flat_probabilities


def test_is_the_mean_over_valid_pixels():
    logits, labels = batch()
    p, t = flat_probabilities(logits, labels)
    expected = -np.log(p[np.arange(len(t)), t]).mean()
    assert cross_entropy(logits, labels, IGNORED).item() == pytest.approx(expected, rel=1e-6)


def test_half_the_pixels_ignored_does_not_halve_it():
    # segmentation-models-pytorch's SoftCrossEntropyLoss does: 2.013 became 1.007.
    logits, labels = batch(ignored=0)
    doubled = torch.cat([labels, torch.full_like(labels, IGNORED)])
    value = cross_entropy(torch.cat([logits, logits]), doubled, IGNORED).item()
    assert value == pytest.approx(F.cross_entropy(logits, labels.long()).item(), rel=1e-6)


# Not both at once: torch weighs the smoothed part by every class, here a pixel has the one weight of its label.
@pytest.mark.parametrize(
    "weights, smoothing", [(None, 0.0), (torch.tensor([0.2, 1.0, 3.0, 0.0, 9.6]), 0.0), (None, 0.1)]
)
def test_value_and_gradient_equal_torch(weights, smoothing):
    logits, labels = batch()
    value = cross_entropy(logits, labels, IGNORED, class_weights=weights, label_smoothing=smoothing)
    (gradient,) = torch.autograd.grad(value, logits)
    expected = F.cross_entropy(logits, labels.long(), weights, ignore_index=IGNORED, label_smoothing=smoothing)
    (expected_gradient,) = torch.autograd.grad(expected, logits)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(gradient, expected_gradient)


def test_pixel_weights_are_a_weighted_mean():
    logits, labels = batch()
    weights = torch.rand(labels.shape)
    each = F.cross_entropy(logits, labels.long(), ignore_index=IGNORED, reduction="none")
    expected = (each * weights).sum() / weights[labels != IGNORED].sum()
    value = cross_entropy(logits, labels, IGNORED, pixel_weights=weights)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(cross_entropy(logits, labels, IGNORED, pixel_weights=5 * weights), expected)
    assert cross_entropy(logits, labels, IGNORED, pixel_weights=torch.zeros(labels.shape)).item() == 0


def test_smoothing_passes_gradcheck():
    logits, labels = batch(classes=3, size=(1, 3, 4), dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: cross_entropy(x, labels, IGNORED, label_smoothing=0.2), logits)


def test_smoothing_out_of_range():
    logits, labels = batch()
    with pytest.raises(SettingError, match=r"label_smoothing is 1\.5"):
        cross_entropy(logits, labels, IGNORED, label_smoothing=1.5)
