"""The light of a scene: time of day and weather, drawn from a few skies and everything between."""

from __future__ import annotations

import math
from dataclasses import dataclass

from segfield.data.drawing.camera import Vector
from segfield.data.drawing.dice import Dice


@dataclass(frozen=True)
class Light:
    """Colours are linear red, green, blue; a white wall in full light is about one.

    Attributes:
        sun: unit vector towards the sun.
        sunlight: what the sun gives a wall that faces it.
        skylight: what the sky gives from all sides.
        zenith, horizon: the sky's colours.
        haze: share of light lost in a metre of air.
        clouds: 0 clear … 1 closed.
        lit: share of windows with a lamp behind them.
        lamps: whether street lamps and headlights burn, 0..1.
        balance: gains of the camera's red, green, blue.
    """

    sun: Vector
    sunlight: Vector
    skylight: Vector
    zenith: Vector
    horizon: Vector
    haze: float
    clouds: float
    lit: float
    lamps: float
    balance: Vector


# name: elevation of the sun in degrees, sunlight, skylight, zenith, horizon, clouds, lit windows, burning lamps
_SKIES: dict[str, tuple[tuple[float, float], Vector, Vector, Vector, Vector, tuple[float, float], float, float]] = {
    "noon": ((38, 62), (2.1, 2.0, 1.82), (0.46, 0.56, 0.7), (0.1, 0.25, 0.58), (0.62, 0.76, 0.9), (0.2, 0.65), 0.0, 0),
    "day": ((22, 45), (1.9, 1.7, 1.42), (0.45, 0.54, 0.68), (0.12, 0.27, 0.56), (0.7, 0.8, 0.88), (0.2, 0.75), 0.02, 0),
    "evening": (
        (9, 20),
        (2.0, 1.22, 0.62),
        (0.4, 0.42, 0.56),
        (0.18, 0.28, 0.52),
        (1.0, 0.7, 0.42),
        (0.2, 0.7),
        0.1,
        0.2,
    ),
    "overcast": (
        (40, 60),
        (0.1, 0.1, 0.1),
        (0.82, 0.86, 0.9),
        (0.5, 0.55, 0.6),
        (0.78, 0.8, 0.82),
        (0.8, 1),
        0.06,
        0.1,
    ),
    "dusk": ((4, 8), (0.2, 0.1, 0.08), (0.34, 0.37, 0.58), (0.08, 0.11, 0.28), (0.85, 0.46, 0.32), (0.1, 0.6), 0.5, 1),
}


def draw_light(dice: Dice) -> Light:
    """A sky for a scene: most are by day, one in ten at dusk."""
    kind = dice.choice(("noon", "noon", "day", "day", "day", "evening", "evening", "overcast", "overcast", "dusk"))
    elevations, sunlight, skylight, zenith, horizon, clouds, lit, lamps = _SKIES[kind]
    elevation, azimuth = math.radians(dice.between(*elevations)), math.radians(dice.between(0, 360))
    flat = math.cos(elevation)
    sun = (flat * math.sin(azimuth), math.sin(elevation), flat * math.cos(azimuth))
    warm = dice.between(-0.07, 0.07)
    misty = dice.chance(0.12)
    strength = dice.between(0.8, 1.15) * (0.45 if misty else 1)
    return Light(
        sun=sun,
        sunlight=_scaled(sunlight, strength),
        skylight=_scaled(skylight, dice.between(0.85, 1.15)),
        zenith=_scaled(zenith, dice.between(0.75, 1.2)),
        horizon=_scaled(horizon, dice.between(0.85, 1.1)),
        haze=dice.between(0.012, 0.022) if misty else dice.between(0.0015, 0.006),
        clouds=dice.between(*clouds),
        lit=lit * dice.between(0.6, 1.3),
        lamps=lamps,
        balance=(1 + warm, 1.0, 1 - warm),
    )


def _scaled(colour: Vector, factor: float) -> Vector:
    return (colour[0] * factor, colour[1] * factor, colour[2] * factor)


def linear(r: int, g: int, b: int) -> Vector:
    """A colour as painters name it, 0..255, as a linear albedo."""
    return ((r / 255) ** 2, (g / 255) ** 2, (b / 255) ** 2)


def varied(dice: Dice, colour: Vector, amount: float) -> Vector:
    """A colour somewhat lighter or darker, and a little off in hue; amount 0..1."""
    light = 1 + dice.between(-amount, amount)
    r, g, b = (min(0.95, c * light * (1 + dice.between(-amount, amount) / 3)) for c in colour)
    return (r, g, b)
