"""Canvas: flat faces in the street, collected back to front and painted into a map of which face each pixel shows.

Image and labels are both read off that one map, so the labels are exact for what is drawn.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from segfield.data.drawing.camera import NEAR, Camera, Vector, clip_near
from segfield.data.drawing.materials import Material

Outline = Sequence[tuple[float, float]]
X, Y, Z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
SKY_FACE, GROUND_FACE = 0, 1
_FAR = 4000.0


class Frame(NamedTuple):
    """A plane in the street: a point of it and two unit vectors in it. It faces along up × across."""

    origin: Vector
    across: Vector
    up: Vector


@dataclass(frozen=True)
class Painted:
    """What a canvas painted.

    Attributes:
        faces: (H, W) int32, the face each pixel shows: 0 sky, 1 ground, then the canvas's faces in order.
        planes: (14, F) float32: for depth, u and v from pixel slopes, and each face's nearest and farthest depth.
        normals: (3, F) float32, unit, towards the camera.
        looks: (5, F) float32: albedo, glow, material.
        patterns: (8, F) float32.
        shade: (H, W) uint8, how much sunlight objects take from the ground, 0..255.
    """

    faces: npt.NDArray[np.int32]
    planes: npt.NDArray[np.float32]
    normals: npt.NDArray[np.float32]
    looks: npt.NDArray[np.float32]
    patterns: npt.NDArray[np.float32]
    shade: npt.NDArray[np.uint8]


def rectangle(u: float, v: float, width: float, height: float) -> Outline:
    """The outline of an upright rectangle from its lower left corner."""
    return ((u, v), (u + width, v), (u + width, v + height), (u, v + height))


class Canvas:
    """Collects faces before a camera; what is added later lies in front.

    A scene has some thousands of faces, so their numbers go straight into flat arrays.
    """

    def __init__(self, camera: Camera) -> None:
        self.camera = camera
        self._rows = array("d")  # 14 numbers a face: origin, across, up, albedo, glow, material
        self._corners, self._counts = array("d"), array("l")
        self._patterns: dict[int, tuple[float, ...]] = {}
        self._shade_corners, self._shade_counts, self._strengths = array("d"), array("l"), array("l")
        ground = Frame((0.0, 0.0, 0.0), X, Z)
        self.add(ground, (), Material.SKY, (0.0, 0.0, 0.0))
        self.add(ground, (), Material.ROAD, (0.0, 0.0, 0.0))

    def shows_back(self, frame: Frame) -> bool:
        """Whether the camera stands behind a plane."""
        (ax, ay, az), (bx, by, bz), (x, y, z) = frame.across, frame.up, frame.origin
        eye = self.camera.position
        facing = (by * az - bz * ay) * (eye[0] - x) + (bz * ax - bx * az) * (eye[1] - y)
        return facing + (bx * ay - by * ax) * (eye[2] - z) <= 0

    def detail(self, z: float) -> float:
        """Pixels that a metre across the view takes at z."""
        return self.camera.focal / max(z - self.camera.position[2], NEAR)

    def add(
        self,
        frame: Frame,
        outline: Outline,
        material: Material,
        albedo: Vector,
        glow: float = 0.0,
        pattern: tuple[float, ...] = (),
    ) -> None:
        """Put a face in front of all that is there.

        Args:
            frame: the plane it lies in.
            outline: corners (u, v) in metres along the frame's across and up.
            material: how it looks and which class it is.
            albedo: linear red, green, blue, 0..1.
            glow: light of its own, in units of the albedo.
            pattern: up to eight numbers for the material's texture.
        """
        if pattern:
            self._patterns[len(self._counts)] = pattern
        self._rows.extend((*frame.origin, *frame.across, *frame.up, *albedo, glow, material))
        self._corners.extend(chain.from_iterable(outline))
        self._counts.append(len(outline))

    def shade(self, outline: Outline, strength: int) -> None:
        """Darken the ground within an outline of (x, z) in metres; strength 0..255."""
        self._shade_corners.extend(chain.from_iterable(outline))
        self._shade_counts.append(len(outline))
        self._strengths.append(strength)

    def paint(self) -> Painted:
        """Paint all faces, in order."""
        camera = self.camera
        rows = np.array(self._rows).reshape(-1, 14)
        origins, across, up = rows[:, :3], rows[:, 3:6], rows[:, 6:9]
        normals = _normals(origins, across, up, camera)
        counts = np.array(self._counts)
        owner = np.repeat(np.arange(len(counts)), counts)
        corners = np.array(self._corners).reshape(-1, 2)
        points = origins[owner] + corners[:, :1] * across[owner] + corners[:, 1:] * up[owner]
        index = Image.fromarray(_sky_and_ground(camera))
        depths = _fill(index, camera, points, counts, range(len(counts)))
        patterns = np.zeros((8, len(counts)), dtype=np.float32)
        for i, pattern in self._patterns.items():
            patterns[: len(pattern), i] = pattern
        return Painted(
            np.asarray(index),
            _planes(origins, across, up, normals, depths, camera),
            np.ascontiguousarray(normals.T.astype(np.float32)),
            np.ascontiguousarray(rows[:, 9:].T.astype(np.float32)),
            patterns,
            self._paint_shade(),
        )

    def _paint_shade(self) -> npt.NDArray[np.uint8]:
        mask = Image.new("L", (self.camera.width, self.camera.height))
        corners = np.array(self._shade_corners).reshape(-1, 2)
        points = np.stack([corners[:, 0], np.zeros(len(corners)), corners[:, 1]], axis=1)
        _fill(mask, self.camera, points, np.array(self._shade_counts), self._strengths.tolist())
        return np.asarray(mask)


def _sky_and_ground(camera: Camera) -> npt.NDArray[np.int32]:
    x, y = camera.pixel_slopes(0, camera.height)
    fall = camera.world_slopes(x, y)[1].reshape(camera.height, camera.width)
    return np.where(fall < -1e-3, np.int32(GROUND_FACE), np.int32(SKY_FACE))


def _normals(
    origins: npt.NDArray[np.float64], across: npt.NDArray[np.float64], up: npt.NDArray[np.float64], camera: Camera
) -> npt.NDArray[np.float64]:
    """Each face's unit normal on the side the camera sees, (F, 3)."""
    normals = np.stack([up[:, i - 2] * across[:, i - 1] - up[:, i - 1] * across[:, i - 2] for i in range(3)], axis=1)
    facing = ((np.array(camera.position) - origins) * normals).sum(axis=1)
    return np.where((facing < 0)[:, None], -normals, normals)


