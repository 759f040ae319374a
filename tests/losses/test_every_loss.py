"""What holds for all of LOSSES: dtypes, ignored pixels, gradients, invariances."""

import pytest
import torch

from segfield.losses import LOSSES
from tests.losses.cases import IGNORED, batch

everyone = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())


@everyone
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_all_ignored_is_zero_with_a_graph(loss, dtype):
    logits, labels = batch(dtype=dtype)
    value = loss(logits, torch.full_like(labels, IGNORED), IGNORED)
    value.backward()
    assert value.shape == () and value.item() == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


@everyone
def test_gradcheck(loss):
    logits, labels = batch(classes=3, size=(2, 3, 4), dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: loss(x, labels, IGNORED), logits)


@everyone
def test_ignored_pixels_neither_count_nor_get_gradient(loss):
    logits, labels = batch()
    value = loss(logits, labels, IGNORED)
    value.backward()
    ignored = (labels == IGNORED)[:, None].expand_as(logits)
    assert not logits.grad[ignored].any() and logits.grad[~ignored].any()
    changed = torch.where(ignored, logits.detach() + 7 * torch.randn_like(logits), logits.detach())
    assert loss(changed, labels, IGNORED).item() == pytest.approx(value.item(), rel=1e-6)


@everyone
def test_ignored_id_may_be_any_number(loss):
    logits, labels = batch()
    signed = labels.to(torch.int32)
    signed[labels == IGNORED] = -1
    assert loss(logits, signed, -1).item() == loss(logits, labels, IGNORED).item()


@everyone
def test_order_of_pixels_and_of_classes_does_not_matter(loss):
    logits, labels = batch()
    value = loss(logits, labels, IGNORED).item()
    order = torch.randperm(63, generator=torch.Generator().manual_seed(1))
    pixels = logits.detach().flatten(2)[..., order].view_as(logits)
    assert loss(pixels, labels.flatten(1)[:, order].view_as(labels), IGNORED).item() == pytest.approx(value, rel=1e-5)
    classes = torch.tensor([3, 0, 4, 1, 2])
    renamed = torch.full_like(labels, IGNORED)
    for new, old in enumerate(classes.tolist()):
        renamed[labels == old] = new
    assert loss(logits.detach()[:, classes], renamed, IGNORED).item() == pytest.approx(value, rel=1e-5)


@everyone
def test_adding_a_constant_to_the_logits_of_a_pixel_changes_nothing(loss):
    logits, labels = batch()
    shifted = logits.detach() + torch.randn(2, 1, 7, 9)
    assert loss(shifted, labels, IGNORED).item() == pytest.approx(loss(logits, labels, IGNORED).item(), rel=1e-5)


@everyone
def test_right_is_near_zero_and_wrong_is_not(loss):
    _, labels = batch(ignored=0)
    right = 50.0 * torch.nn.functional.one_hot(labels.long(), 5).permute(0, 3, 1, 2)
    assert loss(right, labels, IGNORED).item() == pytest.approx(0, abs=1e-6)
    assert loss(right.roll(1, dims=1), labels, IGNORED).item() > 0.9


@everyone
def test_gradient_descent_lowers_it(loss):
    logits, labels = batch()
    before = loss(logits, labels, IGNORED)
    before.backward()
    after = loss(logits.detach() - 0.5 * logits.grad / logits.grad.norm(), labels, IGNORED)
    assert after.item() < before.item()


@everyone
def test_low_precision_and_channels_last_agree_with_float32(loss):
    logits, labels = batch(classes=11, size=(2, 40, 30), dtype=torch.bfloat16)
    value = loss(logits.float(), labels, IGNORED).item()
    turned = logits.detach().to(memory_format=torch.channels_last)
    low = loss(turned, labels, IGNORED)
    assert low.dtype == torch.float32 and low.item() == pytest.approx(value, rel=1e-5)


@everyone
@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_gpu_agrees_with_cpu(loss):
    logits, labels = batch(classes=11, size=(2, 40, 30))
    value = loss(logits, labels, IGNORED)
    value.backward()
    moved = logits.detach().cuda().requires_grad_()
    there = loss(moved, labels.cuda(), IGNORED)
    there.backward()
    assert there.item() == pytest.approx(value.item(), rel=1e-4)
    torch.testing.assert_close(moved.grad.cpu(), logits.grad, rtol=1e-3, atol=1e-6)
