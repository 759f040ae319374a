"""Losses of an adversary: against torch's own, and by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from segfield.errors import SettingError
from segfield.losses.adversarial import adversary_loss, border, deceiving_loss, trust

TRUE, PREDICTED = torch.tensor([[2.0, -1.0], [0.5, 0.0]]), torch.tensor([[-3.0, 1.0], [0.2, -0.4]])


def test_cross_entropy_is_torchs() -> None:
    logits = torch.stack([TRUE, PREDICTED])
    labels = torch.stack([torch.ones(2, 2), torch.zeros(2, 2)])
    expected = 2 * F.binary_cross_entropy_with_logits(logits, labels)
    torch.testing.assert_close(adversary_loss(TRUE, PREDICTED), expected)
    torch.testing.assert_close(
        deceiving_loss(PREDICTED), F.binary_cross_entropy_with_logits(PREDICTED, torch.ones(2, 2))
    )


def test_hinge_and_least_squares_by_hand() -> None:
    assert float(adversary_loss(TRUE, PREDICTED, "hinge")) == pytest.approx(
        (0 + 2 + 0.5 + 1) / 4 + (0 + 2 + 1.2 + 0.6) / 4
    )
    assert float(deceiving_loss(PREDICTED, "hinge")) == pytest.approx(2.2 / 4)
    expected = 0.5 * (1 + 4 + 0.25 + 1) / 4 + 0.5 * (9 + 1 + 0.04 + 0.16) / 4
    assert float(adversary_loss(TRUE, PREDICTED, "least_squares")) == pytest.approx(expected)
    assert float(deceiving_loss(PREDICTED, "least_squares")) == pytest.approx(0.5 * (16 + 0 + 0.64 + 1.96) / 4)


@pytest.mark.parametrize("kind", ["cross_entropy", "hinge", "least_squares"])
def test_who_deceives_moves_towards_true(kind: str) -> None:
    logits = PREDICTED.clone().requires_grad_()
    deceiving_loss(logits, kind).backward()  # type: ignore[arg-type]
    assert (logits.grad[PREDICTED < 0.5] < 0).all()  # type: ignore[index]
    at_border = torch.tensor([border(kind)])  # type: ignore[arg-type]
    assert float(trust(at_border, kind)) == 0.5  # type: ignore[arg-type]


def test_an_unknown_kind() -> None:
    with pytest.raises(SettingError, match="hinge"):
        adversary_loss(TRUE, PREDICTED, "hing")  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="hinge"):
        deceiving_loss(PREDICTED, "hing")  # type: ignore[arg-type]