def _fill(
    image: Image.Image,
    camera: Camera,
    points: npt.NDArray[np.float64],
    counts: npt.NDArray[np.int64],
    values: Sequence[int],
) -> npt.NDArray[np.float64]:
    """Fill polygons, the next `count` of the points each, in order; gives their nearest and farthest depths, (2, F)."""
    depths = np.tile(np.array([[NEAR], [_FAR]]), len(counts))
    used = np.flatnonzero(counts > 0)
    if not len(used):
        return depths
    ends = np.cumsum(counts)
    starts = ends - counts
    right, above, ahead = camera.to_camera(points)
    x, y = camera.project(right, above, np.maximum(ahead, NEAR))
    first = starts[used]
    low, high = (f.reduceat(ahead, first) for f in (np.minimum, np.maximum))
    depths[:, used] = np.maximum(low, NEAR), np.maximum(high, NEAR)
    left, top = np.minimum.reduceat(x, first), np.minimum.reduceat(y, first)
    wide, tall = np.maximum.reduceat(x, first) - left, np.maximum.reduceat(y, first) - top
    # A polygon of a tenth of a pixel would still fill a whole one.
    seen = (left < camera.width) & (top < camera.height) & (left + wide > 0) & (top + tall > 0) & (wide * tall > 0.1)
    crossing = low < NEAR
    thin = _areas(x, y, first, ends[used]) < np.maximum(wide, tall)
    flat, pen = _pixels(x, y), ImageDraw.Draw(image)
    for i in np.flatnonzero((seen & ~crossing) | (crossing & (high > NEAR))).tolist():
        f = int(used[i])
        start, end = int(starts[f]), int(ends[f])
        outline = flat[2 * start : 2 * end]
        if crossing[i]:
            kept = np.array(clip_near(list(zip(*(a[start:end].tolist() for a in (right, above, ahead))))))
            outline = _pixels(*camera.project(*kept.T)) if len(kept) > 2 else []
        if outline:
            pen.polygon(outline, fill=values[f])
        if outline and thin[i]:
            # What is under a pixel thick lies between the rows here and there; its rim keeps it whole.
            pen.line(outline + outline[:2], fill=values[f])
    return depths


def _pixels(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> list[int]:
    """Corners as the pixels they lie in: Pillow cuts fractions off, which would shift all by half a pixel."""
    corners: list[int] = np.floor(np.stack([x, y], axis=1)).astype(np.int64).ravel().tolist()
    return corners


def _areas(
    x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Areas of the polygons whose corners lie at starts..ends of x and y, in square pixels."""
    following = np.arange(1, len(x) + 1)
    following[ends - 1] = starts
    doubled = np.add.reduceat(x * y[following] - x[following] * y, starts)
    return np.asarray(np.abs(doubled) / 2)


def _planes(
    origins: npt.NDArray[np.float64],
    across: npt.NDArray[np.float64],
    up: npt.NDArray[np.float64],
    normals: npt.NDArray[np.float64],
    depths: npt.NDArray[np.float64],
    camera: Camera,
) -> npt.NDArray[np.float32]:
    """The rows of `Painted.planes`: normal · (right, up, forward), the distance along it; likewise of u, of v."""
    axes = np.array([camera.right, camera.up, camera.forward])
    away = origins - np.array(camera.position)
    rows = []
    for vectors, sign in ((normals, 1.0), (across, -1.0), (up, -1.0)):
        rows += [(vectors * axis).sum(axis=1) for axis in axes]
        rows.append(sign * (vectors * away).sum(axis=1))
    return np.concatenate([np.stack(rows), depths]).astype(np.float32)
