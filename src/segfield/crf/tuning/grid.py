"""The search space of the bilateral kernel: a coarse grid, then half its steps about the best (Chen et al. 2015, section 4)."""

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
    """One setting of the bilateral kernel.

    Attributes:
        weight: of the kernel; 0 means no CRF at all, see `OFF`.
        sxy: bandwidth in position, pixels.
        srgb: bandwidth in colour, in units of 0..255 whatever the image's depth.
    """

    weight: float
    sxy: float
    srgb: float


OFF = Point(0.0, 0.0, 0.0)
"""No CRF: the classifier's probabilities as they are, without the Gaussian kernel too."""


@dataclass(frozen=True)
class Grid:
    """Values to try in every combination, and OFF, which is always tried.

    Args:
        weights: of the bilateral kernel; 0 stands for OFF.
        sxy: bandwidths in position, pixels.
        srgb: bandwidths in colour, units of 0..255.

    Raises:
        SettingError: if a value is negative or not finite, a bandwidth is 0, or nothing but OFF would be tried.
    """

    weights: tuple[float, ...]
    sxy: tuple[float, ...]
    srgb: tuple[float, ...]

    def __post_init__(self) -> None:
        for name, least in (("weights", "0 or more"), ("sxy", "above 0"), ("srgb", "above 0")):
            values = tuple(sorted({float(value) for value in getattr(self, name)}))
            low = values[0] if values else math.nan
            if not all(map(math.isfinite, values)) or not (low > 0 or (low == 0 and name == "weights")):
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
        return [OFF, *(Point(*values) for values in itertools.product(weights, self.sxy, self.srgb))]


def refined(best: Point, tried: Iterable[Point]) -> list[Point]:
    """Points about `best` that were not tried: each value, and half a step (in the logarithm) to its neighbours on each axis.

    Beyond the last value tried of an axis the step is a whole one, so that a grid too narrow is left. An axis with a
    single value stays as it is. Nothing lies about OFF.
    """
    known = {point for point in tried if point != OFF}
    if best == OFF:
        return []
    axes = [_around(best[axis], sorted({point[axis] for point in known})) for axis in range(3)]
    return [point for point in (Point(*values) for values in itertools.product(*axes)) if point not in known]


def rounded(value: float, digits: int = 3) -> float:
    """To three significant digits: settings that can be read aloud."""
    return float(f"{value:.{digits}g}")


def _around(value: float, values: list[float]) -> list[float]:
    if len(values) < 2:
        return [value]
    at = values.index(value)
    below = values[at - 1] if at > 0 else None
    above = values[at + 1] if at + 1 < len(values) else None
    low = math.sqrt(value * below) if below is not None else value * value / values[at + 1]
    high = math.sqrt(value * above) if above is not None else value * value / values[at - 1]
    return [rounded(low), value, rounded(high)]
