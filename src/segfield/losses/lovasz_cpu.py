"""The CPU form of `lovasz.error_slopes`: one integer sort and two compiled passes a class.

The bits of a non-negative float32 sort like the number, so an error, its pixel and whether it is foreground fit in
one 64-bit key, and numpy's vectorised sort takes it: some ten times faster than torch.sort on a million pixels.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Keys = npt.NDArray[np.uint64]


def fill_slopes(predicted: Floats, known: npt.NDArray[np.int64], slopes: Floats, c: int) -> None:
    """Writes class c's slopes into `slopes[:, c]`.

    Args:
        predicted: (B, K, H, W) probabilities.
        known: (B, H, W) labels, −1 where ignored; at least one is c, fewer than 2³¹ in all.
        slopes: (B, K, H, W), written at valid pixels alone.
        c: class id.
    """
    images, classes = predicted.shape[:2]
    keys = np.empty(known.size, dtype=np.uint64)
    flat = (images, classes, -1)
    count, foreground = _error_keys(predicted.reshape(flat), known.reshape(images, -1), c, keys)
    keys = keys[:count]
    keys.sort()
    _walk_down(keys, foreground, slopes.reshape(flat), c)


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def _error_keys(predicted: Any, known: Any, c: Any, keys: Any) -> Any:
    """Fills `keys` with (inverted error bits, pixel, foreground bit); returns how many, and how many are foreground."""
    count = 0
    foreground = 0
    error = np.empty(1, dtype=np.float32)
    bits = error.view(np.uint32)
    for b in range(known.shape[0]):
        for n in range(known.shape[1]):
            label = known[b, n]
            if label >= 0:
                mine = label == c
                score = predicted[b, c, n]
                error[0] = abs(np.float32(1) - score) if mine else score
                pixel = b * known.shape[1] + n
                high = np.uint64(np.uint32(0xFFFFFFFF) - bits[0])
                keys[count] = (high << np.uint64(32)) | np.uint64(2 * pixel + mine)
                count += 1
                foreground += mine
    return count, foreground


@numba.njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator, unused-ignore]
def _walk_down(keys: Any, foreground: Any, slopes: Any, c: Any) -> None:
    """`lovasz.jaccard_steps` along the sorted keys, written to the pixels they came from."""
    size = slopes.shape[2]
    right = float(foreground)
    union = float(foreground)
    for key in keys:
        low = np.int64(key & np.uint64(0xFFFFFFFF))
        pixel = low >> 1
        if low & 1:
            right -= 1.0
            slopes[pixel // size, c, pixel % size] = -1.0 / union
        else:
            union += 1.0
            slopes[pixel // size, c, pixel % size] = right / (union * (union - 1.0))
