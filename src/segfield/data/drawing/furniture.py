"""Thin things along the street: lamps, wires, signs, traffic lights, bollards, fences and railings."""

from __future__ import annotations

import math
from itertools import pairwise

from segfield.data.drawing.camera import Vector
from segfield.data.drawing.canvas import Canvas, Frame, Outline, X, Y, rectangle
from segfield.data.drawing.dice import Dice
from segfield.data.drawing.light import Light, linear, varied
from segfield.data.drawing.materials import Material
from segfield.data.drawing.shadows import strip_shadow

_STEEL, _WOOD = linear(92, 96, 98), linear(120, 98, 76)
_ROUND = [(math.cos(i * math.tau / 16), math.sin(i * math.tau / 16)) for i in range(16)]
_RED, _BLUE, _WHITE = linear(196, 26, 34), linear(22, 70, 160), linear(236, 236, 232)
_GREEN, _YELLOW, _BLACK = linear(20, 104, 66), linear(238, 190, 30), linear(24, 24, 26)


def draw_lamp(canvas: Canvas, light: Light, side: int, x: float, z: float, height: float) -> None:
    """A street lamp whose arm reaches over the roadway."""
    frame = Frame((x, 0.0, z), X, Y)
    canvas.add(frame, ((-0.14, 0), (0.14, 0), (0.08, height), (-0.08, height)), Material.METAL, _STEEL)
    reach = -side * 1.5
    arm = ((0.0, height - 0.09), (reach, height + 0.16), (reach, height + 0.24), (0.0, height + 0.06))
    canvas.add(frame, arm, Material.METAL, _STEEL)
    head = rectangle(reach - 0.35, height + 0.08, 0.7, 0.16)
    warm = (0.9, 0.72, 0.4)
    canvas.add(frame, head, Material.METAL, warm if light.lamps > 0.5 else linear(150, 150, 146), 4 * light.lamps)
    strip_shadow(canvas, light, x, z, 0.0, height, 0.07)


def draw_wire(canvas: Canvas, start: Vector, end: Vector, sag: float) -> None:
    """A wire that hangs from start to end, in ten straight pieces, three centimetres thick."""
    span = math.hypot(end[0] - start[0], end[2] - start[2])
    frame = Frame(start, ((end[0] - start[0]) / span, 0.0, (end[2] - start[2]) / span), Y)
    pieces = 10
    line = [
        (span * s, (end[1] - start[1]) * s - 4 * sag * s * (1 - s)) for s in (i / pieces for i in range(pieces + 1))
    ]
    for (u0, v0), (u1, v1) in pairwise(line):
        canvas.add(frame, ((u0, v0), (u1, v1), (u1, v1 + 0.03), (u0, v0 + 0.03)), Material.METAL, _BLACK)


def draw_sign(canvas: Canvas, dice: Dice, light: Light, x: float, z: float) -> None:
    """A post with one or two signs: round, triangular, square or a green or blue board."""
    frame = Frame((x, 0.0, z), X, Y)
    height = dice.between(2.3, 3.0)
    canvas.add(frame, rectangle(-0.05, 0, 0.1, height), Material.METAL, linear(132, 136, 138))
    strip_shadow(canvas, light, x, z, 0.0, height, 0.2)
    low = height - 0.35
    kind = dice.choice(("limit", "warning", "blue", "stop", "board", "yield"))
    if kind == "board":
        ground = dice.choice((_GREEN, _GREEN, _BLUE, _YELLOW))
        wide, high = dice.between(1.1, 2.3), dice.between(0.6, 1.1)
        for inset, colour in ((0.0, _WHITE), (0.05, ground)):
            outline = rectangle(-wide / 2 + inset, low + inset, wide - 2 * inset, high - 2 * inset)
            canvas.add(frame, outline, Material.BOARD, colour)
        for line in range(2):
            text = rectangle(
                -wide * 0.38, low + high * (0.25 + 0.32 * line), wide * dice.between(0.4, 0.75), high * 0.13
            )
            canvas.add(frame, text, Material.BOARD, _WHITE)
        return
    _plate(canvas, dice, frame, low, kind)
    if dice.chance(0.35):
        canvas.add(frame, rectangle(-0.3, low - 0.62, 0.6, 0.26), Material.BOARD, _WHITE)


