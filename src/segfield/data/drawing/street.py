"""The plan of an endless street, in metres: roadway, pavements, and lots on both sides; any stretch of it at will."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from segfield.data.drawing.camera import Vector
from segfield.data.drawing.dice import Dice
from segfield.data.drawing.light import linear, varied

# First keys of the dice, so that each kind of thing has its own stream.
PLAN, LOT, TREE, LAMP, PARKED, DRIVING, PEOPLE, POSTS, VIEW, SKYLINE, SENSOR, PLACE = range(12)
PITCH = 14.0  # metres of street for a lot
SIGHT = 115.0  # metres; beyond stands the skyline
_CELL = 0.25  # metres; resolution of the look-up along the street


@dataclass(frozen=True)
class Lot:
    """What stands beside the pavement over a stretch of street.

    Attributes:
        side: −1 left, 1 right.
        number: counts along the street.
        near, far: where it begins and ends along z.
        kind: 'block' (a front at the pavement), 'house' (behind a garden), 'garden' or 'crossing' (a side street).
        height: metres of its front; 0 without one.
        setback: metres from the pavement to the front.
    """

    side: int
    number: int
    near: float
    far: float
    kind: str
    height: float
    setback: float


@dataclass(frozen=True)
class Street:
    """All that is decided once for a scene.

    Attributes:
        seed: the scene's.
        kind: 'city', 'suburb' or 'avenue'.
        road: half the roadway's width.
        edge: where the pavements end, from the middle.
        verge: metres of grass between roadway and pavement.
    """

    seed: int
    kind: str = field(init=False)
    road: float = field(init=False)
    edge: float = field(init=False)
    verge: float = field(init=False)
    trees: float = field(init=False)
    parked: float = field(init=False)
    people: int = field(init=False)
    traffic: float = field(init=False)
    wires: bool = field(init=False)
    asphalt: Vector = field(init=False)
    paving: Vector = field(init=False)
    slab: float = field(init=False)
    lawn: Vector = field(init=False)
    leaf: Vector = field(init=False)

    def __post_init__(self) -> None:
        dice = Dice(self.seed, PLAN)
        kind = dice.choice(("city", "city", "suburb", "avenue"))
        road = dice.between(4.7, 6.9)
        verge = dice.between(0.8, 1.8) if kind != "city" and dice.chance(0.6) else 0.0
        grey = dice.between(0.075, 0.19)
        paving = dice.choice(
            (linear(150, 146, 140), linear(168, 156, 140), linear(140, 112, 98), linear(122, 124, 128))
        )
        plan = {
            "kind": kind,
            "road": road,
            "verge": verge,
            "edge": road + verge + dice.between(2.6, 4.8),
            "trees": dice.between(0.3, 0.9) if kind != "city" else dice.between(0, 0.45),
            "parked": dice.between(0.05, 0.7),
            "people": dice.whole(9, 27 if kind == "city" else 18),
            "traffic": dice.between(0.2, 0.8),
            "wires": dice.chance(0.45),
            "asphalt": (grey, grey * dice.between(0.97, 1.02), grey * dice.between(0.95, 1.1)),
            "paving": varied(dice, paving, 0.2),
            "slab": dice.between(0.4, 1.0),
            "lawn": varied(dice, dice.choice((linear(92, 118, 52), linear(112, 122, 62), linear(70, 104, 44))), 0.15),
            "leaf": dice.choice((linear(74, 106, 42), linear(62, 92, 48), linear(88, 110, 40), linear(134, 104, 40))),
        }
        for name, value in plan.items():
            object.__setattr__(self, name, value)

    def boundary(self, number: int) -> float:
        """Where lot `number` begins."""
        return PITCH * number + Dice(self.seed, LOT, number).between(-2.5, 2.5)

    def lots(self, start: float, end: float) -> list[Lot]:
        """Both sides' lots between start and end, the farthest first."""
        numbers = range(int(start // PITCH) - 1, int(end // PITCH) + 2)
        bounds = {n: self.boundary(n) for n in range(numbers.start, numbers.stop + 1)}
        return [self._lot(side, n, bounds[n], bounds[n + 1]) for n in reversed(numbers) for side in (-1, 1)]

    def _lot(self, side: int, number: int, near: float, far: float) -> Lot:
        if Dice(self.seed, LOT, number, 7).chance(0.1):
            return Lot(side, number, near + 3, far - 3, "crossing", 0.0, 0.0)
        dice = Dice(self.seed, LOT, number, side)
        shares = {"city": (0.86, 0.93), "suburb": (0.12, 0.78), "avenue": (0.5, 0.7)}[self.kind]
        roll = dice.roll()
        if roll < shares[0]:
            return Lot(side, number, near, far, "block", dice.between(8, 24 if self.kind == "city" else 16), 0.0)
        if roll < shares[1]:
            inset = dice.between(1, 2.5)
            return Lot(side, number, near + inset, far - inset, "house", dice.between(4.5, 8), dice.between(3, 7))
        return Lot(side, number, near, far, "garden", 0.0, 0.0)


@dataclass(frozen=True)
class Profile:
    """Look-up along a stretch of street, in cells of a quarter of a metre.

    Attributes:
        start: z of the first cell.
        heights: (2, n) float32, how high the front stands, left and right.
        fronts: (2, n) float32, how far from the middle it stands.
        green: (2, n) bool, whether grass lies behind the pavement.
        crossing: (n,) bool, whether a side street runs here.
    """

    start: float
    heights: npt.NDArray[np.float32]
    fronts: npt.NDArray[np.float32]
    green: npt.NDArray[np.bool_]
    crossing: npt.NDArray[np.bool_]

    def cell(self, z: npt.NDArray[np.float32]) -> npt.NDArray[np.int32]:
        """The cell of each z, ends held."""
        cells = ((z - np.float32(self.start)) * np.float32(1 / _CELL)).astype(np.int32)
        return np.clip(cells, 0, len(self.crossing) - 1)

    def is_crossing(self, z: float, margin: float = 1.5) -> bool:
        """Whether a side street runs within `margin` metres of z."""
        first, last = (int((z + m - self.start) / _CELL) for m in (-margin, margin))
        return bool(self.crossing[max(first, 0) : max(last, 0) + 1].any())


def profile(street: Street, lots: list[Lot], start: float, end: float) -> Profile:
    """Heights, fronts and ground cover of the lots between start and end."""
    count = int((end - start) / _CELL) + 1
    heights = np.zeros((2, count), dtype=np.float32)
    fronts = np.full((2, count), street.edge, dtype=np.float32)
    green = np.ones((2, count), dtype=np.bool_)
    crossing = np.zeros(count, dtype=np.bool_)
    for lot in lots:
        cells = slice(max(0, int((lot.near - start) / _CELL)), max(0, int((lot.far - start) / _CELL)))
        row = (lot.side + 1) // 2
        heights[row, cells] = lot.height
        fronts[row, cells] = street.edge + lot.setback
        green[row, cells] = lot.kind in ("house", "garden") or (lot.kind == "block" and street.kind == "suburb")
        crossing[cells] |= lot.kind == "crossing"
    return Profile(start, heights, fronts, green, crossing)
