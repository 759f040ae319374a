"""The search space: a coarse grid, then half its steps about the best (Chen et al. 2015, section 4).

Weight and bandwidths of the bilateral kernel, and the Gaussian kernel's weight, which no lattice depends on.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from segfield.errors import SettingError

PAPER_DIAGONAL = 625.0
"""Pixels: of the 500×375 photos that DeepLab's ranges are meant for."""
PAPER_RANGE = 255.0


class Point(NamedTuple):
    """One setting.

    Attributes:
        weight: of the bilateral kernel; 0 means no CRF at all, see `OFF`.
        sxy: its bandwidth in position, pixels.
        srgb: its bandwidth in colour, in units of 0..255 whatever the image's depth.
        gaussian_weight: of the Gaussian kernel; 0: that kernel off.
    """

    weight: float
    sxy: float
    srgb: float
    gaussian_weight: float


OFF = Point(0.0, 0.0, 0.0, 0.0)
"""No CRF: the classifier's probabilities as they are, without either kernel."""


@dataclass(frozen=True)
class Grid:
    """Values to try in every combination, and OFF, which is always tried.

    Args:
        weights: of the bilateral kernel; 0 stands for OFF.
        sxy: bandwidths in position, pixels.
        srgb: bandwidths in colour, units of 0..255.
        gaussian_weights: of the Gaussian kernel; 0 stands for that kernel off. DeepLab's 3, and less.

    Raises:
        SettingError: if a value is negative or not finite, a bandwidth is 0, or nothing but OFF would be tried.
    """

    weights: tuple[float, ...]
    sxy: tuple[float, ...]
    srgb: tuple[float, ...]
    gaussian_weights: tuple[float, ...] = (0.0, 1.0, 3.0)

    def __post_init__(self) -> None:
        for name in ("weights", "sxy", "srgb", "gaussian_weights"):
            may_be_0 = name.endswith("weights")
            values = tuple(sorted({float(value) for value in getattr(self, name)}))
            low = values[0] if values else math.nan
            if not all(map(math.isfinite, values)) or not (low > 0 or (low == 0 and may_be_0)):
                least = "0 or more" if may_be_0 else "above 0"
                raise SettingError(f"the grid's {name} are {list(values)}; give one or more numbers, each {least}")
            object.__setattr__(self, name, values)
        if self.weights == (0.0,):
            raise SettingError("the grid's only weight is 0, which is no CRF; give a weight above 0 to try")

    @classmethod
    def for_images(cls, shapes: Sequence[tuple[int, int]], colour_range: float = PAPER_RANGE) -> Grid:
        """The default: DeepLab's ranges (weight 5..10, sxy 50..100, srgb 3..10) and half and twice of them, in doublings.

        Args:
            shapes: (H, W) of the images; positions are scaled with the median diagonal over that of 500×375.
            colour_range: largest minus smallest value of the images, in units of 0..255; colours are scaled with it over 255.
        """
        diagonals = sorted(math.hypot(*shape) for shape in shapes)
        space = diagonals[len(diagonals) // 2] / PAPER_DIAGONAL
        colour = colour_range / PAPER_RANGE
        return cls(
            weights=(1.25, 2.5, 5.0, 10.0),
            sxy=tuple(rounded(space * value) for value in (17.5, 35.0, 70.0, 140.0)),
            srgb=tuple(rounded(colour * value) for value in (2.5, 5.0, 10.0, 20.0)),
        )

    def points(self) -> list[Point]:
        """OFF, then every combination, the gentlest first."""
        weights = [weight for weight in self.weights if weight > 0]
        axes = (weights, self.sxy, self.srgb, self.gaussian_weights)
        return [OFF, *(Point(*values) for values in itertools.product(*axes))]


def refined(best: Point, tried: Iterable[Point]) -> list[Point]:
    """Points about `best` that were not tried: each value, and half a step (in the logarithm) to its neighbours on each axis.

    Beyond the last value tried of an axis the step is a whole one, so that a grid too narrow is left; towards 0 it halves.
    An axis with a single value stays as it is. Nothing lies about OFF. Other Gaussian weights are tried with every
    bilateral weight, which they trade with, but at the best bandwidths alone: so they need no lattice of their own.
    """
    known = {point for point in tried if point != OFF}
    if best == OFF:
        return []
    weights, sxy, srgb, gaussian = (_around(value, sorted({*axis})) for value, axis in zip(best, zip(*known)))
    about = itertools.chain(
        itertools.product(weights, sxy, srgb, [best.gaussian_weight]),
        itertools.product(weights, [best.sxy], [best.srgb], gaussian),
    )
    return [point for point in dict.fromkeys(Point(*values) for values in about) if point not in known]


def rounded(value: float, digits: int = 3) -> float:
    """To three significant digits: settings that can be read aloud."""
    return float(f"{value:.{digits}g}")


def _around(value: float, values: list[float]) -> list[float]:
    if len(values) < 2:
        return [value]
    at = values.index(value)
    if value == 0:
        return [value, rounded(values[1] / 2)]
    below = values[at - 1] if at > 0 else value * value / values[at + 1]
    above = values[at + 1] if at + 1 < len(values) else None
    low = (math.sqrt(value * below) if at > 0 else below) if below > 0 else value / 2
    high = math.sqrt(value * above) if above is not None else value * value / below if below > 0 else 2 * value
    return [rounded(low), value, rounded(high)]
