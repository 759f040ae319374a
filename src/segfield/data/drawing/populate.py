"""Who and what is on the street at a moment, painted from the far end to the near one."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from segfield.data.drawing.buildings import draw_lot, draw_skyline, facing_street
from segfield.data.drawing.camera import Vector
from segfield.data.drawing.canvas import Canvas
from segfield.data.drawing.cars import draw_car
from segfield.data.drawing.dice import Dice
from segfield.data.drawing.furniture import (
    draw_bollard,
    draw_fence,
    draw_lamp,
    draw_sign,
    draw_traffic_light,
    draw_wire,
)
from segfield.data.drawing.light import Light, linear
from segfield.data.drawing.people import draw_person
from segfield.data.drawing.plants import draw_bush, draw_hedge, draw_tree
from segfield.data.drawing.street import (
    DRIVING,
    LAMP,
    LOT,
    PARKED,
    PEOPLE,
    POSTS,
    SIGHT,
    TREE,
    Lot,
    Profile,
    Street,
)

_BEHIND = 12.0  # metres behind the camera where things may still reach into the picture


@dataclass
class Moment:
    """A street at a time, as one camera sees it.

    Attributes:
        seconds: since the scene began.
        eye: the camera's place.
        speed: the camera's, metres a second.
    """

    street: Street
    light: Light
    profile: Profile
    lots: list[Lot]
    eye: Vector
    speed: float
    seconds: float
    things: list[tuple[float, Callable[[], None]]] = field(default_factory=list)

    @property
    def start(self) -> float:
        return self.eye[2] - _BEHIND

    @property
    def end(self) -> float:
        return self.eye[2] + SIGHT

    @property
    def lane(self) -> float:
        """Metres from the middle of the road to that of a lane; parked cars take two metres and a bit."""
        return (self.street.road - 2.2) / 2

    def put(self, x: float, z: float, clearance: float, draw: Callable[[], None]) -> None:
        """Have something drawn in its turn, unless it would stand in the camera's way."""
        ahead = z - self.eye[2]
        if ahead > clearance or (ahead > 0.4 and abs(x - self.eye[0]) > 1.15):
            self.add(x, z, draw)

    def add(self, x: float, z: float, draw: Callable[[], None]) -> None:
        """Have something drawn in its turn: the farther from the camera, the earlier."""
        self.things.append((math.hypot(x - self.eye[0], max(z - self.eye[2], 0.0)), draw))

    def aside(self, x: float, z: float) -> float:
        """Where someone who would be at (x, z) is after making way for the camera, from eight metres off on."""
        off = x - self.eye[0]
        need = max(0.0, 1.25 - abs(off))
        near = min(1.0, max(0.0, (8.0 - (z - self.eye[2])) / 5.0))
        return x + math.copysign(need * near * near * (3 - 2 * near), off)

    def wrapped(self, z: float, low: float, high: float) -> float:
        """`z` moved by whole stretches to lie low … high metres ahead of the camera: traffic never runs out."""
        return self.eye[2] + low + (z - self.eye[2] - low) % (high - low)


def populate(canvas: Canvas, moment: Moment) -> None:
    """Paint everything, the skyline first."""
    draw_skyline(canvas, moment.street, moment.eye[2])
    for lot in moment.lots:
        draw_lot(canvas, moment.street, lot)
        _yard(canvas, moment, lot)
    for place in (_trees, _lamps, _posts, _parked, _driving, _walkers, _crossers):
        place(canvas, moment)
    # Nothing beside the street can stand before what is in it, so one order by distance is right.
    for _, draw in sorted(moment.things, key=lambda thing: -thing[0]):
        draw()


