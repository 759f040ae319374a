"""Albedo of every pixel: asphalt with markings, paving, house fronts with windows, leaves, cloth, fixed in place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segfield.data.drawing.materials import Material
from segfield.data.drawing.noise import Floats, blotches, scatter, stripe, texture
from segfield.data.drawing.street import Profile, Street

Cells = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Points:
    """What is known of some pixels, each (N,) float32 unless said otherwise.

    Attributes:
        u, v: metres on the face (of the ground: x and z in the street).
        footprint: metres one pixel covers, across the view.
        pattern: (8, N), the faces' texture numbers.
        albedo: (3, N), the faces' own colour.
    """

    u: Floats
    v: Floats
    footprint: Floats
    pattern: Floats
    albedo: Floats


def ground_material(street: Street, profile: Profile, x: Floats, z: Floats) -> npt.NDArray[np.uint8]:
    """Which material the ground has at (x, z): (N,) of ROAD, PAVEMENT, GRASS."""
    cell, side, aside = profile.cell(z), (x > 0).astype(np.int32), np.abs(x)
    crossing = profile.crossing[cell]
    verge = (aside < street.road + street.verge) & (aside > street.road + 0.15)
    grass = np.where(aside > street.edge, profile.green[side, cell], verge)
    material = np.where(grass, np.uint8(Material.GRASS), np.uint8(Material.PAVEMENT))
    material[(aside < street.road) | crossing] = Material.ROAD
    return material


def road(street: Street, profile: Profile, p: Points) -> Floats:
    """Asphalt with patches, wheel tracks, gutters and white markings: (3, N)."""
    x, z, lane = p.u, p.v, np.float32(street.road / 2)
    # The ground is seen at a slant: along the street a pixel covers far more than across.
    along = p.footprint * p.footprint * np.float32(60) + p.footprint
    shade = 1 + np.float32(0.5) * texture(x, z, 0.035, along) + np.float32(0.3) * texture(x, z, 0.3, along)
    shade += np.float32(0.55) * blotches(x, z, 0.11)
    patch_x, patch_z = np.floor(x / 1.7).astype(np.int32), np.floor(z / 4.5).astype(np.int32)
    shade *= np.where(scatter(patch_x, patch_z, street.seed & 0xFFFF) < 0.1, np.float32(0.72), np.float32(1))
    track = np.abs(np.abs(np.abs(x) - lane) - np.float32(0.8))
    shade *= 1 - np.float32(0.14) * np.maximum(0, 1 - track * 3)
    shade *= 1 - np.float32(0.4) * stripe(np.abs(x), street.road - 0.35, street.road, p.footprint)
    colour = np.array(street.asphalt, dtype=np.float32)[:, None] * shade
    paint = np.maximum(_markings(street, profile, x, z, p.footprint, along), 0)
    worn = np.clip(np.float32(1.15) + blotches(x, z, 0.03), 0, 1) * np.float32(0.85)
    return np.asarray(colour + paint * worn * (np.float32(0.62) - colour), dtype=np.float32)


def _markings(street: Street, profile: Profile, x: Floats, z: Floats, across: Floats, along: Floats) -> Floats:
    """How much of each pixel is white paint: middle dashes, edge lines, zebra crossings before side streets."""
    cell = profile.cell(z)
    open_road = ~profile.crossing[cell]
    dash = stripe(z - np.floor(z / 6) * 6, 0, 3, along)
    paint = stripe(x, -0.07, 0.07, across) * dash
    if street.kind != "suburb":
        paint = np.maximum(paint, stripe(np.abs(x), street.road - 2.25, street.road - 2.13, across))
    # Four metres ahead of a side street the cells say 'crossing': there the zebra lies.
    soon = (
        profile.crossing[np.minimum(cell + 16, len(profile.crossing) - 1)]
        & ~profile.crossing[np.minimum(cell + 5, len(profile.crossing) - 1)]
    )
    bars = stripe(x - np.floor(x), 0.25, 0.75, across) * (np.abs(x) < street.road)
    return np.asarray(np.where(soon, bars, paint) * open_road, dtype=np.float32)


def paving(street: Street, p: Points) -> Floats:
    """Slabs with dark joints between a light kerb and the houses: (3, N)."""
    along = p.footprint * p.footprint * np.float32(60) + p.footprint
    slab = np.float32(street.slab)
    i, j = np.floor(p.u / slab).astype(np.int32), np.floor(p.v / slab).astype(np.int32)
    joint = np.maximum(
        stripe(p.u - i * slab, 0, 0.03, p.footprint), stripe(p.v - j * slab, 0, 0.03, along) * np.float32(0.9)
    )
    shade = np.float32(0.88) + np.float32(0.22) * scatter(i, j, 5) * np.minimum(1, slab / along)
    shade += np.float32(0.35) * blotches(p.u, p.v, 0.07) + np.float32(0.3) * texture(p.u, p.v, 0.04, along)
    shade *= 1 - np.float32(0.45) * joint
    colour = np.array(street.paving, dtype=np.float32)[:, None] * shade
    kerb = stripe(np.abs(p.u), street.road, street.road + 0.16, p.footprint)
    return np.asarray(colour + kerb * (np.float32(0.36) - colour), dtype=np.float32)


def grass(street: Street, p: Points) -> Floats:
    """Lawn: (3, N)."""
    along = p.footprint * p.footprint * np.float32(40) + p.footprint
    shade = 1 + np.float32(0.9) * texture(p.u, p.v, 0.03, along) + np.float32(0.7) * blotches(p.u, p.v, 0.09)
    colour = np.array(street.lawn, dtype=np.float32)[:, None] * shade
    colour[0] *= 1 + np.float32(0.5) * blotches(p.v, p.u, 0.05)
    return colour


def facade(p: Points, glass_low: Floats, glass_high: Floats, lit_share: float) -> tuple[Floats, Floats]:
    """House fronts: (3, N) albedo and (N,) glow of lit windows.

    The pattern holds: window pitch across and up (m), window width and height as shares of it, height of the ground
    floor (m), height of the front (m), style (0 plaster, 1 brick, 2 glass, 3 bands), seed.

    Args:
        p: the pixels.
        glass_low, glass_high: (3, 1) what panes mirror low and high up.
        lit_share: how many windows have a lamp behind them.
    """
    pitch_u, pitch_v, share_u, share_v, base, height, style, seed = p.pattern
    above = p.v - base
    i, j = np.floor(p.u / pitch_u).astype(np.int32), np.floor(above / pitch_v).astype(np.int32)
    shop = above < 0
    in_u, in_v = p.u - i * pitch_u, np.where(shop, p.v, above - j * pitch_v)
    roll = scatter(i, np.where(shop, -1, j), seed.astype(np.int32))
    half_u = pitch_u * share_u * np.float32(0.5)
    low_v = np.where(shop, np.float32(0.5), pitch_v * (1 - share_v) * np.float32(0.55))
    high_v = np.where(shop, base - np.float32(0.7), low_v + pitch_v * share_v)
    wide = np.where(shop & (seed % 2 > 0.5), pitch_u * np.float32(0.44), half_u)
    middle = pitch_u * np.float32(0.5)
    pane = stripe(in_u, middle - wide, middle + wide, p.footprint) * stripe(in_v, low_v, high_v, p.footprint)
    rim = np.float32(0.11)
    framed = stripe(in_u, middle - wide - rim, middle + wide + rim, p.footprint)
    framed *= stripe(in_v, low_v - rim, high_v + rim, p.footprint)
    pane *= (p.v < height - 0.3) & (p.v > 0.3)
    framed *= (p.v < height - 0.3) & (p.v > 0.3)
    mullion = stripe(np.abs(in_u - middle), 0, 0.035, p.footprint) + stripe(in_v - low_v, 0.9, 0.95, p.footprint)
    colour = _wall(p, style, above, height)
    colour += framed * np.float32(0.75) * (np.where(style < 1.5, np.float32(0.5), np.float32(0.12)) - colour)
    climb = np.clip(p.v * np.float32(0.07) + (roll - np.float32(0.5)) * np.float32(0.9), 0, 1)
    glass = np.float32(0.04) + np.float32(0.5) * (glass_low + climb * (glass_high - glass_low)) * (
        np.float32(0.35) + np.float32(0.65) * roll
    )
    blind = scatter(j, i, seed.astype(np.int32)) < 0.16
    glass = np.where(blind & ~shop, np.float32(0.42), glass)
    bright = (scatter(i, j, seed.astype(np.int32) + 77) < np.where(shop, lit_share * 1.6, lit_share)).astype(np.float32)
    shine = pane * bright * np.where(shop, np.float32(1.2), np.float32(0.8))
    glass = np.where(bright > 0, np.array([[0.95], [0.72], [0.38]], dtype=np.float32), glass)
    glass *= 1 - np.float32(0.5) * np.minimum(mullion, 1)
    glow = shine * (np.float32(0.6) + np.float32(0.4) * roll)
    return np.asarray(colour + pane * (glass - colour), dtype=np.float32), np.asarray(glow, dtype=np.float32)


def _wall(p: Points, style: Floats, above: Floats, height: Floats) -> Floats:
    """Plaster, brick, metal or concrete, with a darker foot, ledges and a light cornice: (3, N)."""
    shade = 1 + np.float32(0.3) * blotches(p.u, p.v, 0.06) + np.float32(0.28) * texture(p.u, p.v, 0.05, p.footprint)
    course = np.floor(p.v / np.float32(0.15)).astype(np.int32)
    brick = np.floor(p.u / np.float32(0.3) + (course & 1) * np.float32(0.5)).astype(np.int32)
    fine = np.minimum(1, np.float32(0.1) / p.footprint)
    tint = (scatter(brick, course) - np.float32(0.5)) * np.float32(0.5) * fine
    joint = stripe(p.v - course * np.float32(0.15), 0, 0.02, p.footprint) * np.float32(0.4)
    shade += np.where(style == 1, tint - joint, 0)
    # Rain runs down from the cornice and splashes up from the pavement.
    shade *= 1 - np.float32(0.3) * np.clip(1 - p.v * np.float32(1.2), 0, 1)
    streak = texture(p.u, p.v * np.float32(0.08), 0.2, p.footprint) * np.clip(above * np.float32(0.12), 0, 1)
    colour = p.albedo * (shade + np.float32(0.35) * streak)
    ledge = np.maximum(stripe(above, -0.35, -0.1, p.footprint), stripe(p.v, height - 0.45, height - 0.08, p.footprint))
    return np.asarray(colour + ledge * (colour * np.float32(0.35) + np.float32(0.05)), dtype=np.float32)


def foliage(p: Points) -> Floats:
    """Leaves, lighter towards the top: (3, N). The pattern holds the crown's middle, its reach up, an offset."""
    middle, reach = p.pattern[0], np.maximum(p.pattern[1], np.float32(0.2))
    offset = p.pattern[2]
    lift = np.clip((p.v - middle) / reach, -1, 1)
    leaves = texture(p.u + offset, p.v, 0.07, p.footprint) + np.float32(0.7) * texture(
        p.u, p.v + offset, 0.25, p.footprint
    )
    shade = np.float32(0.85) + np.float32(0.35) * lift + np.float32(1.3) * leaves
    shade += np.float32(0.9) * blotches(p.u + offset, p.v, 0.045)
    colour: Floats = p.albedo * np.maximum(shade, np.float32(0.12))
    colour[0] *= 1 + np.float32(0.25) * lift
    return colour


