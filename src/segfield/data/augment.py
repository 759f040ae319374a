"""Augmentation: flips, scale, crop, rotation, elastic deformation, colour, blur and noise, all following from one seed.

Geometry is one resampling of what the crop shows: the image is never scaled whole to be cut afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from segfield.data.augment_draw import Draw, crop_origin, draw
from segfield.data.augmentation import AugmentationConfig
from segfield.data.colour import add_noise, change_colours, gaussian_blur
from segfield.data.resample import resize_window, sample_images, sample_map, source_coordinates, warp
from segfield.data.value_range import ValueRange

__all__ = ["Augmentation", "AugmentationConfig", "crop_origin"]


class Augmentation:
    """Random changes to training images.

    Args:
        config: what is changed, and how strongly.
        ignored_id: the label of what lies outside the image.
        rare_crops: share of crops, 0..1, centred on a pixel of a class drawn with probability inverse to its frequency.
        class_shares: (K,) share of each class among the training pixels, for `rare_crops`.
        values: what the images' numbers mean; by default all that their dtype can hold.

    >>> augmentation = Augmentation(AugmentationConfig(crop=(32, 48)), ignored_id=255)
    >>> image, labels = torch.zeros(3, 40, 60, dtype=torch.uint8), torch.zeros(40, 60, dtype=torch.uint8)
    >>> image, labels = augmentation(image, labels, seed=7)
    >>> image.shape, labels.shape
    (torch.Size([3, 32, 48]), torch.Size([32, 48]))
    """

    def __init__(
        self,
        config: AugmentationConfig,
        ignored_id: int,
        rare_crops: float = 0.0,
        class_shares: npt.ArrayLike | None = None,
        values: ValueRange | None = None,
    ) -> None:
        self.config = config
        self.ignored_id = ignored_id
        self.rare_crops = rare_crops
        self.values = values
        shares = np.zeros(0) if class_shares is None else np.asarray(class_shares, dtype=np.float64)
        self.rare_weights = np.where(shares > 0, 1 / np.where(shares > 0, shares, 1), 0)

    @overload
    def __call__(self, image: Tensor, labels: Tensor, seed: int) -> tuple[Tensor, Tensor]: ...
    @overload
    def __call__(
        self, image: Tensor, labels: Tensor, seed: int, weight_map: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]: ...
    def __call__(
        self, image: Tensor, labels: Tensor, seed: int, weight_map: Tensor | None = None
    ) -> tuple[Tensor, Tensor] | tuple[Tensor, Tensor, Tensor]:
        """One image, changed.

        Args:
            image: (C, H, W), uint8, uint16 or float.
            labels: (H, W), integers.
            seed: 0 or more; the result follows from it alone.
            weight_map: (H, W) pixel weights that go the labels' way.

        Returns:
            image (C, h, w) float32 in the value range it had (integer images are clipped to black and white), the
            mean of what is shown where it does not reach; labels (h, w), nearest neighbour, the ignored id outside;
            and, where a weight map was given, its crop (h, w), 0 outside.
        """
        decisions = self._draw(labels, seed)
        maps: list[tuple[Tensor, float]] = [(labels, self.ignored_id)]
        if weight_map is not None:
            maps.append((weight_map, 0))
        resample = resize_window if decisions.is_axis_aligned else warp
        changed, changed_maps = resample(image, maps, decisions)
        changed = self._finish(self._coloured(changed[None], [decisions])[0], decisions, image.dtype)
        if weight_map is not None:
            return changed, changed_maps[0], changed_maps[1]
        return changed, changed_maps[0]

    def recolour(self, image: Tensor, seed: int, dtype: torch.dtype) -> Tensor:
        """An image that is in place already: colours, blur and noise alone.

        Args:
            image: (C, h, w) float32 in the value range of its file.
            seed: 0 or more.
            dtype: of the file; integers are clipped to black and white.
        """
        decisions = draw(self.config, torch.empty(image.shape[1:]), seed)
        return self._finish(self._coloured(image[None].clone(), [decisions])[0], decisions, dtype)

    def batch(self, images: Tensor, labels: Tensor, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Many images of one size at once, on the device they are on: the same draws, every one by `grid_sample`.

        Equal seeds show the same crops as a call for each image; values differ by the interpolation where it shrinks.

        Args:
            images: (B, C, H, W), uint8, uint16 or float.
            labels: (B, H, W), integers.
            seeds: B numbers.

        Returns:
            images (B, C, h, w) float32, labels (B, h, w).
        """
        draws = [self._draw(one, seed) for one, seed in zip(labels, seeds, strict=True)]
        coordinates = source_coordinates(draws, images.device)
        changed = self._coloured(sample_images(images, coordinates, draws), draws)
        changed = torch.stack([self._finish(image, one, images.dtype) for image, one in zip(changed, draws)])
        return changed, sample_map(labels, coordinates, self.ignored_id)

    def _draw(self, labels: Tensor, seed: int) -> Draw:
        return draw(self.config, labels, seed, self.rare_crops, self.rare_weights)

    def _coloured(self, images: Tensor, draws: list[Draw]) -> Tensor:
        """Colours change about black, wherever that lies."""
        black = 0.0 if self.values is None else self.values.black
        return change_colours(images - black, draws) + black if black else change_colours(images, draws)

    def _finish(self, image: Tensor, decisions: Draw, dtype: torch.dtype) -> Tensor:
        """Blur, noise as a share of the range, and of integers the clip to it."""
        if decisions.blur:
            image = gaussian_blur(image, decisions.blur)
        highest = None if dtype.is_floating_point else float(torch.iinfo(dtype).max)
        if self.values is not None and highest is not None:
            highest = self.values.white
        if decisions.noise:
            span = highest if self.values is None else self.values.span
            span = float(image.max() - image.min()) if span is None else span
            image = add_noise(image, decisions.noise * span, decisions.noise_seed)
        return image if highest is None else image.clamp_(0, highest)