def _yard(canvas: Canvas, moment: Moment, lot: Lot) -> None:
    """Trees, bushes, and a fence or hedge towards the pavement; in a side street, perhaps a waiting car."""
    street, side = moment.street, lot.side
    dice = Dice(street.seed, LOT, lot.number, side, 3)
    if lot.kind == "crossing":
        if dice.chance(0.5) and lot.near > moment.eye[2] + 4:
            x, z = side * (street.edge + dice.between(2.5, 9)), (lot.near + lot.far) / 2 + side * 1.6
            draw_car(canvas, dice, moment.light, x, z, -side * math.pi / 2)
        return
    if lot.kind == "block" or lot.far < moment.eye[2]:
        return
    length = lot.far - lot.near
    deep = max(lot.setback - 1.5, 0.0) if lot.kind == "house" else 9.0
    count = dice.whole(2, 5) if lot.kind == "garden" else dice.whole(0, 3)
    places = sorted(((lot.near + length * dice.roll(), dice.between(1, 1 + deep)) for _ in range(count)), reverse=True)
    for z, out in places:
        tall = lot.kind == "garden" or dice.chance(0.3)
        (draw_tree if tall and dice.chance(0.7) else draw_bush)(
            canvas, dice, moment.light, side * (street.edge + out), z, street.leaf
        )
    frame = facing_street(side, street.edge + 0.1, lot.far if side > 0 else lot.near)
    kind = dice.roll()
    if kind < 0.2:
        draw_hedge(canvas, dice, frame, length, street.leaf)
    elif kind < 0.92:
        draw_fence(canvas, dice, frame, length)


