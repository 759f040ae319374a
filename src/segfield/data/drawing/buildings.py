"""House fronts with windows, side walls, roofs, awnings and balconies, and the skyline at the end of the street."""

from __future__ import annotations

import math

from segfield.data.drawing.camera import Vector
from segfield.data.drawing.canvas import Canvas, Frame, X, Y, rectangle
from segfield.data.drawing.dice import Dice
from segfield.data.drawing.light import linear, varied
from segfield.data.drawing.materials import Material
from segfield.data.drawing.street import LOT, SIGHT, SKYLINE, Lot, Street

_WALLS = (
    *(
        linear(r, g, b)
        for r, g, b in ((214, 196, 158), (196, 168, 130), (222, 214, 200), (180, 120, 92), (150, 84, 66))
    ),
    *(
        linear(r, g, b)
        for r, g, b in ((128, 126, 124), (150, 150, 154), (104, 106, 112), (186, 178, 140), (164, 92, 78))
    ),
    *(
        linear(r, g, b)
        for r, g, b in ((168, 190, 196), (206, 172, 150), (138, 134, 120), (190, 190, 186), (112, 76, 62))
    ),
)
_ROOFS = tuple(linear(r, g, b) for r, g, b in ((130, 72, 56), (96, 66, 58), (84, 86, 92), (112, 84, 66)))
_AWNINGS = tuple(
    linear(r, g, b) for r, g, b in ((172, 36, 40), (30, 92, 66), (34, 64, 124), (222, 186, 120), (90, 40, 70))
)


def facing_street(side: int, x: float, z: float) -> Frame:
    """The frame of a wall along the street, x metres from its middle, seen from the street; u grows to the right."""
    return Frame((side * x, 0.0, z), (0.0, 0.0, -float(side)), Y)


def draw_lot(canvas: Canvas, street: Street, lot: Lot) -> None:
    """The house of a lot, if it has one; a block may be two houses."""
    if lot.kind in ("garden", "crossing"):
        return
    dice = Dice(street.seed, LOT, lot.number, lot.side, 1)
    front = street.edge + lot.setback
    if lot.kind == "house" or dice.chance(0.45):
        _house(canvas, dice, lot, lot.near, lot.far, front, lot.height)
        return
    middle = lot.near + (lot.far - lot.near) * dice.between(0.35, 0.65)
    heights = (lot.height, lot.height * dice.between(0.65, 1.0))
    _house(canvas, dice, lot, middle, lot.far, front, heights[0])
    _house(canvas, dice, lot, lot.near, middle, front, heights[1])


def _pattern(dice: Dice, kind: str, height: float) -> tuple[float, ...]:
    style = 0 if kind == "house" else dice.choice((0, 0, 1, 1, 2, 3))
    floor = dice.between(2.8, 3.6)
    base = 0.0 if kind == "house" else dice.between(3.2, 4.4)
    shares = {0: (0.45, 0.58), 1: (0.42, 0.55), 2: (0.92, 0.86), 3: (0.99, 0.5)}[style]
    pitch = dice.between(1.7, 3.6)
    return (
        pitch,
        floor,
        shares[0] * dice.between(0.85, 1),
        shares[1],
        base,
        height,
        float(style),
        float(dice.whole(1, 999)),
    )


def _house(canvas: Canvas, dice: Dice, lot: Lot, near: float, far: float, front: float, height: float) -> None:
    wall = varied(dice, dice.choice(_WALLS), 0.22)
    pattern = _pattern(dice, lot.kind, height)
    length, side = far - near, lot.side
    # Walls that face the viewer: the near end, then the front, whose u grows towards the viewer on the right side.
    depth = dice.between(8, 12)
    inner = front if side > 0 else -front - depth
    blank = (*pattern[:2], pattern[2] * 0.8, pattern[3], 0.0, height, pattern[6], pattern[7] + 2)
    if lot.kind == "house":
        ridge = height + dice.between(1.8, 3.2)
        gable = ((0.0, 0.0), (depth, 0.0), (depth, height), (depth / 2, ridge), (0.0, height))
        canvas.add(Frame((inner, 0.0, near), X, Y), gable, Material.FACADE, wall, pattern=blank)
    else:
        ridge = height
        end = rectangle(0, 0, depth, height)
        canvas.add(Frame((inner, 0.0, near), X, Y), end, Material.FACADE, wall, pattern=blank)
    start = far if side > 0 else near
    frame = facing_street(side, front, start)
    canvas.add(frame, rectangle(0, 0, length, height), Material.FACADE, wall, pattern=pattern)
    if lot.kind == "house":
        _roof(canvas, dice, side, frame, front, depth, height, ridge, length)
    else:
        _shop_fronts(canvas, dice, side, frame, length, height, pattern)


