"""Losses of an adversary and of the network that it judges, on logits above 0 for what looks true."""

from __future__ import annotations

from typing import Literal, get_args

import torch.nn.functional as F
from torch import Tensor

from segfield.errors import SettingError, did_you_mean

AdversarialLoss = Literal["cross_entropy", "hinge", "least_squares"]


def adversary_loss(true: Tensor, predicted: Tensor, kind: AdversarialLoss = "cross_entropy") -> Tensor:
    """What the adversary minimises: the mean over true decisions plus the mean over predicted ones.

    * 'cross_entropy': bce(a, 1) + bce(a, 0) (Goodfellow et al. 2014; Luc et al. 2016, equation 2).
    * 'hinge': max(0, 1 − a) + max(0, 1 + a) (Lim and Ye 2017; Miyato et al. 2018).
    * 'least_squares': ½ (a − 1)² + ½ a² (Mao et al. 2017, with a = 0, b = c = 1): the border lies at ½.

    Args:
        true, predicted: logits of decisions, of any shape.
        kind: of the loss.

    Returns:
        a number.

    Raises:
        SettingError: if the kind is unknown.
    """
    _check(kind)
    true, predicted = true.float(), predicted.float()
    if kind == "cross_entropy":
        return F.softplus(-true).mean() + F.softplus(predicted).mean()
    if kind == "hinge":
        return F.relu(1 - true).mean() + F.relu(1 + predicted).mean()
    return 0.5 * ((true - 1) ** 2).mean() + 0.5 * (predicted**2).mean()


def deceiving_loss(predicted: Tensor, kind: AdversarialLoss = "cross_entropy") -> Tensor:
    """What the judged network minimises beside its own losses, in the form whose gradient does not vanish.

    bce(a, 1) in place of −bce(a, 0) (Luc et al. 2016, section 3.1); −a for 'hinge'; ½ (a − 1)² for 'least_squares'.

    Raises:
        SettingError: if the kind is unknown.
    """
    _check(kind)
    predicted = predicted.float()
    if kind == "cross_entropy":
        return F.softplus(-predicted).mean()
    if kind == "hinge":
        return -predicted.mean()
    return 0.5 * ((predicted - 1) ** 2).mean()


def border(kind: AdversarialLoss) -> float:
    """The decision from which on a place counts as true."""
    return 0.5 if kind == "least_squares" else 0.0


def trust(decisions: Tensor, kind: AdversarialLoss) -> Tensor:
    """Decisions → how sure the adversary is, 0..1, that a place is true; ½ at the border."""
    decisions = decisions.float()
    if kind == "least_squares":
        return decisions.clamp(0, 1)
    return decisions.sigmoid()


def _check(kind: str) -> None:
    if kind not in get_args(AdversarialLoss):
        raise SettingError(
            f"there is no adversarial loss '{kind}'; {did_you_mean(kind, list(get_args(AdversarialLoss)))}"
        )
