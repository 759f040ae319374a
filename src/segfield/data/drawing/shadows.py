"""Shadows that things cast on the ground, as outlines in (x, z); those of house fronts are worked out per pixel."""

from __future__ import annotations

import math
from collections.abc import Sequence

from segfield.data.drawing.camera import Vector
from segfield.data.drawing.canvas import Canvas
from segfield.data.drawing.light import Light

_LONGEST = 4.0  # metres of shadow for a metre of height: a low sun's shadow ends somewhere
_FULL = 255
_LEAST = 4.0  # pixels; smaller things cast no shadow that one would see
# A ragged unit disc: seven lobes round the rim, and one in the middle.
_LOBES = [
    [
        (
            out * math.cos(turn) + reach * math.cos(k * math.tau / 9),
            out * math.sin(turn) + reach * math.sin(k * math.tau / 9),
        )
        for k in range(9)
    ]
    for turn, out, reach in [(i * math.tau / 7, 0.62, 0.34 + 0.1 * (i * 5 % 3)) for i in range(7)] + [(0.0, 0.0, 0.75)]
]


def cast(light: Light, point: Vector) -> tuple[float, float]:
    """Where the shadow of a point falls on the ground."""
    x, y, z = point
    reach = y / max(light.sun[1], 1 / _LONGEST)
    return (x - light.sun[0] * reach, z - light.sun[2] * reach)


def strip_shadow(canvas: Canvas, light: Light, x: float, z: float, low: float, high: float, half_width: float) -> None:
    """The shadow of an upright thing, round a centre line from low to high (metres)."""
    if canvas.detail(z) * (high - low) < _LEAST:
        return
    flat = math.hypot(light.sun[0], light.sun[2])
    side_x, side_z = light.sun[2] / flat * half_width, -light.sun[0] / flat * half_width
    (x0, z0), (x1, z1) = cast(light, (x, low, z)), cast(light, (x, high, z))
    outline = (
        (x0 + side_x, z0 + side_z),
        (x0 - side_x, z0 - side_z),
        (x1 - side_x, z1 - side_z),
        (x1 + side_x, z1 + side_z),
    )
    canvas.shade(outline, _FULL)


def disc_shadow(canvas: Canvas, light: Light, x: float, z: float, middle: float, reach: float, reach_v: float) -> None:
    """The dappled shadow of a crown with its middle this high (metres)."""
    if canvas.detail(z) * reach < _LEAST:
        return
    cx, cz = cast(light, (x, middle, z))
    flat = math.hypot(light.sun[0], light.sun[2])
    ax, az = light.sun[0] / flat, light.sun[2] / flat
    long = math.hypot(reach, reach_v * flat / max(light.sun[1], 1 / _LONGEST))
    pa, pb, qa, qb = long * ax, long * az, -reach * az, reach * ax
    for lobe in _LOBES:
        canvas.shade([(cx + p * pa + q * qa, cz + p * pb + q * qb) for p, q in lobe], 225)


def box_shadow(canvas: Canvas, light: Light, footprint: Sequence[tuple[float, float]], height: float) -> None:
    """The shadow of a box: its foot, its top, and what lies between them."""
    base = [(x, z) for x, z in footprint]
    top = [cast(light, (x, height, z)) for x, z in footprint]
    canvas.shade(base, _FULL)
    canvas.shade(top, _FULL)
    for i in range(len(base)):
        canvas.shade((base[i - 1], base[i], top[i], top[i - 1]), _FULL)
