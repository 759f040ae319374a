import itertools

import numpy as np
import pytest
import torch

from segfield.losses import lovasz
from segfield.losses.lovasz import error_slopes, jaccard_steps
from segfield.losses.lovasz_cpu import fill_slopes
from tests.losses.cases import IGNORED, batch, flat_probabilities


def jaccard_loss(mistakes, truth):
    """1 − IoU of the class when exactly `mistakes` are wrong: |M| / |truth ∪ M|."""
    return mistakes.sum() / (truth | mistakes).sum()


def lovasz_by_definition(errors, truth):
    """The Lovász extension by its definition: Σ m_sorted · (Δ(first i) − Δ(first i − 1)), each Δ counted anew."""
    order = np.argsort(-errors, kind="stable")
    total, before, chosen = 0.0, 0.0, np.zeros(len(errors), dtype=bool)
    for i in order:
        chosen[i] = True
        now = jaccard_loss(chosen, truth)
        total += errors[i] * (now - before)
        before = now
    return total


@pytest.mark.parametrize("absent", [(), (1,), (0, 3)])
def test_equals_the_definition(absent):
    logits, labels = batch()
    for c in absent:
        labels[labels == c] = 2
    p, t = flat_probabilities(logits, labels)
    values = [lovasz_by_definition(np.abs((t == c) - p[:, c]), t == c) for c in np.unique(t)]
    assert lovasz(logits, labels, IGNORED).item() == pytest.approx(np.mean(values), rel=1e-5)
    assert lovasz(logits.double(), labels, IGNORED).item() == pytest.approx(np.mean(values), rel=1e-12)


def test_hard_predictions_give_one_minus_mean_iou():
    _, labels = batch(classes=4, ignored=0.2)
    predicted = torch.randint(0, 4, labels.shape, generator=torch.Generator().manual_seed(3))
    logits = 200.0 * torch.nn.functional.one_hot(predicted, 4).permute(0, 3, 1, 2)
    known = labels != IGNORED
    t, y = labels[known].numpy(), predicted[known].numpy()
    ious = [((t == c) & (y == c)).sum() / ((t == c) | (y == c)).sum() for c in range(4)]
    assert lovasz(logits, labels, IGNORED).item() == pytest.approx(1 - np.mean(ious), rel=1e-5)


def test_is_the_largest_convex_bound():
    """The extension is the maximum over all orders of the same sum (Edmonds' greedy algorithm)."""
    errors, truth = np.array([0.7, 0.2, 0.9, 0.4]), np.array([True, False, False, True])
    sums = []
    for order in itertools.permutations(range(4)):
        steps, chosen, before = 0.0, np.zeros(4, dtype=bool), 0.0
        for i in order:
            chosen[i] = True
            steps += errors[i] * (jaccard_loss(chosen, truth) - before)
            before = jaccard_loss(chosen, truth)
        sums.append(steps)
    probability = torch.tensor(np.where(truth, 1 - errors, errors))
    slopes = error_slopes(probability, torch.tensor(truth).long(), 1)
    value = (slopes * (probability - torch.tensor(truth).double())).sum()
    assert value.item() == pytest.approx(max(sums))


def test_equals_segmentation_models_pytorch_where_that_is_right():
    smp = pytest.importorskip("segmentation_models_pytorch")
    logits, labels = batch(size=(2, 30, 40))
    theirs = smp.losses.LovaszLoss(mode="multiclass", per_image=False, ignore_index=IGNORED, from_logits=True)
    torch.testing.assert_close(lovasz(logits, labels, IGNORED), theirs(logits, labels.long()), rtol=1e-4, atol=1e-5)


def test_steps_sum_to_one_and_are_not_negative():
    foreground = torch.rand(1_000_000, generator=torch.Generator().manual_seed(0)) < 0.01
    steps = jaccard_steps(foreground)
    assert (steps >= 0).all() and steps.sum().item() == pytest.approx(1)
    assert jaccard_steps(torch.tensor([True])).tolist() == [1.0]


@pytest.mark.parametrize("quantised", [False, True])
def test_compiled_form_equals_the_torch_form(quantised):
    logits, labels = batch(classes=4, size=(3, 20, 30))
    scores = torch.softmax(logits.detach(), 1)
    # Many equal errors: ties must break by position in both forms.
    scores = (scores * 4).round() / 4 if quantised else scores
    known = torch.where(labels == IGNORED, -1, labels.long())
    slopes = torch.zeros_like(scores)
    for c in range(4):
        fill_slopes(scores.numpy(), known.numpy(), slopes.numpy(), c)
        torch.testing.assert_close(slopes[:, c], error_slopes(scores[:, c], known, c), rtol=1e-6, atol=0)
