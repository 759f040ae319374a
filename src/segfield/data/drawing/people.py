"""People of all sizes who stand, walk along the street or cross it, with coats, skirts, bags and hair."""

from __future__ import annotations

import math

from segfield.data.drawing.camera import Vector
from segfield.data.drawing.canvas import Canvas, Frame, Outline, X, Y
from segfield.data.drawing.dice import Dice
from segfield.data.drawing.light import Light, linear, varied
from segfield.data.drawing.materials import Material
from segfield.data.drawing.shadows import strip_shadow

_SKINS = tuple(linear(r, g, b) for r, g, b in ((236, 200, 176), (212, 164, 132), (160, 112, 84), (98, 66, 50)))
_HAIRS = tuple(linear(r, g, b) for r, g, b in ((32, 26, 22), (78, 52, 34), (150, 116, 70), (150, 146, 142)))
_TOPS = tuple(
    linear(r, g, b)
    for r, g, b in (
        *((178, 40, 44), (36, 60, 116), (40, 42, 48), (214, 210, 202), (64, 100, 66), (204, 156, 50)),
        *((110, 60, 110), (96, 98, 104), (140, 106, 80), (60, 130, 150), (24, 26, 30), (196, 120, 130)),
    )
)
_TROUSERS = tuple(
    linear(r, g, b) for r, g, b in ((38, 46, 70), (28, 28, 32), (96, 90, 80), (70, 84, 110), (130, 118, 98))
)
_HEAD = [(math.cos(i * math.tau / 10), math.sin(i * math.tau / 10)) for i in range(10)]


def draw_person(canvas: Canvas, dice: Dice, light: Light, x: float, z: float, stride: float, sideways: bool) -> None:
    """A person at (x, z).

    Args:
        stride: phase of the step in radians; people who stand have a constant one.
        sideways: seen from the side (crossing the street), else from the front or the back.
    """
    tall = dice.between(1.58, 1.9) if dice.chance(0.86) else dice.between(1.0, 1.35)
    broad = tall * dice.between(0.12, 0.155) * (0.72 if sideways else 1)
    top, legs = varied(dice, dice.choice(_TOPS), 0.3), varied(dice, dice.choice(_TROUSERS), 0.3)
    skin, hair = dice.choice(_SKINS), varied(dice, dice.choice(_HAIRS), 0.2)
    stripes = dice.between(8, 16) if dice.chance(0.2) else 0.0
    coat, bag, turned = dice.chance(0.3), dice.chance(0.35), dice.chance(0.5)
    frame = Frame((x, 0.0, z), X, Y)
    strip_shadow(canvas, light, x, z, 0.0, tall, broad)
    swing = math.sin(stride)
    hip, shoulder = tall * 0.5, tall * 0.83
    _legs(canvas, frame, tall, broad, swing, sideways, legs)
    arm = 0.05 + 0.02 * tall
    reach = swing * 0.22 if sideways else 0.0
    far_arm, near_arm = ((0.0, -reach), (0.0, reach)) if sideways else ((-broad, -broad * 1.2), (broad, broad * 1.2))
    dark = (top[0] * 0.7, top[1] * 0.7, top[2] * 0.7)
    _limb(canvas, frame, (far_arm[0], shoulder - 0.04), (far_arm[1], hip - 0.02), arm, dark)
    if bag and not sideways and turned:
        strap = (
            (-broad * 0.8, hip + 0.05),
            (broad * 0.8, hip + 0.05),
            (broad * 0.8, shoulder),
            (-broad * 0.8, shoulder),
        )
        _torso(canvas, frame, broad, hip, shoulder, coat, tall, top, stripes)
        canvas.add(frame, strap, Material.CLOTH, varied(dice, dice.choice(_TOPS), 0.2))
    else:
        _torso(canvas, frame, broad, hip, shoulder, coat, tall, top, stripes)
        if bag:
            outline = ((broad, hip - 0.2), (broad + 0.2, hip - 0.2), (broad + 0.18, hip + 0.05), (broad, hip + 0.05))
            canvas.add(frame, outline, Material.CLOTH, varied(dice, dice.choice(_TOPS), 0.2))
    _limb(canvas, frame, (near_arm[0], shoulder - 0.04), (near_arm[1], hip - 0.02), arm, dark)
    if not sideways:
        _limb(canvas, frame, (far_arm[0], shoulder - 0.04), (far_arm[1], hip - 0.02), arm, dark)
    _head(canvas, frame, tall, skin, hair, turned)


def _legs(
    canvas: Canvas, frame: Frame, tall: float, broad: float, swing: float, sideways: bool, colour: Vector
) -> None:
    hip, thick, shoe = tall * 0.52, tall * 0.05, linear(36, 32, 30)
    for leg in (-1, 1):
        if sideways:
            foot, start, lift = leg * swing * tall * 0.2, 0.0, max(0.0, -leg * swing) * 0.05
        else:
            foot, start, lift = leg * broad * 0.55, leg * broad * 0.5, max(0.0, leg * swing) * 0.12
        shade = 1.0 if leg > 0 else 0.8
        _limb(
            canvas,
            frame,
            (start, hip),
            (foot, lift + 0.04),
            thick,
            (colour[0] * shade, colour[1] * shade, colour[2] * shade),
        )
        toe: Outline = (
            (foot - 0.07, lift),
            (foot + 0.09, lift),
            (foot + 0.07, lift + 0.09),
            (foot - 0.07, lift + 0.09),
        )
        canvas.add(frame, toe, Material.CLOTH, shoe)


def _limb(
    canvas: Canvas, frame: Frame, start: tuple[float, float], end: tuple[float, float], thick: float, colour: Vector
) -> None:
    outline = (
        (start[0] - thick, start[1]),
        (start[0] + thick, start[1]),
        (end[0] + thick * 0.7, end[1]),
        (end[0] - thick * 0.7, end[1]),
    )
    canvas.add(frame, outline, Material.CLOTH, colour)


def _torso(
    canvas: Canvas,
    frame: Frame,
    broad: float,
    hip: float,
    shoulder: float,
    coat: bool,
    tall: float,
    colour: Vector,
    stripes: float,
) -> None:
    low = hip - 0.2 * tall if coat else hip - 0.03
    outline = (
        *((-broad * (1.05 if coat else 0.85), low), (broad * (1.05 if coat else 0.85), low), (broad * 0.85, hip + 0.1)),
        *((broad, shoulder - 0.03), (broad * 0.6, shoulder + 0.03), (-broad * 0.6, shoulder + 0.03)),
        *((-broad, shoulder - 0.03), (-broad * 0.85, hip + 0.1)),
    )
    canvas.add(frame, outline, Material.CLOTH, colour, pattern=(stripes,))


def _head(canvas: Canvas, frame: Frame, tall: float, skin: Vector, hair: Vector, turned: bool) -> None:
    middle, wide, high = tall * 0.925, 0.048 + tall * 0.025, tall * 0.075
    neck: Outline = ((-0.05, tall * 0.82), (0.05, tall * 0.82), (0.05, middle), (-0.05, middle))
    canvas.add(frame, neck, Material.CLOTH, skin)
    back = [(wide * 1.12 * c, middle + high * (0.06 + 1.08 * s)) for c, s in _HEAD]
    canvas.add(frame, back, Material.CLOTH, hair)
    if not turned:
        face = [(wide * 0.85 * c, middle - high * 0.15 + high * 0.8 * s) for c, s in _HEAD]
        canvas.add(frame, face, Material.CLOTH, skin)
