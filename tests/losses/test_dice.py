import numpy as np
import pytest
import torch

from segfield.losses import dice
from tests.losses.cases import IGNORED, batch, flat_probabilities


@pytest.mark.parametrize("absent", [(), (1,), (0, 3)])
def test_equals_the_formula_over_present_classes(absent):
    logits, labels = batch(size=(3, 8, 8))
    for c in absent:
        labels[labels == c] = 2
    p, t = flat_probabilities(logits, labels)
    scores = [2 * p[t == c, c].sum() / (p[:, c].sum() + (t == c).sum()) for c in np.unique(t)]
    assert len(scores) == 5 - len(absent)
    assert dice(logits, labels, IGNORED).item() == pytest.approx(1 - np.mean(scores), rel=1e-5)


def test_every_pixel_wrong_with_one_class_present_is_one():
    # segmentation-models-pytorch gives 0.20: absent classes add nothing and still divide.
    logits = torch.zeros(1, 5, 4, 4)
    logits[:, 3] = 100
    assert dice(logits, torch.zeros(1, 4, 4, dtype=torch.uint8), IGNORED).item() == pytest.approx(1)


def test_perfect_is_zero_though_classes_are_absent():
    logits = torch.zeros(1, 5, 4, 4)
    logits[:, 3] = 200
    assert dice(logits, torch.full((1, 4, 4), 3, dtype=torch.uint8), IGNORED).item() == 0


def test_sums_are_pooled_over_the_batch():
    logits, labels = batch(size=(2, 8, 8))
    side_by_side = torch.cat(list(logits), dim=2)[None], torch.cat(list(labels), dim=1)[None]
    torch.testing.assert_close(dice(logits, labels, IGNORED), dice(*side_by_side, IGNORED))


def test_agrees_with_monai_when_all_classes_are_present():
    losses = pytest.importorskip("monai.losses")
    logits, labels = batch(size=(2, 16, 16), ignored=0)
    pooled = losses.DiceLoss(to_onehot_y=True, softmax=True, batch=True, smooth_nr=0.0, smooth_dr=0.0)
    torch.testing.assert_close(dice(logits, labels, IGNORED), pooled(logits, labels[:, None].long()))


def test_a_million_pixels_keep_float32_precision():
    logits, labels = batch(classes=2, size=(1, 1000, 1000), ignored=0.1)
    p, t = flat_probabilities(logits, labels)
    scores = [2 * p[t == c, c].sum() / (p[:, c].sum() + (t == c).sum()) for c in (0, 1)]
    assert dice(logits, labels, IGNORED).item() == pytest.approx(1 - np.mean(scores), rel=2e-6)
