"""Geometry of augmentation in one resampling: a window of an image to a crop's size, straight, or turned and bent.

Coordinates are continuous pixels: pixel i covers i … i+1. Outside the image a crop shows the mean colour of the part
that is used, the ignored id in its labels, and 0 in its weights.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from segfield.data.augment_draw import Draw
from segfield.data.elastic import interpolate_displacements

Coordinates = tuple[Tensor, Tensor]


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
        part = part.flip(mirrored) if mirrored else part
        scaled = part.to(torch.float32, copy=True)
    else:
        scaled = part.float().mean((1, 2), keepdim=True).expand(-1, height, width).clone()
        scaled[:, to_rows, to_columns] = part
        scaled = scaled.flip(mirrored) if mirrored else scaled

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
    centres = (2 * torch.arange(target) + 1) * length
    nearest: Tensor = source.start + torch.div(centres, 2 * target, rounding_mode="floor")
    return nearest


def source_coordinates(draws: list[Draw], device: torch.device) -> Coordinates:
    """Where each pixel of the crops comes from: x (B, h, w) and y (B, h, w), continuous pixels of the source.

    All draws have the same crop size.
    """
    height, width = draws[0].size
    a, b, c, d, e, f = torch.tensor([_affine(one) for one in draws], device=device)[..., None, None].unbind(1)
    y = (torch.arange(height, device=device) + (0.5 - height / 2))[None, :, None]
    x = (torch.arange(width, device=device) + (0.5 - width / 2))[None, None, :]
    if any(one.displacements is not None for one in draws):
        grid = next(one.displacements.shape[-1] for one in draws if one.displacements is not None)
        still = torch.zeros(2, grid, grid)
        coarse = torch.stack([still if one.displacements is None else one.displacements for one in draws])
        field = interpolate_displacements(coarse.to(device), (height, width))
        y, x = y + field[:, 0], x + field[:, 1]
    return (a * x + c) + b * y, d * x + (e * y + f)


def _affine(one: Draw) -> tuple[float, float, float, float, float, float]:
    """Pixels from the crop's centre → pixels of the source: x' = a·x + b·y + c, y' = d·x + e·y + f."""
    window = one.window
    down, across = window.height / one.size[0], window.width / one.size[1]
    cos, sin = math.cos(one.angle), math.sin(one.angle)
    # Mirroring is the last thing to happen to the picture, so the first on the way back to the source.
    x_sign, y_sign = (-1 if one.flip else 1), (-1 if one.vertical_flip else 1)
    to_x = (across * cos * x_sign, -across * sin * y_sign, window.left + window.width / 2)
    to_y = (down * sin * x_sign, down * cos * y_sign, window.top + window.height / 2)
    return (*to_x, *to_y)


def warp(image: Tensor, maps: list[tuple[Tensor, float]], decisions: Draw) -> tuple[Tensor, list[Tensor]]:
    """What `resize_window` gives, turned and bent as well: the part of the image that is touched, sampled once.

    Where the window shrinks, that part is first made smaller by as much, with antialiasing.
    """
    x, y = source_coordinates([decisions], image.device)
    rows, columns = _touched(y, image.shape[1]), _touched(x, image.shape[2])
    part = image[None, :, rows, columns]
    part = part if part.dtype == torch.uint8 else part.float()
    shrink = _shrink(decisions)
    if shrink > 1:
        smaller = [max(1, round(side / shrink)) for side in part.shape[2:]]
        part = F.interpolate(part, smaller, mode="bilinear", antialias=True)
    grid = _grid(x - columns.start, y - rows.start, (rows.stop - rows.start, columns.stop - columns.start))
    part = part.float()
    mean = part.mean((2, 3), keepdim=True)
    # Less the mean, what is outside is 0.
    changed = F.grid_sample(part - mean, grid, align_corners=False).add_(mean)[0]
    return changed, [sample_map(values[None], (x, y), outside)[0] for values, outside in maps]


def sample_images(images: Tensor, coordinates: Coordinates, draws: list[Draw]) -> Tensor:
    """Images (B, C, H, W) at the coordinates, bilinearly: (B, C, h, w) float32.

    Where a window shrinks, the mean of four samples about each pixel's centre stands against aliasing.
    """
    (x, y), size = coordinates, (images.shape[2], images.shape[3])
    images = images.float()
    mean = images.mean((2, 3), keepdim=True)
    centred = images - mean
    shrinks = [_shrink(one) for one in draws]
    if max(shrinks) <= 1:
        return F.grid_sample(centred, _grid(x, y, size), align_corners=False) + mean
    # In pixels of the source. At a shrink of 2 the samples are 0.87 apart, at 1 they fall together.
    spreads = [0.25 * math.sqrt(max(1.0, shrink) ** 2 - 1) for shrink in shrinks]
    spread = torch.tensor(spreads, device=images.device)[:, None, None]
    samples = [
        F.grid_sample(centred, _grid(x + right * spread, y + down * spread, size), align_corners=False)
        for right, down in ((-1, -1), (-1, 1), (1, -1), (1, 1))
    ]
    return torch.stack(samples).mean(0) + mean


def sample_map(maps: Tensor, coordinates: Coordinates, outside: float) -> Tensor:
    """Maps (B, H, W) of any dtype at the coordinates, by nearest neighbour: (B, h, w), `outside` beyond the border."""
    height, width = maps.shape[1:]
    x, y = coordinates
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    flat = torch.where(inside, y.long() * width + x.long(), 0).flatten(1)
    picked = maps.flatten(1).gather(1, flat).view(inside.shape)
    return picked.masked_fill_(~inside, outside)


def _shrink(one: Draw) -> float:
    """Source pixels to a pixel of the crop, along the axis that shrinks more."""
    return max(one.window.height / one.size[0], one.window.width / one.size[1])


def _grid(x: Tensor, y: Tensor, size: tuple[int, int]) -> Tensor:
    """Continuous pixels (B, h, w) of an image of `size` → what `grid_sample` reads: (B, h, w, 2) in −1 … 1."""
    grid = torch.empty(*x.shape, 2, device=x.device)
    torch.sub(x * (2 / size[1]), 1, out=grid[..., 0])
    torch.sub(y * (2 / size[0]), 1, out=grid[..., 1])
    return grid


def _touched(coordinate: Tensor, length: int) -> slice:
    """The pixels along an axis that sampling at these coordinates may touch; one at least."""
    low, high = torch.aminmax(coordinate)
    first = min(max(0, math.floor(float(low)) - 2), length - 1)
    return slice(first, max(first + 1, min(length, math.ceil(float(high)) + 2)))
