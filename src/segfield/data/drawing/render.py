"""From the map of faces to light and labels: where each pixel lies in the street, what it is made of, how it is lit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segfield.data.drawing import surfaces
from segfield.data.drawing.camera import Camera
from segfield.data.drawing.canvas import GROUND_FACE, SKY_FACE, Painted
from segfield.data.drawing.light import Light
from segfield.data.drawing.materials import CLASS_OF_MATERIAL, Material
from segfield.data.drawing.noise import Floats, blotches
from segfield.data.drawing.street import Profile, Street
from segfield.data.drawing.surfaces import Points

_BAND = 1 << 16  # pixels worked on at once, so that large scenes need little memory
_GRAIN = {
    Material.STONE: (0.08, 0.3),
    Material.BARK: (0.05, 0.8),
    Material.METAL: (0.05, 0.25),
    Material.BOARD: (0.1, 0.08),
    Material.PAINT: (0.2, 0.12),
    Material.TYRE: (0.05, 0.3),
    Material.PICKET: (0.05, 0.35),
}
# Leaves, clothes and round posts face everywhere at once, so the sun lights them from any side.
_ROUNDED = (Material.GRASS, Material.FOLIAGE, Material.BARK, Material.METAL, Material.CLOTH, Material.PICKET)


@dataclass(frozen=True)
class View:
    """What is rendered: a street in a light, seen by a camera."""

    street: Street
    light: Light
    profile: Profile
    camera: Camera


def render(view: View, painted: Painted) -> tuple[Floats, npt.NDArray[np.uint8]]:
    """Light that reaches the camera, (3, H, W) float32, and labels, (H, W) uint8."""
    height, width = view.camera.height, view.camera.width
    radiance = np.empty((3, height * width), dtype=np.float32)
    labels = np.empty(height * width, dtype=np.uint8)
    rows = max(1, _BAND // width)
    for first in range(0, height, rows):
        last = min(height, first + rows)
        pixels = slice(first * width, last * width)
        radiance[:, pixels], labels[pixels] = _band(view, painted, first, last)
    return radiance.reshape(3, height, width), labels.reshape(height, width)


def _band(view: View, painted: Painted, first: int, last: int) -> tuple[Floats, npt.NDArray[np.uint8]]:
    camera = view.camera
    face = painted.faces[first:last].ravel()
    x, y = camera.pixel_slopes(first, last)
    slopes = camera.world_slopes(x, y)
    plane = painted.planes.take(face, axis=1)
    toward = plane[0] * x + plane[1] * y + plane[2]
    depth = plane[3] / np.where(np.abs(toward) < 1e-6, np.float32(1e-6), toward)
    # Beyond the edge of a face seen at a slant its plane runs off to infinity; its corners bound it.
    depth = np.clip(depth, plane[12], plane[13])
    u = depth * (plane[4] * x + plane[5] * y + plane[6]) + plane[7]
    v = depth * (plane[8] * x + plane[9] * y + plane[10]) + plane[11]
    look = painted.looks.take(face, axis=1)
    points = Points(u, v, depth * np.float32(1 / camera.focal), painted.patterns, look[:3])
    material = look[4].astype(np.uint8)
    ground = face == GROUND_FACE
    where = np.flatnonzero(ground)
    material[where] = surfaces.ground_material(view.street, view.profile, u[where], v[where])
    albedo, glow = _albedo(view, points, face, material, look[3])
    place = [np.float32(c) + depth * s for c, s in zip(camera.position, slopes)]
    sun = _sun_by_face(view.light, painted).take(face) * _sunny(view, *place)
    sun[where] *= 1 - painted.shade[first:last].ravel()[where] * np.float32(0.86 / 255)
    sky = np.float32(0.62) + np.float32(0.38) * painted.normals[1].take(face)
    # Under cars and trees less of the sky is seen, too.
    sky[where] *= 1 - painted.shade[first:last].ravel()[where] * np.float32(0.3 / 255)
    lit = [
        albedo[i] * (np.float32(view.light.sunlight[i]) * sun + np.float32(view.light.skylight[i]) * sky + glow)
        for i in range(3)
    ]
    radiance = _haze(view.light, np.stack(lit), depth)
    heaven = np.flatnonzero(face == SKY_FACE)
    radiance[:, heaven] = sky_light(view.light, *(s[heaven] for s in slopes))
    return radiance, CLASS_OF_MATERIAL[material]


def _albedo(
    view: View, all_points: Points, face: npt.NDArray[np.int32], material: npt.NDArray[np.uint8], glow: Floats
) -> tuple[Floats, Floats]:
    """The colour, (3, N), and own light, (N,), of each pixel, one material after the other."""
    albedo, light = np.zeros_like(all_points.albedo), view.light
    horizon, zenith = (np.array(c, dtype=np.float32)[:, None] for c in (light.horizon, light.zenith))
    low, high = horizon * np.float32(0.25), (horizon + zenith) * np.float32(0.5)
    for kind in np.unique(material).tolist():
        if kind == Material.SKY:
            continue
        at = np.flatnonzero(material == kind)
        pattern = all_points.pattern.take(face[at], axis=1)
        p = Points(
            u=all_points.u[at],
            v=all_points.v[at],
            footprint=all_points.footprint[at],
            pattern=pattern,
            albedo=all_points.albedo[:, at],
        )
        if kind == Material.ROAD:
            albedo[:, at] = surfaces.road(view.street, view.profile, p)
        elif kind == Material.PAVEMENT:
            albedo[:, at] = surfaces.paving(view.street, p)
        elif kind == Material.GRASS:
            albedo[:, at] = surfaces.grass(view.street, p)
        elif kind == Material.FACADE:
            albedo[:, at], glow[at] = surfaces.facade(p, low, high, light.lit)
        elif kind == Material.FOLIAGE:
            albedo[:, at] = surfaces.foliage(p)
        elif kind == Material.GLASS:
            albedo[:, at] = surfaces.pane(p, low, high)
        elif kind == Material.CLOTH:
            albedo[:, at] = surfaces.cloth(p)
        else:
            albedo[:, at] = surfaces.speckled(p, *_GRAIN[Material(kind)])
    return np.clip(albedo, 0, 1), glow


def _sun_by_face(light: Light, painted: Painted) -> Floats:
    """How squarely each face meets the sun, (F,) 0..1."""
    n, s = painted.normals, [np.float32(c) for c in light.sun]
    cosine = n[0] * s[0] + n[1] * s[1] + n[2] * s[2]
    rounded = np.isin(painted.looks[4], _ROUNDED)
    squarely = np.where(rounded, np.float32(0.5) + np.float32(0.3) * cosine, np.maximum(cosine, 0))
    squarely[GROUND_FACE] = max(s[1], 0)
    return np.asarray(squarely, dtype=np.float32)


def _sunny(view: View, x: Floats, y: Floats, z: Floats) -> Floats:
    """How much of the sun house fronts leave to each place, (N,) 0..1: whether a ray towards it passes above them."""
    sun, profile = view.light.sun, view.profile
    if abs(sun[0]) < 1e-3:
        return np.ones_like(x)
    side = int(sun[0] > 0)
    front = profile.fronts[side][profile.cell(z)] * np.float32(1 if side else -1)
    for _ in range(2):
        # The front it meets may stand further back than the one abreast; looking twice is near enough.
        reach = np.maximum((front - x) / np.float32(sun[0]), 0)
        cell = profile.cell(z + reach * np.float32(sun[2]))
        front = profile.fronts[side][cell] * np.float32(1 if side else -1)
    above = y + reach * np.float32(sun[1]) - profile.heights[side][cell]
    return np.asarray(np.clip(above * np.float32(3) + np.float32(0.5), 0, 1), dtype=np.float32)


def _haze(light: Light, radiance: Floats, depth: Floats) -> Floats:
    """Air between: with distance everything takes on the horizon's colour."""
    thick = np.minimum(depth, 400) * np.float32(light.haze)
    # The first terms of the exponential: sums and products are the same on all machines.
    kept = 1 / (1 + thick + thick * thick * np.float32(0.5))
    air = np.array(light.horizon, dtype=np.float32)[:, None] * np.float32(0.85)
    return np.asarray(air + kept * (radiance - air), dtype=np.float32)


