"""AdversarialConfig: how an adversary teaches. Free of torch, for the command line reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from segfield.errors import SettingError, did_you_mean


@dataclass(frozen=True)
class AdversarialConfig:
    """How the adversary of a training is built, fed and trained. Shares are of the run."""

    weight: float = 0.1
    """Lambda: weight of the adversary's loss beside the network's own losses."""
    rise: float = 0.0
    """Share in which the weight rises from zero, counted from where both sides begin to learn."""
    input: Literal["basic", "product", "scaling"] = "basic"
    """What is judged: class maps; each class map times each band of the image; or class maps with softened true ones."""
    tau: float = 0.9
    """Of scaling: the least probability of the true class in a softened true map."""
    stride: int = 8
    """The adversary sees every so many-th pixel of the image, or the network's own grid where that is coarser."""
    loss: Literal["cross_entropy", "hinge", "least_squares"] = "cross_entropy"
    """cross_entropy (the paper's), hinge or least_squares."""
    decision: Literal["place", "average"] = "place"
    """A decision at each place, or one an image: the average over its places."""
    normalise: bool = False
    """Spectral norm on each of the adversary's convolutions."""
    turns: int = 1
    """Steps in which one side learns before it is the other's turn (500 in the paper's slow form); 1: both in every step."""
    network_first: float = 0.0
    """Share in which the network learns alone, before all else."""
    adversary_first: float = 0.0
    """Share in which the adversary learns alone, after that."""
    optimiser: Literal["adamw", "sgd"] = "adamw"
    """The adversary's own: adamw or sgd."""
    rate: float = 1e-4
    """The adversary's highest learning rate; it follows the schedule of the run."""
    momentum: float = 0.9
    """The adversary's momentum: of sgd, and adamw's first beta."""
    weight_decay: float = 0.0
    """The adversary's weight decay."""

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise SettingError(f"adversarial.{name} is {value:g}; it must lie between {low:g} and {high:g}")
        for name, words in _CHOICES.items():
            if getattr(self, name) not in words:
                raise SettingError(
                    f"adversarial.{name} is '{getattr(self, name)}'; {did_you_mean(str(getattr(self, name)), words)}"
                )
        if self.stride & (self.stride - 1):
            raise SettingError(f"adversarial.stride is {self.stride}; give a power of two, e.g. 4")
        if self.network_first + self.adversary_first >= 1:
            raise SettingError(
                f"adversarial.network_first {self.network_first:g} and adversary_first {self.adversary_first:g} leave no part "
                "of the run in which both learn; lower one of them"
            )


_RANGES: dict[str, tuple[float, float]] = {
    "weight": (0, 1000),
    "rise": (0, 1),
    "tau": (0, 1),
    "stride": (1, 64),
    "turns": (1, 1_000_000),
    "network_first": (0, 1),
    "adversary_first": (0, 1),
    "rate": (0, 10),
    "momentum": (0, 0.99999),
    "weight_decay": (0, 100),
}

_CHOICES: dict[str, tuple[str, ...]] = {
    "input": ("basic", "product", "scaling"),
    "loss": ("cross_entropy", "hinge", "least_squares"),
    "decision": ("place", "average"),
    "optimiser": ("adamw", "sgd"),
}