def _plate(canvas: Canvas, dice: Dice, frame: Frame, middle: float, kind: str) -> None:
    radius = dice.between(0.42, 0.6)
    turned = {"warning": (3, math.pi / 2), "yield": (3, -math.pi / 2), "stop": (8, math.pi / 8)}
    layers = {
        "limit": (_RED, _WHITE),
        "warning": (_RED, _WHITE),
        "yield": (_RED, _WHITE),
        "blue": (_WHITE, _BLUE),
        "stop": (_WHITE, _RED),
    }[kind]
    for share, colour in zip((1.0, 0.72 if kind in ("limit", "warning", "yield") else 0.9), layers):
        corners, first = turned.get(kind, (16, 0.0))
        r = radius * share * (1.25 if corners == 3 else 1)
        angles = [first + i * math.tau / corners for i in range(corners)]
        canvas.add(frame, [(r * math.cos(a), middle + r * math.sin(a)) for a in angles], Material.BOARD, colour)
    if kind != "yield":
        mark = _BLACK if layers[1] == _WHITE else _WHITE
        shape = rectangle(-radius * 0.4, middle - 0.06, radius * 0.8, 0.13)
        canvas.add(frame, shape if kind != "blue" else rectangle(-0.06, middle - 0.2, 0.12, 0.4), Material.BOARD, mark)


def draw_traffic_light(canvas: Canvas, light: Light, x: float, z: float, phase: int) -> None:
    """A post with a traffic light of three lamps, of which number `phase` (0 red, 1 amber, 2 green) burns."""
    frame = Frame((x, 0.0, z), X, Y)
    canvas.add(frame, rectangle(-0.06, 0, 0.12, 3.2), Material.METAL, _STEEL)
    canvas.add(frame, rectangle(-0.22, 2.3, 0.44, 1.1), Material.BOARD, _BLACK)
    strip_shadow(canvas, light, x, z, 0.0, 3.3, 0.15)
    for i, colour in enumerate((linear(235, 40, 30), linear(240, 170, 30), linear(30, 210, 110))):
        shade = 1.0 if i == phase else 0.08
        outline = [(0.13 * c, 3.22 - i * 0.35 + 0.13 * s) for c, s in _ROUND]
        lamp = (colour[0] * shade, colour[1] * shade, colour[2] * shade)
        canvas.add(frame, outline, Material.BOARD, lamp, 2.0 if i == phase else 0.0)


def draw_bollard(canvas: Canvas, light: Light, x: float, z: float, colour: Vector) -> None:
    """A post of one metre that keeps cars off the pavement."""
    frame = Frame((x, 0.0, z), X, Y)
    canvas.add(frame, rectangle(-0.08, 0, 0.16, 1.0), Material.METAL, colour)
    canvas.add(frame, rectangle(-0.085, 0.8, 0.17, 0.1), Material.METAL, _WHITE)
    strip_shadow(canvas, light, x, z, 0.0, 1.0, 0.08)


_GARDEN_FENCES = ("pickets", "pickets", "bars", "boards", "railing")


def draw_fence(
    canvas: Canvas, dice: Dice, frame: Frame, length: float, kinds: tuple[str, ...] = _GARDEN_FENCES
) -> None:
    """A fence along a frame: wooden pickets, iron bars, boards, or a railing of posts and rails."""
    kind = dice.choice(kinds)
    wood = varied(dice, dice.choice((_WOOD, linear(226, 222, 212), linear(96, 74, 58), linear(110, 130, 110))), 0.2)
    iron = varied(dice, dice.choice((linear(40, 44, 46), linear(30, 60, 46), linear(120, 124, 128))), 0.2)
    if kind == "boards":
        height = dice.between(1.3, 1.9)
        step = 1.6
        for i in range(max(1, int(length / step))):
            canvas.add(frame, rectangle(i * step, 0.05, step - 0.05, height), Material.PICKET, varied(dice, wood, 0.15))
        return
    colour, height = (wood if kind == "pickets" else iron), dice.between(0.9, 1.4)
    rails: tuple[float, ...] = (0.25, height - 0.25) if kind != "railing" else (0.3, height * 0.62, height - 0.06)
    for v in rails:
        canvas.add(frame, rectangle(0, v, length, 0.07), Material.PICKET, colour)
    step, wide = {"pickets": (0.2, 0.11), "bars": (0.22, 0.045), "railing": (2.0, 0.09)}[kind]
    for i in range(int(length / step) + 1):
        top: Outline = rectangle(i * step, 0.05, wide, height)
        if kind == "pickets":
            u = i * step
            top = ((u, 0.05), (u + wide, 0.05), (u + wide, height), (u + wide / 2, height + 0.08), (u, height))
        canvas.add(frame, top, Material.PICKET, colour)
