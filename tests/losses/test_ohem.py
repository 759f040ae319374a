import numpy as np
import pytest
import torch

from segfield.errors import SettingError
from segfield.losses import cross_entropy, ohem_cross_entropy
from tests.losses.cases import IGNORED, batch, flat_probabilities


def each_loss(logits, labels):
    p, t = flat_probabilities(logits, labels)
    return -np.log(p[np.arange(len(t)), t])


def test_keeps_pixels_below_the_threshold():
    logits, labels = batch()
    losses = each_loss(logits, labels)
    expected = losses[np.exp(-losses) < 0.4].mean()
    value = ohem_cross_entropy(logits, labels, IGNORED, threshold=0.4, min_kept=0.0)
    assert value.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("share", [0.05, 0.5, 1.0])
def test_keeps_at_least_the_given_share(share):
    logits, labels = batch()
    losses = np.sort(each_loss(logits, labels))[::-1]
    expected = losses[: int(np.ceil(share * len(losses)))].mean()
    value = ohem_cross_entropy(logits, labels, IGNORED, threshold=1e-9, min_kept=share)
    assert value.item() == pytest.approx(expected, rel=1e-5)


def test_top_fraction_keeps_that_share_and_no_more():
    logits, labels = batch()
    losses = np.sort(each_loss(logits, labels))[::-1]
    value = ohem_cross_entropy(logits, labels, IGNORED, threshold=1.0, top_fraction=0.25)
    assert value.item() == pytest.approx(losses[: int(np.ceil(0.25 * len(losses)))].mean(), rel=1e-5)
    torch.testing.assert_close(
        ohem_cross_entropy(logits, labels, IGNORED, top_fraction=1.0), cross_entropy(logits, labels, IGNORED)
    )


def test_easy_pixels_get_no_gradient():
    logits, labels = batch(ignored=0)
    ohem_cross_entropy(logits, labels, IGNORED, top_fraction=0.25).backward()
    assert (logits.grad.abs().sum(1) > 0).sum() == np.ceil(0.25 * labels.numel())


def test_weights_count_only_after_the_choice():
    logits, labels = batch()
    weights = torch.tensor([0.2, 1.0, 3.0, 0.5, 9.6])
    p, t = flat_probabilities(logits, labels)
    losses = -np.log(p[np.arange(len(t)), t])
    kept = np.exp(-losses) < 0.7
    w = weights.double().numpy()[t][kept]
    value = ohem_cross_entropy(logits, labels, IGNORED, class_weights=weights)
    assert value.item() == pytest.approx((w * losses[kept]).sum() / w.sum(), rel=1e-5)


@pytest.mark.parametrize(
    "settings, named",
    [({"threshold": 0.0}, "threshold"), ({"min_kept": 2.0}, "min_kept"), ({"top_fraction": 0.0}, "top_fraction")],
)
def test_settings_out_of_range(settings, named):
    logits, labels = batch()
    with pytest.raises(SettingError, match=named):
        ohem_cross_entropy(logits, labels, IGNORED, **settings)
