"""Geometry of augmentation in one resampling: a window of an image to a crop's size, straight, or turned and bent.

Coordinates are continuous pixels: pixel i covers i … i+1. Outside the image a crop shows the mean colour of what it shows of
it, the ignored id in its labels, and 0 in its weights.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from segfield.data.augment_draw import Draw
from segfield.data.elastic import interpolate_displacements


def resize_window(image: Tensor, maps: list[tuple[Tensor, float]], decisions: Draw) -> tuple[Tensor, list[Tensor]]:
    """The drawn window, scaled to the crop's size and mirrored; rotation and displacements are not looked at.

    Args:
        image: (C, H, W), any dtype; scaled bilinearly, with antialiasing where it shrinks.
        maps: maps (H, W) of any dtype, each with its value outside the image; scaled by nearest neighbour.
        decisions: what was drawn.

    Returns:
        image (C, h, w) float32 in the range it had; the maps (h, w).
    """
    window, (height, width) = decisions.window, decisions.size
    rows, to_rows = _visible(window.top, window.height, image.shape[1], height)
    columns, to_columns = _visible(window.left, window.width, image.shape[2], width)
    target = (to_rows.stop - to_rows.start, to_columns.stop - to_columns.start)
    mirrored = [axis for axis, wanted in ((-1, decisions.flip), (-2, decisions.vertical_flip)) if wanted]

    part = image[:, rows, columns]
    part = part if part.dtype == torch.uint8 else part.float()
    if part.shape[1:] != target:
        part = F.interpolate(part[None], target, mode="bilinear", antialias=True)[0]
    whole = target == (height, width)
    if whole:
        # A crop within the image, the common case: mirrored in its own dtype, which is the least to move.
        scaled = part.flip(mirrored).to(torch.float32, copy=part.data_ptr() == image.data_ptr())
    else:
        scaled = part.float().mean((1, 2), keepdim=True).expand(-1, height, width).clone()
        scaled[:, to_rows, to_columns] = part
        scaled = scaled.flip(mirrored)

    from_rows, from_columns = _nearest(rows, target[0]), _nearest(columns, target[1])
    changed = []
    for values, outside in maps:
        picked = values.index_select(0, from_rows).index_select(1, from_columns)
        if not whole:
            placed = values.new_full((height, width), outside)
            placed[to_rows, to_columns] = picked
            picked = placed
        changed.append(picked.flip(mirrored) if mirrored else picked)
    return scaled, changed


def _visible(start: int, length: int, size: int, target: int) -> tuple[slice, slice]:
    """Along one axis: what of a window lies in the image, and where that lies in the crop; a pixel each at least."""
    first, last = max(0, start), min(size, start + length)
    factor = target / length
    placed = round((first - start) * factor), round((last - start) * factor)
    begin = min(placed[0], target - 1)
    return slice(first, last), slice(begin, max(begin + 1, placed[1]))


def _nearest(source: slice, target: int) -> Tensor:
    """Source index for each of `target` pixels, by the pixels' centres."""
    length = source.stop - source.start
    return source.start + ((2 * torch.arange(target) + 1) * length).div(2 * target, rounding_mode="floor")


def source_coordinates(draws: list[Draw], device: torch.device) -> Tensor:
    """Where each pixel of the crops comes from: (B, h, w, 2), (x, y) in continuous pixels of the source.

    All draws have the same crop size.
    """
    height, width = draws[0].size
    numbers = torch.tensor([_affine(one) for one in draws], device=device)[:, :, None, None]  # (B, 6, 1, 1)
    y = torch.arange(height, device=device)[:, None] + (0.5 - height / 2)
    x = torch.arange(width, device=device)[None, :] + (0.5 - width / 2)
    if any(one.displacements is not None for one in draws):
        grid = next(one.displacements.shape[-1] for one in draws if one.displacements is not None)
        still = torch.zeros(2, grid, grid)
        coarse = torch.stack([still if one.displacements is None else one.displacements for one in draws])
        field = interpolate_displacements(coarse.to(device), (height, width))
        y, x = y + field[:, 0], x + field[:, 1]
    a, b, c, d, e, f = numbers.unbind(1)
    return torch.stack((a * x + b * y + c, d * x + e * y + f), dim=-1)


def _affine(one: Draw) -> tuple[float, float, float, float, float, float]:
    """Crop coordinates from the crop's centre → source coordinates: x' = a·x + b·y + c, y' = d·x + e·y + f."""
    down, across = one.window.height / one.size[0], one.window.width / one.size[1]
    cos, sin = math.cos(one.angle), math.sin(one.angle)
    # Mirroring is the last thing to happen to the picture, so the first on the way back to the source.
    x_sign, y_sign = (-1 if one.flip else 1), (-1 if one.vertical_flip else 1)
    centre_x, centre_y = one.window.left + one.window.width / 2, one.window.top + one.window.height / 2
    return (
        across * cos * x_sign,
        -across * sin * y_sign,
        centre_x,
        down * sin * x_sign,
        down * cos * y_sign,
        centre_y,
    )


def sample_images(images: Tensor, coordinates: Tensor, draws: list[Draw]) -> Tensor:
    """Images (B, C, H, W) at coordinates (B, h, w, 2), bilinearly: (B, C, h, w) float32.

    Where a window shrinks, the mean of four samples about each pixel's centre stands against aliasing.
    """
    size = torch.tensor([images.shape[3], images.shape[2]], device=images.device)
    grid = coordinates * (2 / size) - 1
    images = images.float()
    mean = images.mean((2, 3), keepdim=True)
    centred = images - mean  # what is outside is 0, the mean
    shrinks = [max(one.window.height / one.size[0], one.window.width / one.size[1]) for one in draws]
    if max(shrinks) <= 1:
        return F.grid_sample(centred, grid, align_corners=False) + mean
    # In pixels of the source. At a shrink of 2 the samples are 0.87 apart, at 1 they fall together.
    spread = torch.tensor([0.25 * math.sqrt(max(1.0, shrink) ** 2 - 1) for shrink in shrinks], device=images.device)
    total = torch.zeros_like(mean)
    for right, down in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
        shift = spread[:, None, None, None] * (2 / size) * torch.tensor([right, down], device=images.device)
        total = total + F.grid_sample(centred, grid + shift, align_corners=False)
    return total / 4 + mean


def sample_map(maps: Tensor, coordinates: Tensor, outside: float) -> Tensor:
    """Maps (B, H, W) of any dtype at coordinates (B, h, w, 2), by nearest neighbour: (B, h, w)."""
    height, width = maps.shape[1:]
    x, y = coordinates.floor().long().unbind(-1)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    flat = torch.where(inside, y * width + x, 0).flatten(1)
    picked = maps.flatten(1).gather(1, flat).view(inside.shape)
    return torch.where(inside, picked, torch.full((), outside, dtype=maps.dtype, device=maps.device))


def bounding_part(coordinates: Tensor, size: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of an image of `size` that sampling at coordinates (h, w, 2) may touch; one pixel at least."""
    slices = []
    for axis, length in ((1, size[0]), (0, size[1])):
        low, high = torch.aminmax(coordinates[..., axis])
        # One pixel for the bilinear neighbour, one for the samples about the centre.
        first = min(max(0, math.floor(float(low)) - 2), length - 1)
        slices.append(slice(first, max(first + 1, min(length, math.ceil(float(high)) + 2))))
    return slices[0], slices[1]
