import numpy as np
import pytest
import torch

from segfield.errors import SettingError
from segfield.losses import cross_entropy, focal
from tests.losses.cases import IGNORED, batch, flat_probabilities


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
def test_equals_the_formula(gamma):
    logits, labels = batch()
    p, t = flat_probabilities(logits, labels)
    p = p[np.arange(len(t)), t]
    expected = (-((1 - p) ** gamma) * np.log(p)).mean()
    assert focal(logits, labels, IGNORED, gamma=gamma).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("weights", [None, torch.tensor([0.2, 1.0, 3.0, 0.5, 9.6])])
def test_gamma_zero_is_cross_entropy(weights):
    # segmentation-models-pytorch gives 0.850 for a cross-entropy of 2.115, kornia a fifth of it at five classes.
    logits, labels = batch()
    value = focal(logits, labels, IGNORED, class_weights=weights, gamma=0.0)
    torch.testing.assert_close(value, cross_entropy(logits, labels, IGNORED, class_weights=weights))


def test_equals_monai_without_ignored_pixels():
    losses = pytest.importorskip("monai.losses")
    logits, labels = batch(ignored=0)
    one_vs_all = losses.FocalLoss(to_onehot_y=True, use_softmax=True, gamma=2.0, reduction="none")
    expected = one_vs_all(logits, labels[:, None].long()).sum(1).mean()
    torch.testing.assert_close(focal(logits, labels, IGNORED, gamma=2.0), expected)


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 2.0])
def test_gradient_is_finite_where_the_network_is_sure(gamma):
    logits = torch.tensor([[100.0, -100.0]]).view(1, 2, 1, 1).requires_grad_()
    focal(logits, torch.zeros(1, 1, 1, dtype=torch.uint8), IGNORED, gamma=gamma).backward()
    assert torch.isfinite(logits.grad).all()


def test_negative_gamma():
    logits, labels = batch()
    with pytest.raises(SettingError, match="gamma is -1"):
        focal(logits, labels, IGNORED, gamma=-1)
