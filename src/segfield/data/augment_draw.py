"""The random decisions of one augmented image, drawn before any pixel is touched: they follow from the seed alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from segfield.data.augmentation import AugmentationConfig
from segfield.data.elastic import coarse_displacements

Weights = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Window:
    """A rectangle of the source image, pixels; it may reach over the image's border."""

    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True)
class Draw:
    """What happens to one image.

    Attributes:
        size: (h, w) of the result, pixels.
        window: the part of the source that is shown there, before rotation.
        flip, vertical_flip: whether the result is mirrored.
        angle: radians, positive turns the picture counter-clockwise.
        displacements: (2, grid, grid) elastic displacements in pixels of the result, or None.
        brightness, contrast, saturation: factors.
        hue: turn of the colour circle, 1 for a whole one.
        blur: sigma in pixels of the result, 0 for none.
        noise: standard deviation as a share of the value range.
        noise_seed: seed of the noise.
    """

    size: tuple[int, int]
    window: Window
    flip: bool
    vertical_flip: bool
    angle: float
    displacements: Tensor | None
    brightness: float
    contrast: float
    saturation: float
    hue: float
    blur: float
    noise: float
    noise_seed: int

    @property
    def is_axis_aligned(self) -> bool:
        """Whether the change is scale, crop and flip alone."""
        return self.angle == 0 and self.displacements is None


def draw(
    config: AugmentationConfig, labels: Tensor, seed: int, rare_crops: float = 0.0, rare_weights: Weights | None = None
) -> Draw:
    """The decisions for one image.

    The seed's numbers are always taken in the same order, so switching one change on leaves the others as they were.

    Args:
        config: what is drawn, and how strong.
        labels: (H, W); only looked at for a rare-class crop.
        seed: 0 or more.
        rare_crops: share of crops centred on a pixel of a class drawn by `rare_weights`.
        rare_weights: (K,), see `crop_origin`.
    """
    rng = np.random.default_rng(seed)
    flip, vertical, scale, turn, bends, bright, contrast, saturation, hue, grey, blurs, blur, noise, rare = rng.random(
        14
    )
    height, width = (config.sized(side) for side in config.crop or labels.shape)
    magnification = config.size * _between(scale, *config.scale)
    size = (max(1, round(height / magnification)), max(1, round(width / magnification)))
    top, left = crop_origin(labels, size, rng, rare_weights if rare < rare_crops else None)
    noise_seed, bend_seed = (int(number) for number in rng.integers(0, 2**62, 2))
    displacements = None
    if config.elastic and bends < config.elastic_probability:
        generator = torch.Generator().manual_seed(bend_seed)
        displacements = coarse_displacements(config.elastic_grid, config.size * config.elastic, generator)
    return Draw(
        size=(height, width),
        window=Window(top, left, *size),
        flip=config.flip and flip < 0.5,
        vertical_flip=config.vertical_flip and vertical < 0.5,
        angle=float(np.deg2rad(_between(turn, -config.rotate, config.rotate))),
        displacements=displacements,
        brightness=_between(bright, 1 - config.brightness, 1 + config.brightness),
        contrast=_between(contrast, 1 - config.contrast, 1 + config.contrast),
        saturation=0.0 if grey < config.grey else _between(saturation, 1 - config.saturation, 1 + config.saturation),
        hue=_between(hue, -config.hue, config.hue),
        blur=_between(blur, *config.blur_sigma) if blurs < config.blur else 0.0,
        noise=noise * config.noise,
        noise_seed=noise_seed,
    )


def crop_origin(
    labels: Tensor, size: tuple[int, int], seed: int | np.random.Generator, rare_weights: Weights | None = None
) -> tuple[int, int]:
    """Top-left corner of a random crop, pixels; negative where the crop is larger than the image.

    Args:
        labels: (H, W) class ids.
        size: (h, w) of the crop.
        seed: a number, or a generator to go on from.
        rare_weights: (K,) relative probability of each class. Where given, a class is drawn among those in the labels,
            and the crop is centred on one of its pixels as far as the image allows. None: anywhere, evenly.
    """
    rng = np.random.default_rng(seed)
    room = [labels.shape[side] - size[side] for side in (0, 1)]
    corner = [int(rng.integers(min(0, slack), max(0, slack) + 1)) for slack in room]
    pixel = None if rare_weights is None else _pixel_of_a_class(labels, rare_weights, rng)
    if pixel is not None:
        for side in (0, 1):
            if room[side] > 0:
                corner[side] = min(max(0, pixel[side] - size[side] // 2), room[side])
    return corner[0], corner[1]


def _pixel_of_a_class(labels: Tensor, weights: Weights, rng: np.random.Generator) -> tuple[int, int] | None:
    """A random pixel of a class drawn by weight among the classes that are there; None if none of them is."""
    values = labels.cpu().numpy().ravel()
    drawable = np.flatnonzero(weights > 0)
    if not len(drawable):
        return None
    shares = weights[drawable] / weights[drawable].sum()
    # Drawn one after the other without replacement, the first class that is there is drawn as if only those there could
    # be: most often one look at the labels does.
    for c in rng.choice(drawable, len(drawable), replace=False, p=shares):
        positions = np.flatnonzero(values == c)
        if len(positions):
            row, column = divmod(int(positions[rng.integers(len(positions))]), labels.shape[1])
            return row, column
    return None


def _between(uniform: float, low: float, high: float) -> float:
    return float(low + uniform * (high - low))
