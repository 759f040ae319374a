"""Colour changes of augmentation: one affine map for brightness, contrast, saturation and hue; blur; noise."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from segfield.data.augment_draw import Draw

Matrix = npt.NDArray[np.float64]

# Luma of ITU-R BT.601, as in torchvision and Pillow.
_GREY = np.array([0.299, 0.587, 0.114])
# RGB → YIQ: luma, and two axes across it in which a turn changes the hue alone.
_YIQ = np.array([[0.299, 0.587, 0.114], [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])


def colour_map(one: Draw, bands: int) -> tuple[Matrix, Matrix]:
    """(matrix (C, C), pull (C, C)): the changed colour is matrix · colour + pull · mean colour of the image.

    In this order: brightness, contrast about the mean grey, saturation about the pixel's grey, hue about the grey axis.
    Without three bands, contrast is about each band's own mean, and saturation and hue do nothing.
    """
    if bands != 3:
        identity = np.eye(bands)
        return identity * one.brightness * one.contrast, identity * one.brightness * (1 - one.contrast)
    to_grey = np.tile(_GREY, (3, 1))
    saturate = one.saturation * np.eye(3) + (1 - one.saturation) * to_grey
    # Saturation and hue leave greys alone, so the mean grey passes through them as it is.
    matrix = one.brightness * one.contrast * saturate
    return hue_matrix(one.hue) @ matrix if one.hue else matrix, one.brightness * (1 - one.contrast) * to_grey


def hue_matrix(turn: float) -> Matrix:
    """(3, 3) turn of RGB colours about the grey axis in YIQ: 1/3 takes red towards green, luma stays."""
    cos, sin = math.cos(2 * math.pi * turn), math.sin(2 * math.pi * turn)
    # From red towards green the angle falls: red lies at 20° of the (I, Q) plane, green at −117°.
    rotation = np.array([[1, 0, 0], [0, cos, sin], [0, -sin, cos]])
    turned: Matrix = np.linalg.inv(_YIQ) @ rotation @ _YIQ
    return turned


def change_colours(images: Tensor, draws: list[Draw]) -> Tensor:
    """Colour maps of (B, C, H, W) float images, each by its own draw; without clipping."""
    bands = images.shape[1]
    matrices, pulls = zip(*(colour_map(one, bands) for one in draws))
    matrix = torch.tensor(np.stack(matrices), dtype=images.dtype, device=images.device)
    if torch.equal(matrix, torch.eye(bands, dtype=images.dtype, device=images.device).expand_as(matrix)):
        return images
    pull = torch.tensor(np.stack(pulls), dtype=images.dtype, device=images.device)
    flat = images.flatten(2)
    return torch.bmm(matrix, flat).add_(pull @ flat.mean(2, keepdim=True)).view_as(images)


def gaussian_blur(image: Tensor, sigma: float) -> Tensor:
    """Blur of a (C, H, W) float image, sigma in pixels, the border mirrored.

    Shifted copies are added up, one axis after the other: several times faster on a CPU than a depthwise convolution.
    """
    for axis in (2, 1):
        length = image.shape[axis]
        radius = min(math.ceil(3 * sigma), length - 1)
        weights = [math.exp(-((offset / sigma) ** 2) / 2) for offset in range(radius + 1)]
        total = weights[0] + 2 * sum(weights[1:])
        padding = (radius, radius, 0, 0) if axis == 2 else (0, 0, radius, radius)
        padded = F.pad(image, padding, mode="reflect")
        blurred = padded.narrow(axis, radius, length) * (weights[0] / total)
        for offset, weight in enumerate(weights[1:], start=1):
            for start in (radius - offset, radius + offset):
                blurred.add_(padded.narrow(axis, start, length), alpha=weight / total)
        image = blurred
    return image


def add_noise(image: Tensor, deviation: float, seed: int) -> Tensor:
    """Normal noise of a standard deviation, in the image's own units, from the seed."""
    generator = torch.Generator(device=image.device).manual_seed(seed)
    return image.add(torch.randn(image.shape, generator=generator, device=image.device), alpha=deviation)