def _roof(
    canvas: Canvas,
    dice: Dice,
    side: int,
    frame: Frame,
    front: float,
    depth: float,
    eaves: float,
    ridge: float,
    length: float,
) -> None:
    colour = varied(dice, dice.choice(_ROOFS), 0.15)
    rise, run = ridge - eaves, depth / 2
    slope = math.hypot(rise, run)
    up: Vector = (side * run / slope, rise / slope, 0.0)
    low = Frame((side * (front - 0.35 * run / slope), eaves - 0.35 * rise / slope, frame.origin[2]), frame.across, up)
    canvas.add(low, rectangle(-0.3, 0, length + 0.6, slope + 0.35), Material.STONE, colour)
    stack = Frame((side * (front + run * 0.8), ridge - 0.6, frame.origin[2]), frame.across, Y)
    canvas.add(stack, rectangle(length * dice.between(0.2, 0.7), 0, 0.7, 1.3), Material.STONE, linear(120, 70, 58))


def _shop_fronts(
    canvas: Canvas, dice: Dice, side: int, frame: Frame, length: float, height: float, pattern: tuple[float, ...]
) -> None:
    """Awnings over some shop windows, and balconies on some fronts; both stick out over the pavement."""
    (x, _, z), base = frame.origin, pattern[4]
    if dice.chance(0.5):
        colour = varied(dice, dice.choice(_AWNINGS), 0.2)
        out, drop = dice.between(0.7, 1.3), dice.between(0.4, 0.7)
        slope = math.hypot(out, drop)
        start, width = dice.between(0.3, length * 0.3), length * dice.between(0.35, 0.6)
        lower = Frame((x - side * out, base - drop - 0.3, z), frame.across, (side * out / slope, drop / slope, 0.0))
        canvas.add(lower, rectangle(start, 0, width, slope), Material.STONE, colour)
        fringe = Frame((x - side * out, base - drop - 0.52, z), frame.across, Y)
        canvas.add(fringe, rectangle(start, 0, width, 0.24), Material.STONE, varied(dice, colour, 0.3))
    if pattern[6] < 2 and dice.chance(0.4):
        pale = linear(200, 196, 188)
        for floor in range(1, int((height - base - 1) / pattern[1])):
            for column in range(0, int(length / pattern[0]) - 1, 2):
                v, u = base + floor * pattern[1] + 0.2, (column + 0.1) * pattern[0]
                near_end = u if side < 0 else u + pattern[0] * 1.6
                end = Frame((x - side * 0.7 if side > 0 else x, v, z - side * near_end), X, Y)
                canvas.add(end, rectangle(0, 0, 0.7, 0.9), Material.STONE, pale)
                out_front = Frame((x - side * 0.7, v, z), frame.across, Y)
                canvas.add(out_front, rectangle(u, 0, pattern[0] * 1.6, 0.9), Material.STONE, pale)


def draw_skyline(canvas: Canvas, street: Street, camera_z: float) -> None:
    """Hills, woods and towers so far off that they never come nearer."""
    dice = Dice(street.seed, SKYLINE)
    frame = Frame((0.0, 0.0, camera_z + SIGHT + 60), X, Y)
    hill, step = dice.between(3, 12), 6
    heights = dice.array(62).tolist()
    ridge = [((i - 30.0) * step, hill * (0.6 + 0.4 * math.sin(i * 0.21 + hill)) + 3 * h) for i, h in enumerate(heights)]
    leaf = varied(dice, street.leaf, 0.2)
    canvas.add(frame, ((-180.0, -1.0), *ridge, (186.0, -1.0)), Material.FOLIAGE, leaf, pattern=(hill, 9.0))
    for _ in range(dice.whole(3, 16) if street.kind == "city" else dice.whole(0, 6)):
        width, height = dice.between(7, 22), dice.between(8, 46 if street.kind == "city" else 22)
        pattern = _pattern(dice, "block", height)
        wall = varied(dice, dice.choice(_WALLS), 0.2)
        canvas.add(frame, rectangle(dice.between(-120, 110), 0, width, height), Material.FACADE, wall, pattern=pattern)
    for _ in range(dice.whole(2, 12)):
        u, reach, top = dice.between(-70, 70), dice.between(3, 7), dice.between(4, 10)
        crown = [(u + reach * c, 2 + top * (0.5 + 0.5 * s) * r) for c, s, r in _ragged(dice)]
        canvas.add(frame, crown, Material.FOLIAGE, varied(dice, leaf, 0.3), pattern=(top / 2, top / 2, u))


def _ragged(dice: Dice) -> list[tuple[float, float, float]]:
    rough = dice.array(14).tolist()
    return [(math.cos(i * 0.449), math.sin(i * 0.449), 0.75 + 0.3 * r) for i, r in enumerate(rough)]
