import pytest
import torch
import torch.nn.functional as F

from segfield.errors import DataError
from segfield.losses.pixels import label_log_probability, probabilities, targets, weighted_mean
from tests.losses.cases import IGNORED, batch


def test_log_probability_passes_gradcheck():
    logits, labels = batch(dtype=torch.float64)
    index, _ = targets(logits, labels, IGNORED)
    assert torch.autograd.gradcheck(lambda x: label_log_probability(x, index), logits)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_log_probability_is_float32_in_every_layout(dtype, layout):
    # 400 rows of 100 pixels and 9 classes: several strips of the walk.
    logits, labels = batch(classes=9, size=(2, 400, 100), dtype=dtype)
    logits = logits.detach().to(memory_format=layout).requires_grad_()
    index, _ = targets(logits, labels, IGNORED)
    picked = label_log_probability(logits, index)
    (picked**2).sum().backward()

    exact = logits.detach().double().requires_grad_()
    expected = F.log_softmax(exact, 1).gather(1, index[:, None])[:, 0]
    (expected**2).sum().backward()
    assert picked.dtype == torch.float32
    torch.testing.assert_close(picked.double(), expected, rtol=1e-5, atol=1e-5)
    assert logits.grad.dtype == dtype and logits.grad.is_contiguous(memory_format=layout)
    torch.testing.assert_close(logits.grad.double(), exact.grad, rtol=2 * torch.finfo(dtype).eps, atol=2e-4)


def test_huge_logits_stay_finite():
    logits = torch.tensor([1e4, -1e4, 0.0]).view(1, 3, 1, 1).requires_grad_()
    picked = label_log_probability(logits, torch.ones(1, 1, 1, dtype=torch.long))
    picked.sum().backward()
    assert picked.item() == -2e4 and torch.isfinite(logits.grad).all()


def test_backward_twice_gives_the_same_gradient():
    logits, labels = batch()
    index, _ = targets(logits, labels, IGNORED)
    total = label_log_probability(logits, index).sum()
    (first,) = torch.autograd.grad(total, logits, retain_graph=True)
    (second,) = torch.autograd.grad(total, logits)
    assert torch.equal(first, second)


def test_targets_keep_labels_and_mark_ignored():
    logits, labels = batch()
    index, valid = targets(logits, labels, IGNORED)
    assert index.dtype == torch.int64 and torch.equal(index[valid], labels[valid].long())
    assert (index[~valid] == 0).all() and torch.equal(valid, labels != IGNORED)


@pytest.mark.parametrize("wrong", [5, 254])
def test_a_label_that_is_no_class_is_named(wrong):
    logits, labels = batch()
    labels[0, 0, 0] = wrong
    with pytest.raises(DataError, match=rf"labels hold {wrong}.*classes 0 to 4"):
        targets(logits, labels, IGNORED)


def test_shapes_that_do_not_go_together():
    logits, labels = batch()
    with pytest.raises(DataError, match="do not go together"):
        targets(logits, labels[:, :-1], IGNORED)


def test_weighted_mean_by_hand():
    values = torch.tensor([[[1.0, 2.0, 4.0, 8.0]]])
    index = torch.tensor([[[0, 1, 1, 0]]])
    valid = torch.tensor([[[True, True, True, False]]])
    assert weighted_mean(values, index, valid).item() == pytest.approx(7 / 3)
    weighted = weighted_mean(values, index, valid, torch.tensor([3.0, 1.0]), torch.tensor([[[1.0, 1.0, 2.0, 5.0]]]))
    assert weighted.item() == pytest.approx((3 * 1 + 2 + 2 * 4) / 6)


def test_probabilities_sum_to_one():
    logits, _ = batch(dtype=torch.bfloat16)
    torch.testing.assert_close(probabilities(logits).sum(1), torch.ones(2, 7, 9))
