"""A pinhole camera in the street: x right, y up, z forward, in metres; pixels from the image's upper left corner."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Vector = tuple[float, float, float]
Points = npt.NDArray[np.float64]
NEAR = 0.3  # metres; nothing nearer is drawn


def dot(a: Vector, b: Vector) -> float:
    """Scalar product."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def cross(a: Vector, b: Vector) -> Vector:
    """Vector product."""
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])


@dataclass(frozen=True)
class Camera:
    """Where the camera stands and looks.

    Attributes:
        height, width: image size in pixels.
        focal: focal length in pixels.
        position: metres.
        right, up, forward: unit vectors, at right angles.
    """

    height: int
    width: int
    focal: float
    position: Vector
    right: Vector
    up: Vector
    forward: Vector

    @classmethod
    def looking(
        cls, size: tuple[int, int], focal: float, position: Vector, yaw: float = 0, pitch: float = 0, roll: float = 0
    ) -> Camera:
        """A camera turned right by `yaw`, up by `pitch` and clockwise by `roll`, in radians, from looking along z."""
        cy, sy, cp, sp, cr, sr = *_turn(yaw), *_turn(pitch), *_turn(roll)
        forward = (cp * sy, sp, cp * cy)
        level_right = (cy, 0.0, -sy)
        level_up = cross(forward, level_right)
        right = tuple(cr * r - sr * u for r, u in zip(level_right, level_up))
        up = tuple(sr * r + cr * u for r, u in zip(level_right, level_up))
        return cls(size[0], size[1], focal, position, (right[0], right[1], right[2]), (up[0], up[1], up[2]), forward)

    def to_camera(self, points: Points) -> tuple[Points, Points, Points]:
        """Points (N, 3) in the street → metres right of, above and ahead of the camera."""
        x, y, z = (points[:, i] - self.position[i] for i in range(3))
        r, u, f = self.right, self.up, self.forward
        # Written out, since a matrix product may round differently from machine to machine.
        return x * r[0] + y * r[1] + z * r[2], x * u[0] + y * u[1] + z * u[2], x * f[0] + y * f[1] + z * f[2]

    def project(self, right: Points, above: Points, ahead: Points) -> tuple[Points, Points]:
        """Metres from the camera → pixels (x, y), to a sixteenth, where a pixel's centre is at one half."""
        scale = self.focal / ahead
        x, y = self.width / 2 + right * scale, self.height / 2 - above * scale
        return np.rint(x * 16) / 16, np.rint(y * 16) / 16

    def pixel_slopes(self, first_row: int, last_row: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """How far the pixels of rows first..last−1 look right and up per metre ahead: two (rows · W,) arrays."""
        x = ((np.arange(self.width) + 0.5 - self.width / 2) / self.focal).astype(np.float32)
        y = ((self.height / 2 - np.arange(first_row, last_row) - 0.5) / self.focal).astype(np.float32)
        return np.tile(x, len(y)), np.repeat(y, self.width)

    def world_slopes(
        self, x: npt.NDArray[np.float32], y: npt.NDArray[np.float32]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Pixel slopes → the step in the street, per metre ahead, along x, y and z."""
        r, u, f = (np.array(v, dtype=np.float32) for v in (self.right, self.up, self.forward))
        return (f[0] + x * r[0] + y * u[0], f[1] + x * r[1] + y * u[1], f[2] + x * r[2] + y * u[2])


def _turn(angle: float) -> tuple[float, float]:
    return math.cos(angle), math.sin(angle)


def clip_near(points: Sequence[Vector], near: float = NEAR) -> list[Vector]:
    """The part of a polygon that lies more than `near` metres ahead (Sutherland and Hodgman 1974).

    Args:
        points: corners as (right, above, ahead) of the camera.
    """
    kept: list[Vector] = []
    for i, b in enumerate(points):
        a = points[i - 1]
        if (a[2] >= near) != (b[2] >= near):
            s = (near - a[2]) / (b[2] - a[2])
            kept.append((a[0] + s * (b[0] - a[0]), a[1] + s * (b[1] - a[1]), near))
        if b[2] >= near:
            kept.append(b)
    return kept
