"""One frame of a video → its labels, with the least delay: whole, without tiles, unless tiles or a refiner are asked for."""

from __future__ import annotations

import time
from array import array
from collections.abc import Sequence

import torch
from torch import Tensor

from segfield.classes import Array
from segfield.crf.refiner import Refiner
from segfield.data.images import fit_bands
from segfield.errors import SettingError
from segfield.inference.augmented import augmented_probabilities, check_flips, check_scales
from segfield.inference.finite import finite
from segfield.inference.image import is_out_of_memory, predict_image
from segfield.inference.smoothing import FlowSmoother
from segfield.inference.tiles import TiledSegmenter
from segfield.inference.views import Flips
from segfield.segmentation import Segmentation


class FramePredictor:
    """Predicts a clip's frames in order, and keeps how long each took.

    Args:
        segmenter: what predicts.
        tile, overlap: of tiles, in pixels; None predicts whole frames.
        flips, scales: averaged over, as for images.
        refiner: run on every frame; None for none.
        smoother: smooths the probabilities from frame to frame; None for none.

    Attributes:
        latencies: seconds of each frame, from its pixels in memory to its labels in memory: scaling, network, argmax and,
            where asked for, averaging, refiner, flow and smoothing. Four bytes a frame.
    """

    def __init__(
        self,
        segmenter: TiledSegmenter,
        *,
        tile: int | None = None,
        overlap: int | None = None,
        flips: Flips = "none",
        scales: Sequence[float] = (1.0,),
        refiner: Refiner | None = None,
        smoother: FlowSmoother | None = None,
    ) -> None:
        check_scales(scales)
        check_flips(flips)
        self.segmenter = segmenter
        self.smoother = smoother
        self.latencies = array("f")
        self._tile, self._overlap, self._flips, self._scales = tile, overlap, flips, tuple(scales)
        self._refiner = refiner
        self._by_image = tile is not None or refiner is not None

    @torch.inference_mode()
    def __call__(self, image: Array, name: str = "") -> Array:
        """(C, H, W) uint8 → (H, W) ids.

        Raises:
            DataError: if the bands do not fit, or scores are NaN or infinite.
            SettingError: if the frame does not fit into memory.
        """
        began = time.perf_counter()
        try:
            labels = self._labels(image, name)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            _, height, width = image.shape
            raise SettingError(
                f"a frame of '{name}' ({height}×{width}) does not fit whole into the memory of {self.segmenter.device}; "
                f"give --tile {max(height, width) // 2}"
            ) from error
        self.latencies.append(time.perf_counter() - began)
        return labels

    def _labels(self, image: Array, name: str) -> Array:
        if self._by_image and self.smoother is None:
            return self._predicted(image, name).labels
        scores = self._scores(image, name)
        if self.smoother is not None:
            scores = self.smoother(image, scores)
        labels: Array = scores.argmax(dim=0).cpu().numpy()  # (K, H, W) → (H, W)
        return labels.astype(self.segmenter.classes.dtype)

    def _scores(self, image: Array, name: str) -> Tensor:
        """(K, H, W) whose largest is the class; probabilities where they are smoothed."""
        if self._by_image:
            return torch.from_numpy(self._predicted(image, name).probabilities).float()
        own = self.segmenter.in_own_units(image, name)
        frame = torch.from_numpy(fit_bands(own, self.segmenter.bands, name))[None].to(self.segmenter.device).float()
        window_logits = finite(self.segmenter.window_logits)
        if self.smoother is None and self._flips == "none" and self._scales == (1.0,):
            return window_logits(frame)[0]  # softmax keeps the order
        return augmented_probabilities(window_logits, frame, self._flips, self._scales)[0]

    def _predicted(self, image: Array, name: str) -> Segmentation:
        whole = max(*image.shape[1:], 2 * self.segmenter.stride)
        return predict_image(
            self.segmenter, self.segmenter.in_own_units(image, name), tile=self._tile or whole,
            overlap=self._overlap if self._tile else None, flips=self._flips,
            scales=self._scales, keep_probabilities=self.smoother is not None, refine=self._refiner or "off", name=name,
        )  # fmt: skip