def _trees(canvas: Canvas, moment: Moment) -> None:
    street = moment.street
    for slot in range(int(moment.start // 8), int(moment.end // 8) + 1):
        for side in (-1, 1):
            dice = Dice(street.seed, TREE, slot, side)
            if dice.chance(street.trees):
                x, z = side * (street.road + dice.between(0.7, 1.1)), slot * 8 + dice.between(0, 3)
                if not moment.profile.is_crossing(z):
                    moment.put(x, z, 3.5, partial(draw_tree, canvas, dice, moment.light, x, z, street.leaf))


def _lamps(canvas: Canvas, moment: Moment) -> None:
    """Lamps in facing pairs; in some streets wires run across or along from one to the next."""
    street = moment.street
    plan = Dice(street.seed, LAMP)
    gap, height, along, offset = plan.between(17, 26), plan.between(5, 7.5), plan.chance(0.6), plan.between(0, 20)
    for slot in range(int((moment.start - offset) // gap), int((moment.end - offset) // gap) + 1):
        z, x = offset + slot * gap, street.road + 0.5
        for side in (-1, 1):
            moment.put(side * x, z, 2.5, partial(draw_lamp, canvas, moment.light, side, side * x, z, height))
        if street.wires and along and z > moment.eye[2] - gap:
            for aside in (0.0, 0.35):
                start, end = (x + aside, height + 0.1, z), (x + aside, height + 0.1, z + gap)
                moment.add(x, z + gap / 2, partial(draw_wire, canvas, start, end, 0.5))
        if street.wires and not along:
            ends = (-x, height - 0.3, z), (x, height - 0.3, z)
            moment.put(0.0, z, 1.5, partial(draw_wire, canvas, *ends, 0.4))


def _posts(canvas: Canvas, moment: Moment) -> None:
    """Signs, rows of bollards, railings; traffic lights at side streets."""
    street, light = moment.street, moment.light
    for slot in range(int(moment.start // 9), int(moment.end // 9) + 1):
        for side in (-1, 1):
            dice = Dice(street.seed, POSTS, slot, side)
            z, x = slot * 9 + dice.between(0, 8), side * (street.road + dice.between(0.35, 0.9))
            kind = dice.roll()
            if moment.profile.is_crossing(z):
                continue
            if kind < 0.4:
                moment.put(x, z, 2.2, partial(draw_sign, canvas, dice, light, x, z))
            elif kind < 0.5:
                colour = dice.choice((linear(70, 74, 78), linear(168, 40, 36), linear(120, 122, 124)))
                for i in range(5):
                    post = side * (street.road + 0.35), slot * 9 + i * 1.7
                    moment.put(*post, 1.5, partial(draw_bollard, canvas, light, *post, colour))
            elif kind < 0.7:
                _railing(canvas, moment, slot, side)
    for lot in moment.lots:
        if lot.kind == "crossing":
            x, z = lot.side * (street.road + 0.4), lot.near - 0.9
            phase = int(moment.seconds / 6 + lot.number) % 3
            moment.put(
                x,
                z,
                2.2,
                partial(draw_traffic_light, canvas, light, x, z, phase),
            )


def _railing(canvas: Canvas, moment: Moment, slot: int, side: int) -> None:
    """Eight metres of railing at the kerb, in pieces, so that each comes in its turn among the people behind it."""
    x = moment.street.road + 0.3
    for piece in range(4):
        z = slot * 9.0 + 2 * piece
        if z > moment.eye[2] - 3:
            # Equal dice make equal pieces.
            dice = Dice(moment.street.seed, POSTS, slot, side, 1)
            frame = facing_street(side, x, z + (2 if side > 0 else 0))
            moment.add(side * x, z + 1, partial(draw_fence, canvas, dice, frame, 2.0, ("railing", "bars")))


def _parked(canvas: Canvas, moment: Moment) -> None:
    street = moment.street
    for slot in range(int(moment.start // 6.3), int(moment.end // 6.3) + 1):
        for side in (-1, 1):
            dice = Dice(street.seed, PARKED, slot, side)
            if not dice.chance(street.parked):
                continue
            x, z = side * (street.road - 1.1 + dice.between(-0.1, 0.1)), slot * 6.3 + dice.between(-0.4, 0.4)
            heading = 0.0 if side > 0 or dice.chance(0.2) else math.pi
            if not moment.profile.is_crossing(z, 4.5):
                _car(canvas, moment, dice, x, z, heading)


def _car(canvas: Canvas, moment: Moment, dice: Dice, x: float, z: float, heading: float) -> None:
    if z > moment.eye[2] - 3 and (z > moment.eye[2] + 4.5 or abs(x - moment.eye[0]) > 1.6):
        # What counts is its near end: people who stand beside it are nearer than its bonnet.
        moment.add(x, z - 2.2, partial(draw_car, canvas, dice, moment.light, x, z, heading))


def _driving(canvas: Canvas, moment: Moment) -> None:
    street, lane, stretch = moment.street, moment.lane, 130.0
    own_lane = abs(moment.eye[0] - lane) < 1.5
    for way in (1, -1):
        plan = Dice(street.seed, DRIVING, way)
        slots = 7
        speed = plan.between(6, 12)
        if way > 0 and own_lane:
            speed = moment.speed
        for slot in range(slots):
            dice = Dice(street.seed, DRIVING, way, slot)
            if not dice.chance(street.traffic):
                continue
            start = (slot + dice.between(0.2, 0.8)) * stretch / slots
            sway = 1.2 * math.sin(moment.seconds * 0.6 + slot)
            low = 8.0 if way > 0 and own_lane else -8.0
            z = moment.wrapped(start + way * speed * moment.seconds + sway, low, low + stretch)
            _car(canvas, moment, dice, way * lane + dice.between(-0.15, 0.15), z, 0.0 if way > 0 else math.pi)


def _walkers(canvas: Canvas, moment: Moment) -> None:
    """People on the pavements; some go in pairs, some stand."""
    street, stretch = moment.street, 40.0
    for number in range(street.people):
        dice = Dice(street.seed, PEOPLE, number)
        side, pair = dice.choice((-1, 1)), dice.chance(0.35)
        pace = 0.0 if dice.chance(0.2) else dice.choice((-1, 1)) * dice.between(1.0, 1.6)
        out = street.road + street.verge + dice.between(0.5, street.edge - street.road - street.verge - 0.4)
        start, phase = dice.between(0, stretch), dice.between(0, 6)
        for member in range(2 if pair else 1):
            who = Dice(street.seed, PEOPLE, number, member)
            z = moment.wrapped(start + pace * moment.seconds + 0.25 * member, 0.5, 0.5 + stretch)
            x = moment.aside(side * out + 0.62 * member, z)
            stride = phase + member + pace * moment.seconds * 4.2
            moment.put(x, z, 3.0, partial(draw_person, canvas, who, moment.light, x, z, stride, False))


def _crossers(canvas: Canvas, moment: Moment) -> None:
    """People on the zebra crossings, and now and then one between the cars."""
    street = moment.street
    places = [lot.near - 2.6 for lot in moment.lots if lot.kind == "crossing" and lot.side > 0]
    stray = Dice(street.seed, PEOPLE, 0, 9)
    if stray.chance(0.4):
        places.append(stray.between(14, 40))
    for z in places:
        for number in range(Dice(street.seed, PEOPLE, int(z), 11).whole(0, 3)):
            dice = Dice(street.seed, PEOPLE, int(z), 12, number)
            pace, span = dice.choice((-1, 1)) * dice.between(1.0, 1.5), 2 * street.edge
            x = (dice.between(0, span) + pace * moment.seconds) % span - street.edge
            depth, stride = z + dice.between(-1, 1), pace * moment.seconds * 4.2 + number
            moment.put(
                x,
                depth,
                6.0,
                partial(draw_person, canvas, dice, moment.light, x, depth, stride, True),
            )
