"""Losses: pure functions of (logits, labels, ignored id), one file each; `build_loss` combines them by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor

from segfield.classes import ClassTable
from segfield.errors import SettingError, did_you_mean
from segfield.losses.cross_entropy import cross_entropy
from segfield.losses.dice import dice
from segfield.losses.focal import focal
from segfield.losses.lovasz import lovasz
from segfield.losses.ohem import ohem_cross_entropy

LOSSES: dict[str, Callable[..., Tensor]] = {
    "cross_entropy": cross_entropy,
    "dice": dice,
    "focal": focal,
    "lovasz": lovasz,
    "ohem_cross_entropy": ohem_cross_entropy,
}

# What every loss is given by CombinedLoss; whatever else stands in its signature is an option of the recipe.
_GIVEN = ("logits", "labels", "ignored_id", "class_weights", "pixel_weights")


@dataclass(frozen=True)
class CombinedLoss:
    """Several losses of the same logits, each with its factor; made by `build_loss`.

    Attributes:
        terms: name → (factor, loss with its options bound).
        ignored_id: the label that does not count.
        class_weights: (K,) for the terms that take them (dice and lovasz balance classes by themselves), or None.
    """

    terms: Mapping[str, tuple[float, Callable[..., Tensor]]]
    ignored_id: int
    class_weights: Tensor | None = None

    def __call__(self, logits: Tensor, labels: Tensor, pixel_weights: Tensor | None = None) -> dict[str, Tensor]:
        """Each term times its factor, by name; their sum is what a step minimises.

        Args:
            logits: (B, K, H, W), any float dtype, any memory layout.
            labels: (B, H, W), integers.
            pixel_weights: (B, H, W) for the terms that take them, or None.
        """
        labels = labels.long()
        class_weights = None if self.class_weights is None else self.class_weights.to(logits.device)
        values = {}
        for name, (factor, loss) in self.terms.items():
            takes_weights = "class_weights" in inspect.signature(loss).parameters
            weights = {"class_weights": class_weights, "pixel_weights": pixel_weights} if takes_weights else {}
            value = loss(logits, labels, self.ignored_id, **weights)
            values[name] = value if factor == 1 else factor * value
        return values


def build_loss(
    terms: str | Mapping[str, float | Mapping[str, Any]],
    classes: ClassTable | int,
    class_weights: Tensor | None = None,
) -> CombinedLoss:
    """The loss a recipe names.

    Args:
        terms: 'cross_entropy', 'cross_entropy+dice', '0.5*lovasz+cross_entropy', or a mapping from name to factor or to
            options with an optional `factor`: `{"cross_entropy": 1.0, "focal": {"factor": 0.5, "gamma": 3.0}}`.
        classes: the class table, or the ignored id alone.
        class_weights: (K,), see `class_weights.class_weights`.

    Raises:
        SettingError: if a name, option or factor is unknown or the form is not understood.
    """
    ignored_id = classes if isinstance(classes, int) else classes.ignored_id
    if class_weights is not None and isinstance(classes, ClassTable) and class_weights.shape != (len(classes),):
        raise SettingError(f"{class_weights.numel()} class weights for {len(classes)} classes; give one weight a class")
    given = _parse(terms) if isinstance(terms, str) else terms
    if not given:
        raise SettingError("the loss has no terms; name one or more, e.g. cross_entropy+dice")
    return CombinedLoss({name: _term(name, value) for name, value in given.items()}, ignored_id, class_weights)


def _parse(terms: str) -> dict[str, float]:
    """'0.5*lovasz+cross_entropy' → {'lovasz': 0.5, 'cross_entropy': 1.0}."""
    parsed: dict[str, float] = {}
    for part in terms.split("+"):
        factor, _, name = part.rpartition("*")
        name = name.strip()
        try:
            value = float(factor) if factor else 1.0
        except ValueError:
            raise SettingError(
                f"'{part.strip()}' in the loss '{terms}' is not understood; write e.g. 0.5*{name}"
            ) from None
        if name in parsed:
            raise SettingError(f"{name} stands twice in the loss '{terms}'; name it once, e.g. 2*{name}")
        parsed[name] = value
    return parsed


def _term(name: str, value: float | Mapping[str, Any]) -> tuple[float, Callable[..., Tensor]]:
    if name not in LOSSES:
        raise SettingError(f"there is no loss '{name}'; {did_you_mean(name, LOSSES)}")
    options = dict(value) if isinstance(value, Mapping) else {"factor": value}
    factor = options.pop("factor", 1.0)
    if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 <= factor < float("inf"):
        raise SettingError(f"the factor of {name} is {factor!r}; give a number, 0 or more, e.g. 0.5")
    known = [option for option in inspect.signature(LOSSES[name]).parameters if option not in _GIVEN]
    for option in options:
        if option not in known:
            raise SettingError(f"{name} has no option '{option}'; {did_you_mean(option, [*known, 'factor'])}")
    return float(factor), partial(LOSSES[name], **options) if options else LOSSES[name]
