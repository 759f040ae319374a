"""Cars, vans and small lorries as solids: body, cabin with windows, wheels, lamps, number plate."""

from __future__ import annotations

import math
from typing import NamedTuple

from segfield.data.drawing.camera import Vector
from segfield.data.drawing.canvas import Canvas, Frame, Outline, Y, rectangle
from segfield.data.drawing.dice import Dice
from segfield.data.drawing.light import Light, linear, varied
from segfield.data.drawing.materials import Material
from segfield.data.drawing.shadows import box_shadow

_PAINTS = tuple(
    linear(r, g, b)
    for r, g, b in (
        *((225, 225, 222), (168, 170, 174), (96, 98, 104), (34, 35, 38), (24, 40, 84), (142, 24, 28)),
        *((60, 92, 130), (48, 70, 54), (196, 158, 60), (120, 112, 100), (210, 206, 196), (70, 24, 30)),
    )
)
_DARK, _RUBBER, _PANE = linear(30, 30, 32), linear(26, 26, 28), linear(28, 32, 36)
_WHEEL = [(math.cos(i * math.tau / 10), math.sin(i * math.tau / 10)) for i in range(10)]


class Shape(NamedTuple):
    """Metres. `points` is the cabin in side view: where windscreen and rear window begin and end, from the rear."""

    length: float
    width: float
    height: float
    waist: float
    rear_low: float
    rear_high: float
    front_high: float
    front_low: float


_SHAPES = {
    "saloon": Shape(4.5, 1.8, 1.45, 0.9, 0.55, 1.15, 2.5, 3.35),
    "hatchback": Shape(3.9, 1.7, 1.48, 0.9, 0.1, 0.5, 2.2, 3.0),
    "estate": Shape(4.6, 1.82, 1.5, 0.92, 0.1, 0.45, 2.7, 3.5),
    "offroader": Shape(4.5, 1.9, 1.75, 1.05, 0.08, 0.3, 2.6, 3.3),
    "van": Shape(5.2, 1.98, 2.3, 1.15, 0.02, 0.06, 4.0, 4.6),
}


class _Solid(NamedTuple):
    """A place for a car: its rear middle on the ground, its heading and its left-hand direction."""

    rear: Vector
    ahead: Vector
    left: Vector

    def at(self, along: float, aside: float, up: float) -> Vector:
        o, a, s = self.rear, self.ahead, self.left
        return (o[0] + along * a[0] + aside * s[0], up, o[2] + along * a[2] + aside * s[2])


def draw_car(canvas: Canvas, dice: Dice, light: Light, x: float, z: float, heading: float = 0.0) -> None:
    """A car with its middle at (x, z), driving towards `heading` radians (0 along z, π against it)."""
    shape = _SHAPES[dice.choice(("saloon", "saloon", "hatchback", "hatchback", "estate", "offroader", "van"))]
    ahead: Vector = (math.sin(heading), 0.0, math.cos(heading))
    left: Vector = (-ahead[2], 0.0, ahead[0])
    half = shape.length / 2
    solid = _Solid((x - half * ahead[0], 0.0, z - half * ahead[2]), ahead, left)
    paint = varied(dice, dice.choice(_PAINTS), 0.2)
    footprint = [solid.at(p * shape.length, q * shape.width / 2, 0.0) for p, q in ((0, 1), (1, 1), (1, -1), (0, -1))]
    flat = [(px, pz) for px, _, pz in footprint]
    box_shadow(canvas, light, flat, shape.height * 0.85)
    canvas.shade(flat, 255)
    _body(canvas, solid, shape, paint)
    _cabin(canvas, dice, solid, shape, paint)
    _ends(canvas, dice, light, solid, shape)


def _body(canvas: Canvas, solid: _Solid, shape: Shape, paint: Vector) -> None:
    length, width, waist, floor = shape.length, shape.width, shape.waist, 0.24
    back = tuple(-c for c in solid.ahead)
    backward: Vector = (back[0], back[1], back[2])
    rightward: Vector = (-solid.left[0], 0.0, -solid.left[2])
    for side in (1, -1):
        # Seen from its own side, a flank runs to the right: ahead on the right flank, back on the left one.
        along = solid.ahead if side < 0 else backward
        frame = Frame(solid.at(0.0 if side < 0 else length, side * width / 2, 0.0), along, Y)
        if canvas.shows_back(frame):
            continue
        outline = ((0.0, floor), (length, floor), (length, waist), (0.0, waist))
        canvas.add(frame, outline, Material.PAINT, paint)
        canvas.add(frame, rectangle(0.05, floor, length - 0.1, 0.1), Material.TYRE, _DARK)
        for wheel in (0.19, 0.81):
            _wheel(canvas, frame, length * wheel)
    hood = Frame(solid.at(0.0, width / 2, waist), rightward, solid.ahead)
    canvas.add(hood, rectangle(0, 0, width, length), Material.PAINT, paint)
    for end, across in ((0.0, rightward), (length, solid.left)):
        start = width / 2 if end == 0 else -width / 2
        frame = Frame(solid.at(end, start, 0.0), across, Y)
        if canvas.shows_back(frame):
            continue
        for u in (0.08, width - 0.3):
            canvas.add(frame, rectangle(u, 0.0, 0.22, 0.4), Material.TYRE, _RUBBER)
        canvas.add(frame, rectangle(0, floor, width, waist - floor), Material.PAINT, paint)
        canvas.add(frame, rectangle(0, floor, width, 0.2), Material.TYRE, _DARK)


