"""Dense optical flow between two images, by OpenCV (an extra: `pip install segfield[video]`), and where it leads.

Kroeger, Timofte, Dai, Van Gool: Fast Optical Flow using Dense Inverse Search, ECCV 2016 (arXiv:1603.03590).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from segfield.classes import Array
from segfield.errors import DataError, SettingError

Flow = npt.NDArray[np.float32]
"""(H, W, 2) pixels to the right and down: what stands at p in the first image stands at p + flow[p] in the second."""

FlowBetween = Callable[[Array, Array], Flow]
"""What estimates flow from one image (C, H, W) to another."""

_SMALLEST = 16  # pixels a side below which OpenCV's search finds no patches


class DenseInverseSearch:
    """Estimates flow; one object a thread, because OpenCV's keeps its buffers.

    Raises:
        SettingError: if OpenCV is not installed.
    """

    def __init__(self) -> None:
        self._cv2 = load_opencv()
        self._search = self._cv2.DISOpticalFlow_create(self._cv2.DISOPTICAL_FLOW_PRESET_FAST)

    def __call__(self, first: Array, second: Array) -> Flow:
        """Flow from `first` to `second`, both (C, H, W) uint8 with C = 1 or 3.

        Raises:
            DataError: if the images differ in shape or are not of that form.
        """
        if first.shape != second.shape or first.ndim != 3 or first.dtype != np.uint8 or first.shape[0] not in (1, 3):
            raise DataError(
                f"flow is estimated between two images (1 or 3, H, W) uint8; found {first.shape} and {second.shape}"
            )
        height, width = first.shape[1:]
        beyond = [(0, max(0, _SMALLEST - side)) for side in (height, width)]
        found: Flow = self._search.calc(
            *(np.pad(self._grey(image), beyond, mode="edge") for image in (first, second)), None
        )
        return found[:height, :width]

    def _grey(self, image: Array) -> Array:
        if len(image) == 1:
            return np.ascontiguousarray(image[0])
        grey: Array = self._cv2.cvtColor(np.ascontiguousarray(image.transpose(1, 2, 0)), self._cv2.COLOR_RGB2GRAY)
        return grey


def load_opencv() -> Any:
    """The module cv2. Raises SettingError where it is not installed."""
    try:
        import cv2
    except ImportError as error:
        raise SettingError(
            f"optical flow is OpenCV's, which cannot be loaded ({error}); pip install segfield[video]"
        ) from error
    return cv2


class Places:
    """Where a flow leads, to the nearest pixel.

    Args:
        flow: (H, W, 2).

    Attributes:
        inside: (H, W) bool: whether the flow stays inside the image. Outside, the nearest border pixel is read.
    """

    def __init__(self, flow: Flow) -> None:
        height, width = flow.shape[:2]
        rows = np.rint(flow[..., 1]).astype(np.int32) + np.arange(height, dtype=np.int32)[:, None]  # (H, W)
        columns = np.rint(flow[..., 0]).astype(np.int32) + np.arange(width, dtype=np.int32)
        row, column = rows.clip(0, height - 1), columns.clip(0, width - 1)
        self.inside: npt.NDArray[np.bool_] = (rows == row) & (columns == column)
        self._flat = row * width + column

    def read(self, values: Array) -> Array:
        """The values (H, W) of the image the flow leads to: labels keep their ids, since nothing is averaged.

        Raises:
            DataError: if the sizes differ.
        """
        if values.shape != self._flat.shape:
            raise DataError(f"a flow of {self._flat.shape} leads nowhere in values of {values.shape}; give one size")
        found: Array = values.reshape(-1).take(self._flat)
        return found
