"""The mirror images that test-time augmentation averages over, by name. Free of torch, so that the command line may read it."""

from __future__ import annotations

from typing import Literal

Flips = Literal["none", "horizontal", "all"]

# Axes of (B, C, H, W) that are reversed; a flip is its own inverse.
FLIPS: dict[str, tuple[tuple[int, ...], ...]] = {
    "none": ((),),
    "horizontal": ((), (3,)),
    "all": ((), (3,), (2,), (2, 3)),
}
