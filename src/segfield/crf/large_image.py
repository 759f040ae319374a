"""Large images refined in overlapping tiles, so that the filters' memory stays bounded; blended without seams."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from segfield.classes import Array
from segfield.crf.arrays import is_tensor, like, namespace

# An image is refined whole up to this many pixels and values (pixels × classes): half a gigabyte an array of values.
WHOLE_PIXELS = 2**22
WHOLE_VALUES = 2**27
# Pixels further apart than this many standard deviations are too far to matter: exp(−2²/2) is an eighth, and the colour
# term and the normalisation take away from that.
OVERLAP_BANDWIDTHS = 2.0

Window = tuple[slice, slice]


def tile_side(height: int, width: int, classes: int, tile: int | None = None) -> int | None:
    """The side of the tiles in pixels, or None where the image is refined whole.

    Args:
        height, width: of the image.
        classes: how many there are.
        tile: the side asked for; None chooses by memory.
    """
    if tile is not None:
        return tile if max(height, width) > tile else None
    most = min(WHOLE_PIXELS, WHOLE_VALUES // classes)
    return None if height * width <= most else max(math.isqrt(most), 64)


def tile_overlap(side: int, sxy: float) -> int:
    """Pixels that neighbouring tiles share for a kernel of `sxy` pixels: at most a third of the side."""
    return min(math.ceil(OVERLAP_BANDWIDTHS * sxy), side // 3)


def refine_tiles(
    refine: Callable[[Window], Any], like_this: Any, classes: int, size: tuple[int, int], side: int, overlap: int
) -> Any:
    """Refine window after window and blend them linearly over their overlaps.

    Args:
        refine: takes (rows, columns) of a window and gives its probabilities (K, h, w).
        like_this: an array or tensor whose library and device the result takes.
        classes: K.
        size: (H, W) of the image.
        side, overlap: of the tiles, in pixels.

    Returns:
        (K, H, W) float32 probabilities.
    """
    down, across = (axis_weights(length, side, overlap) for length in size)
    blended = _zeros(like_this, (classes, *size))
    for rows, row_weights in down:
        for columns, column_weights in across:
            weights = like(row_weights[:, None] * column_weights, like_this)
            blended[:, rows, columns] += weights * refine((rows, columns))
    return blended


def axis_weights(length: int, side: int, overlap: int) -> list[tuple[slice, Array]]:
    """Spans of up to `side` pixels along one axis, with weights that sum to one at every pixel.

    Neighbours share at least `overlap` pixels; over what they share, one's weight falls as the other's rises.
    """
    count = 1 if length <= side else 1 + math.ceil((length - side) / (side - overlap))
    starts = [round(index * max(length - side, 0) / max(count - 1, 1)) for index in range(count)]
    pixel = np.arange(length, dtype=np.float64)
    rises = [np.ones(length)]
    for before, start in itertools.pairwise(starts):
        shared = before + side - start
        rises.append(np.clip((pixel - start + 0.5) / shared, 0, 1))
    rises.append(np.zeros(length))
    spans = []
    for start, rise, following in zip(starts, rises, rises[1:], strict=False):
        span = slice(start, min(start + side, length))
        spans.append((span, (rise - following)[span].astype(np.float32)))
    return spans


def _zeros(like_this: Any, shape: tuple[int, ...]) -> Any:
    xp = namespace(like_this)
    if is_tensor(like_this):
        return xp.zeros(shape, dtype=xp.float32, device=like_this.device)
    return xp.zeros(shape, dtype=np.float32)