def speckled(p: Points, cell: float, amount: float) -> Floats:
    """A plain colour with grain and wear: bark, metal, paint, tiles: (3, N)."""
    shade = 1 + np.float32(amount) * texture(p.u, p.v, cell, p.footprint)
    shade += np.float32(amount * 0.6) * blotches(p.u, p.v, cell * 0.5)
    return p.albedo * shade


def pane(p: Points, glass_low: Floats, glass_high: Floats) -> Floats:
    """A car's window: dark inside, with street and sky mirrored in it: (3, N). The pattern holds bottom and height."""
    lift = np.clip((p.v - p.pattern[0]) / np.maximum(p.pattern[1], np.float32(0.1)), 0, 1)
    wave = blotches(p.u + p.pattern[2], p.v, 0.02)
    mirrored = glass_low + np.clip(lift + np.float32(0.7) * wave, 0, 1) * (glass_high - glass_low)
    return np.asarray(p.albedo + np.float32(0.45) * mirrored, dtype=np.float32)


def cloth(p: Points) -> Floats:
    """Clothes with folds, and stripes where the pattern asks for them: (3, N)."""
    shade = 1 + np.float32(0.6) * texture(p.u * np.float32(2), p.v, 0.09, p.footprint)
    ridge = p.v * p.pattern[0]
    striped = (ridge - np.floor(ridge) < 0.45) & (p.pattern[0] > 0)
    return p.albedo * np.where(striped, shade * np.float32(0.4), shade)