def _wheel(canvas: Canvas, frame: Frame, middle: float) -> None:
    radius = 0.33
    if canvas.detail(frame.origin[2]) * radius < 1:
        return
    for share, colour in ((1.0, _RUBBER), (0.55, linear(120, 122, 126))):
        outline = [(middle + radius * share * c, radius + radius * share * s) for c, s in _WHEEL]
        canvas.add(frame, outline, Material.TYRE, colour)


def _cabin(canvas: Canvas, dice: Dice, solid: _Solid, shape: Shape, paint: Vector) -> None:
    low, high, tuck = shape.waist, shape.height, 0.12
    half = shape.width / 2
    offset = dice.between(0, 200)
    for start, end, sign in ((shape.rear_low, shape.rear_high, 1), (shape.front_low, shape.front_high, -1)):
        run, rise = end - start, high - low
        slope = math.hypot(run, rise)
        up: Vector = (solid.ahead[0] * run / slope, rise / slope, solid.ahead[2] * run / slope)
        across: Vector = (-sign * solid.left[0], 0.0, -sign * solid.left[2])
        frame = Frame(solid.at(start, sign * half, low), across, up)
        if canvas.shows_back(frame):
            continue
        lean: Outline = ((0, 0), (2 * half, 0), (2 * half - tuck, slope), (tuck, slope))
        canvas.add(frame, lean, Material.PAINT, paint)
        inset: Outline = (
            (0.14, 0.06),
            (2 * half - 0.14, 0.06),
            (2 * half - tuck - 0.1, slope - 0.08),
            (tuck + 0.1, slope - 0.08),
        )
        canvas.add(frame, inset, Material.GLASS, _PANE, pattern=(0.0, slope, offset))
    roof = Frame(solid.at(shape.rear_high, half - tuck, high), (-solid.left[0], 0.0, -solid.left[2]), solid.ahead)
    canvas.add(roof, rectangle(0, 0, 2 * (half - tuck), shape.front_high - shape.rear_high), Material.PAINT, paint)
    _cabin_flanks(canvas, solid, shape, paint, tuck, offset)


def _cabin_flanks(canvas: Canvas, solid: _Solid, shape: Shape, paint: Vector, tuck: float, offset: float) -> None:
    low, rise = shape.waist, shape.height - shape.waist
    slope = math.hypot(tuck, rise)
    profile = ((shape.rear_low, 0), (shape.front_low, 0), (shape.front_high, rise), (shape.rear_high, rise))
    for side in (1, -1):
        along: Vector = solid.ahead if side < 0 else (-solid.ahead[0], 0.0, -solid.ahead[2])
        inward = -side * tuck / slope
        up: Vector = (solid.left[0] * inward, rise / slope, solid.left[2] * inward)
        frame = Frame(solid.at(0.0, side * shape.width / 2, low), along, up)
        if canvas.shows_back(frame):
            continue
        flank = [(-side * u, v * slope / rise) for u, v in profile]
        canvas.add(frame, flank, Material.PAINT, paint)
        for window in _windows(shape):
            outline = [(-side * u, (v - low) * slope / rise) for u, v in window]
            canvas.add(frame, outline, Material.GLASS, _PANE, pattern=(0.0, slope, offset))


def _windows(shape: Shape) -> list[Outline]:
    low, high = shape.waist + 0.06, shape.height - 0.1
    pillar = shape.rear_high + (shape.front_high - shape.rear_high) * (0.5 if shape.height < 2 else 0.72)
    rear, front = shape.rear_low + 0.16, shape.front_low - 0.16
    ahead = ((pillar + 0.05, low), (front, low), (shape.front_high - 0.04, high), (pillar + 0.05, high))
    if shape.height > 2:
        return [ahead]
    return [((rear, low), (pillar - 0.05, low), (pillar - 0.05, high), (shape.rear_high + 0.08, high)), ahead]


def _ends(canvas: Canvas, dice: Dice, light: Light, solid: _Solid, shape: Shape) -> None:
    """Lamps, plates and bumper of the end one sees."""
    width, braking = shape.width, dice.chance(0.25)
    plate = dice.choice((linear(235, 235, 230), linear(230, 200, 60)))
    lamps = (0.05, width - 0.33)
    rear = Frame(solid.at(-0.01, width / 2, 0.0), (-solid.left[0], 0.0, -solid.left[2]), Y)
    if not canvas.shows_back(rear):
        tall, glow = (0.5 if shape.height > 1.7 else 0.2), 1.4 * light.lamps + (0.9 if braking else 0.0)
        for u in lamps:
            canvas.add(rear, rectangle(u, shape.waist - 0.28, 0.28, tall), Material.PAINT, linear(190, 20, 20), glow)
        canvas.add(rear, rectangle(width / 2 - 0.26, 0.5, 0.52, 0.12), Material.PAINT, plate)
    front = Frame(solid.at(shape.length + 0.01, -width / 2, 0.0), solid.left, Y)
    if not canvas.shows_back(front):
        for u in lamps:
            glass = rectangle(u, shape.waist - 0.32, 0.28, 0.17)
            canvas.add(front, glass, Material.PAINT, linear(235, 235, 220), 3 * light.lamps)
        canvas.add(front, rectangle(width / 2 - 0.26, 0.36, 0.52, 0.12), Material.PAINT, plate)
        canvas.add(front, rectangle(0.4, 0.52, width - 0.8, 0.16), Material.TYRE, _DARK)
