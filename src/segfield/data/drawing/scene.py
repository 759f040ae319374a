"""A drawn street scene at a moment, and as a film: image and exact labels from a seed."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from segfield.data.drawing.camera import Camera
from segfield.data.drawing.canvas import Canvas
from segfield.data.drawing.dice import Dice
from segfield.data.drawing.lens import expose, through_jpeg
from segfield.data.drawing.light import draw_light
from segfield.data.drawing.populate import Moment, populate
from segfield.data.drawing.render import View, render
from segfield.data.drawing.street import PLACE, SENSOR, SIGHT, VIEW, Lot, Street, profile
from segfield.errors import SettingError

SMALLEST, LARGEST = 32, 8192  # pixels
Bytes = npt.NDArray[np.uint8]


def draw_scene(size: tuple[int, int], seed: int, time: float = 0.0, jpeg: int = 0) -> tuple[Bytes, Bytes]:
    """Draw a street. The same arguments give the same picture, on any machine with the same numpy and Pillow.

    Args:
        size: (H, W) in pixels, each 32 to 8192.
        seed: whole number from 0; each is another street, light and camera.
        time: seconds since the scene began: camera, cars and people move on.
        jpeg: quality 1..95 to pass the image through JPEG; 0: not.

    Returns:
        image (3, H, W) uint8 and labels (H, W) uint8, ids of `SCENE_CLASSES`.

    Raises:
        SettingError: if an argument is out of range.
    """
    _check(size, seed, time, jpeg)
    street, light = Street(seed), draw_light(Dice(seed, VIEW, 1))
    camera, speed = camera_at(street, size, time)
    start, end = camera.position[2] - 40, camera.position[2] + SIGHT + 60
    lots = street.lots(start, end)
    view = View(street, light, profile(street, lots, start, end), camera)
    canvas = Canvas(camera)
    populate(canvas, Moment(street, light, view.profile, _near(lots, camera), camera.position, speed, time))
    radiance, labels = render(view, canvas.paint())
    image = expose(radiance, light, Dice(seed, SENSOR), Dice(seed, SENSOR, round(time * 1000)))
    return (through_jpeg(image, jpeg) if jpeg else image), labels


def draw_sequence(size: tuple[int, int], seed: int, frames: int, fps: float = 17, jpeg: int = 0) -> tuple[Bytes, Bytes]:
    """A film of a street: images (T, 3, H, W) and labels (T, H, W), frames 1/fps seconds apart.

    Frame t is `draw_scene(size, seed, t / fps)`. The default rate is that of Cityscapes' films.

    Raises:
        SettingError: if an argument is out of range.
    """
    if frames < 1 or not 0 < fps <= 1000:
        raise SettingError(
            f"a sequence of {frames} frames at {fps} a second cannot be drawn; give frames >= 1 and fps up to 1000"
        )
    drawn = [draw_scene(size, seed, t / fps, jpeg) for t in range(frames)]
    return np.stack([image for image, _ in drawn]), np.stack([labels for _, labels in drawn])


def _near(lots: list[Lot], camera: Camera) -> list[Lot]:
    """The lots one can see; those that only cast shadows lie behind or far off."""
    return [lot for lot in lots if lot.far > camera.position[2] - 2 and lot.near < camera.position[2] + SIGHT]


def _check(size: tuple[int, int], seed: int, time: float, jpeg: int) -> None:
    if len(size) != 2 or not all(SMALLEST <= n <= LARGEST for n in size):
        raise SettingError(
            f"scenes of size {tuple(size)} cannot be drawn; give (H, W), each {SMALLEST} to {LARGEST} pixels"
        )
    if seed < 0:
        raise SettingError(f"the scene seed {seed} is negative; give a whole number from 0")
    if not 0 <= time <= 1e6:
        raise SettingError(
            f"the time {time} is not within 0 to 1,000,000 seconds; give the seconds since the scene began"
        )
    if not 0 <= jpeg <= 95:
        raise SettingError(
            f"the JPEG quality {jpeg} is not within 0 to 95; give 0 for none, or about 60 for a visible loss"
        )


def camera_at(street: Street, size: tuple[int, int], time: float) -> tuple[Camera, float]:
    """Where the camera is at a time, and its speed: most drive in the right lane, some stand, some go on foot."""
    dice = Dice(street.seed, VIEW)
    walking, standing = dice.chance(0.2), dice.chance(0.15)
    side = dice.choice((-1, 1))
    lane = (street.road - 2.2) / 2
    x = side * (street.road + street.verge + 1.2) if walking else lane + dice.between(-0.4, 0.4)
    speed = 0.0 if standing else dice.between(1.0, 1.6) if walking else dice.between(3, 10)
    eye = dice.between(1.5, 1.75) if walking else dice.between(1.2, 2.1)
    aim = -side * dice.between(0.05, 0.3) if walking else dice.between(-0.14, 0.14)
    swing, rate, phase = dice.between(0.01, 0.1), dice.between(0.3, 0.9), dice.between(0, 6)
    yaw = aim + swing * (math.sin(rate * time + phase) - math.sin(phase))
    shake = 0.004 * math.sin(7.3 * time) if speed else 0.0
    pitch, roll = dice.between(-0.06, 0.05) + shake, dice.between(-0.02, 0.02)
    place = Dice(street.seed, PLACE).between(0, 40) + speed * time
    # A field of view of 47 to 65 degrees across the longer side.
    focal = dice.between(0.78, 1.15) * max(size[1], 1.15 * size[0])
    return Camera.looking(size, focal, (x, eye, place), yaw, pitch, roll), speed
