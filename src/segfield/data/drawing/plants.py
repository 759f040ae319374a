"""Trees with ragged crowns or bare branches, hedges and bushes."""

from __future__ import annotations

import math

import numpy as np

from segfield.data.drawing.camera import Vector
from segfield.data.drawing.canvas import Canvas, Frame, X, Y
from segfield.data.drawing.dice import Dice
from segfield.data.drawing.light import Light, linear, varied
from segfield.data.drawing.materials import Material
from segfield.data.drawing.shadows import disc_shadow, strip_shadow

_CIRCLE = np.array([(math.cos(i * math.tau / 12), math.sin(i * math.tau / 12)) for i in range(12)])
_BARK = linear(92, 78, 64)


def draw_tree(canvas: Canvas, dice: Dice, light: Light, x: float, z: float, leaf: Vector) -> None:
    """A tree: round, tall like a poplar, or bare."""
    frame = Frame((x, 0.0, z), X, Y)
    kind = dice.choice(("round", "round", "round", "tall", "bare"))
    height = dice.between(4.5, 9.5) if kind != "tall" else dice.between(7, 12)
    girth = dice.between(0.14, 0.3)
    trunk = height * (dice.between(0.28, 0.42) if kind != "tall" else 0.14)
    stem = ((-girth, 0.0), (girth, 0.0), (girth * 0.6, trunk * 1.25), (-girth * 0.6, trunk * 1.25))
    canvas.add(frame, stem, Material.BARK, varied(dice, _BARK, 0.25))
    strip_shadow(canvas, light, x, z, 0.0, trunk, girth)
    if kind == "bare":
        _branch(canvas, dice, frame, (0.0, trunk), math.pi / 2, height * 0.3, girth * 0.55)
        return
    middle, reach_v = (trunk + height) / 2, (height - trunk) / 2
    reach_u = reach_v * (dice.between(0.8, 1.15) if kind == "round" else 0.38)
    disc_shadow(canvas, light, x, z, middle, reach_u, reach_v)
    _crown(canvas, dice, frame, (0.0, middle), (reach_u, reach_v), varied(dice, leaf, 0.25))


def _crown(
    canvas: Canvas, dice: Dice, frame: Frame, middle: tuple[float, float], reach: tuple[float, float], leaf: Vector
) -> None:
    """Clumps of leaves: a large core first, then low and dark ones, high ones last, and sprigs at the rim."""
    offset, count = dice.between(0, 40), dice.whole(13, 20)
    a, b, c, d = dice.array(4, count)
    order = b.argsort(kind="stable")
    lift = 2 * b[order] - 1
    # Narrower at the top and bottom, so that the crown is round.
    u = middle[0] + (2 * a - 1) * reach[0] * 0.8 * np.sqrt(1 - 0.8 * lift * lift)
    v = middle[1] + lift * reach[1] * 0.82
    size = (0.16 + 0.3 * c) * math.sqrt(reach[0] * reach[1])
    rough = 0.72 + 0.5 * dice.array(count + 1, len(_CIRCLE), 1)
    core = np.array(middle) + 0.68 * np.array(reach) * rough[0] * _CIRCLE
    clumps = np.stack([u, v], axis=1)[:, None] + size[:, None, None] * rough[1:] * _CIRCLE
    shades = (0.78 + 0.45 * d).tolist()
    for outline, shade in zip([core.tolist(), *clumps.tolist()], [0.9, *shades]):
        colour = (leaf[0] * shade, leaf[1] * shade, leaf[2] * shade)
        canvas.add(frame, outline, Material.FOLIAGE, colour, pattern=(middle[1], reach[1], offset))


def _branch(
    canvas: Canvas, dice: Dice, frame: Frame, start: tuple[float, float], angle: float, length: float, girth: float
) -> None:
    end = (start[0] + length * math.cos(angle), start[1] + length * math.sin(angle))
    du, dv = -math.sin(angle) * girth, math.cos(angle) * girth
    outline = (
        (start[0] + du, start[1] + dv),
        (start[0] - du, start[1] - dv),
        (end[0] - du * 0.6, end[1] - dv * 0.6),
        (end[0] + du * 0.6, end[1] + dv * 0.6),
    )
    canvas.add(frame, outline, Material.BARK, _BARK)
    if length > 0.55:
        for turn in (-1, 1) if dice.chance(0.7) else (-1, 0, 1):
            _branch(
                canvas, dice, frame, end, angle + turn * dice.between(0.25, 0.7), length * 0.68, max(girth * 0.6, 0.02)
            )


def draw_hedge(canvas: Canvas, dice: Dice, frame: Frame, length: float, leaf: Vector) -> None:
    """A clipped or a wild hedge along a frame, 0.7 to 1.8 metres high."""
    height, wild = dice.between(0.7, 1.8), dice.between(0.03, 0.3)
    count = max(3, int(length / 0.5))
    tops = [(length * i / count, height + wild * r) for i, r in enumerate(dice.array(count + 1).tolist())]
    outline = ((length, 0.0), (0.0, 0.0), *tops)
    canvas.add(
        frame, outline, Material.FOLIAGE, varied(dice, leaf, 0.2), pattern=(height * 0.6, height, dice.between(0, 40))
    )


def draw_bush(canvas: Canvas, dice: Dice, light: Light, x: float, z: float, leaf: Vector) -> None:
    """A bush, 0.8 to 2.2 metres high."""
    reach = dice.between(0.5, 1.3)
    disc_shadow(canvas, light, x, z, reach * 0.7, reach, reach * 0.7)
    _crown(canvas, dice, Frame((x, 0.0, z), X, Y), (0.0, reach * 0.7), (reach, reach * 0.7), varied(dice, leaf, 0.3))
