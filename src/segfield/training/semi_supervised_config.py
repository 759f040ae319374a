"""SemiSupervisedConfig: how images without masks are learned from. Free of torch, for the command line reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from segfield.errors import SettingError, did_you_mean


@dataclass(frozen=True)
class SemiSupervisedConfig:
    """How images without masks are learned from, where --unlabelled names some. Shares are of the run.

    With an adversary it chooses the pixels to trust (Hung et al. 2018); without one, the network's answer to a weakly changed
    image teaches it the strongly changed one (FixMatch, Sohn et al. 2020; for segmentation UniMatch, Yang et al. 2023).
    """

    ratio: float = 1.0
    """Images without a mask in a batch, as a multiple of those with one."""
    weight: float | None = None
    """Weight of the loss on them; 1, or with an adversary 0.1, where not given."""
    start: float | None = None
    """Share in which the masks alone teach, before all else; 0, or with an adversary 0.25, where not given."""
    confidence: float = 0.95
    """The least probability with which the weak view's answer counts as a label for the strong one."""
    mix: Literal["cutmix", "classmix", "none"] = "cutmix"
    """Strong views of two images are mixed: a rectangle of the one, or half of its classes, on the other; or not."""
    trust: float = 0.2
    """With an adversary: how sure it must be, 0 to 1, that a pixel's predicted class is true."""
    adversarial_weight: float = 0.1
    """With an adversary: weight of its loss on images without a mask, as a multiple of that on those with one."""

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise SettingError(f"semi_supervised.{name} is {value:g}; it must lie between {low:g} and {high:g}")
        if self.mix not in _MIXES:
            raise SettingError(f"semi_supervised.mix is '{self.mix}'; {did_you_mean(str(self.mix), _MIXES)}")


_MIXES = ("cutmix", "classmix", "none")

_RANGES: dict[str, tuple[float, float]] = {
    "ratio": (0.01, 100),
    "weight": (0, 1000),
    "start": (0, 0.99),
    "confidence": (0, 1),
    "trust": (0, 1),
    "adversarial_weight": (0, 100),
}
