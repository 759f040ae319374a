"""From light to the picture a camera would give: blur, exposure, vignette, sensor noise, and JPEG if asked for."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from segfield.data.drawing.dice import Dice
from segfield.data.drawing.light import Light
from segfield.data.drawing.noise import Floats


def expose(radiance: Floats, light: Light, scene: Dice, frame: Dice) -> npt.NDArray[np.uint8]:
    """The picture of a scene.

    Args:
        radiance: (3, H, W), linear.
        light: sets exposure and white balance.
        scene: draws what stays through a sequence: lens and exposure.
        frame: draws this picture's noise.

    Returns:
        (3, H, W) uint8.
    """
    _, height, width = radiance.shape
    stop, sharp, grain = scene.between(0.72, 1.3), scene.between(0.3, 0.62), scene.between(1.5, 4.5)
    sigma = sharp * max(1.0, min(height, width) / 400)
    blurred = ndimage.gaussian_filter(radiance, (0, sigma, sigma), truncate=2.5)
    bright = sum(0.55 * s * max(light.sun[1], 0.3) + a for s, a in zip(light.sunlight, light.skylight)) / 3
    gains = np.array([stop * g / bright for g in light.balance], dtype=np.float32)[:, None, None]
    exposed = blurred * gains * (np.float32(1.9) * _vignette(height, width, scene.between(0.05, 0.3)))
    # A soft shoulder keeps white walls and the sky from clipping; the root is the camera's gamma.
    toned = np.sqrt(exposed * (1 + exposed * np.float32(1 / 9)) / (1 + exposed))
    # Processing as in any camera: more contrast round the middle, more colour.
    toned += np.float32(0.35) * (toned - np.float32(0.5)) * np.clip(toned * (1 - toned) * 4, 0, 1)
    grey = toned.mean(axis=0)
    toned = grey + np.float32(1.25) * (toned - grey)
    noisy = toned * np.float32(255) + _noise(frame, radiance.shape, grain) * (np.float32(1.25) - toned)
    return np.asarray(np.clip(np.rint(noisy), 0, 255), dtype=np.uint8)


def _vignette(height: int, width: int, strength: float) -> Floats:
    x = (np.arange(width, dtype=np.float32) + np.float32(0.5)) / np.float32(width) * 2 - 1
    y = (np.arange(height, dtype=np.float32) + np.float32(0.5)) / np.float32(height) * 2 - 1
    return np.asarray(1 - np.float32(strength / 2) * (x * x + y[:, None] * y[:, None]), dtype=np.float32)


def _noise(dice: Dice, shape: tuple[int, ...], deviation: float) -> Floats:
    """Nearly normal noise of this deviation, in grey levels: sums of four bytes, alike on all machines."""
    count = int(np.prod(shape))
    total = dice.bytes(4 * count).reshape(4, count).astype(np.float32).sum(axis=0)
    grain: Floats = (total - np.float32(510)) * np.float32(deviation / 147.8)
    return grain.reshape(shape)


def through_jpeg(image: npt.NDArray[np.uint8], quality: int) -> npt.NDArray[np.uint8]:
    """The image (3, H, W) as it comes back from a JPEG file of this quality, 1..95."""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0))).save(file, "JPEG", quality=quality)
    return np.ascontiguousarray(np.asarray(Image.open(file)).transpose(2, 0, 1))