def sky_light(light: Light, x: Floats, y: Floats, z: Floats) -> Floats:
    """The sky's colour in directions (x, y, z), any length, (3, N): a gradient, clouds, and a glow round the sun."""
    length = np.sqrt(x * x + y * y + z * z)
    up = np.clip(y / length, 0, 1)
    zenith, horizon = (np.array(c, dtype=np.float32)[:, None] for c in (light.zenith, light.horizon))
    base = horizon + np.sqrt(up) * (zenith - horizon)
    slant = np.float32(9) / (np.maximum(y / length, 0) + np.float32(0.12))
    u, v = x / length * slant, z / length * slant
    drift = np.float32(40 * light.balance[0])
    puffs = blotches(u + drift, v, 0.6) + np.float32(0.35) * blotches(u, v + drift, 0.2)
    cover = np.clip((puffs + np.float32(light.clouds * 0.95 - 0.5)) * np.float32(3), 0, 1)
    bright = np.array(light.sunlight, dtype=np.float32)[:, None] * np.float32(0.3) + horizon * np.float32(0.55)
    grey = np.clip(1 - np.clip(puffs + np.float32(light.clouds - 0.7), 0, 1) * np.float32(0.7), 0, 1)
    base += cover * np.float32(0.9) * (bright * grey - base)
    s = [np.float32(c) for c in light.sun]
    glow = np.clip((x * s[0] + y * s[1] + z * s[2]) / length, 0, 1)
    for _ in range(4):
        glow = glow * glow
    return np.asarray(
        base + glow * np.array(light.sunlight, dtype=np.float32)[:, None] * np.float32(0.5), dtype=np.float32
    )
