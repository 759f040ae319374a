"""One image of any size in, one Segmentation out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from segfield.classes import Array
from segfield.crf.refiner import Refine, Refiner, chosen_refiner, works_on
from segfield.data.images import fit_bands
from segfield.errors import DataError, SettingError
from segfield.inference.augmented import check_scales
from segfield.inference.memory import available_bytes
from segfield.inference.refining import refine_segmentation
from segfield.inference.tiles import TiledSegmenter, TilePlan, predict_tiled
from segfield.inference.views import Flips
from segfield.segmentation import Segmentation


def predict_image(
    segmenter: TiledSegmenter,
    image: Array,
    *,
    tile: int | None = None,
    overlap: int | None = None,
    flips: Flips = "none",
    scales: Sequence[float] = (1.0,),
    blend: str = "probabilities",
    keep_probabilities: bool | Literal["on_device"] = False,
    keep_entropy: bool = False,
    refine: Refine = "auto",
    name: str = "",
    on_lines: Callable[[int, int], None] | None = None,
) -> Segmentation:
    """Predict an image, by tiles where it is larger than one.

    Args:
        segmenter: what predicts.
        image: (C, H, W) in the numbers trained on (`in_own_units`); one band is shown to a three-band segmenter three times.
        tile: pixels a side of a tile; by default images of a moderate size go whole (`goes_whole`), and tiles of larger ones
            have 512 on the CPU, 1024 on a GPU.
        overlap: pixels neighbouring tiles share; from the segmenter's receptive margin by default.
        flips, scales: test-time augmentation.
        blend: what is averaged where tiles overlap, 'probabilities' or 'logits'.
        keep_probabilities: keep float16 (K, H, W); 'on_device' as a tensor where they were computed, if that has room.
        keep_entropy: keep float32 (H, W).
        refine: 'auto' as the segmenter carries it, 'off', 'on', or a refiner (`chosen_refiner`). A refiner needs the
            probabilities of the whole image: they are held in float16, (K, H, W). It is given the image as it is here.
        name: of the image, for files and messages.
        on_lines: called with (lines finished, lines in all).

    Raises:
        DataError: if the image's bands do not fit, or it or the network's scores hold NaN.
        SettingError: if a setting is out of range, or a tile does not fit into memory.
    """
    refiner = chosen_refiner(refine, segmenter.refiner, segmenter.values)
    raw, image = image, fit_bands(image, segmenter.bands, name)
    if refiner is not None:
        whole = predict_image(
            segmenter, image, tile=tile, overlap=overlap, flips=flips, scales=scales, blend=blend,
            keep_probabilities=kept_for(refiner, segmenter), refine="off", name=name, on_lines=on_lines,
        )  # fmt: skip
        return _refined(whole, raw, refiner, bool(keep_probabilities), keep_entropy)
    plan = plan_for(segmenter, image.shape[1], image.shape[2], tile, overlap, scales)
    classes = segmenter.classes
    labels = np.empty(image.shape[1:], dtype=classes.dtype)
    entropy = np.empty(labels.shape, dtype=np.float32) if keep_entropy else None
    kept = _place_for((len(classes), *labels.shape), segmenter.device, keep_probabilities)

    def consume(top: int, probabilities: Tensor) -> None:
        lines = slice(top, top + probabilities.shape[1])
        labels[lines] = probabilities.argmax(dim=0).cpu().numpy()
        if entropy is not None:
            entropy[lines] = _entropy(probabilities).cpu().numpy()
        if kept is not None:
            kept[:, lines] = probabilities.half()
        if on_lines is not None:
            on_lines(lines.stop, plan.height)

    try:
        predict_tiled(
            segmenter.window_logits, image, len(classes), plan, consume,
            device=segmenter.device, blend=blend, flips=flips, scales=scales,
        )  # fmt: skip
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        smaller = max(plan.tile_height, plan.tile_width) // 2
        where = f"image '{name}'" if name else "the image"
        raise SettingError(
            f"{where} ({plan.height}×{plan.width}) in tiles of {plan.tile_height}×{plan.tile_width} does not fit into "
            f"the memory of {segmenter.device}; give --tile {smaller}"
        ) from error
    stays = keep_probabilities == "on_device" and kept is not None and kept.device.type == segmenter.device.type
    found: Any = kept if stays or kept is None else kept.numpy()
    return Segmentation(labels, classes, probabilities=found, name=name, kept_entropy=entropy)


def kept_for(refiner: Refiner, segmenter: TiledSegmenter) -> bool | Literal["on_device"]:
    """How to keep the probabilities that a refiner is to be given: where they are computed, if it works there."""
    return "on_device" if works_on(refiner, segmenter.device) else True


def _place_for(shape: tuple[int, ...], device: torch.device, kept: bool | str) -> Tensor | None:
    """Room for float16 probabilities (K, H, W): on the device if they are to stay there and a quarter of it suffices."""
    if not kept:
        return None
    free = available_bytes(device) if kept == "on_device" else None
    return torch.empty(shape, dtype=torch.float16, device=device if free and 8 * math.prod(shape) < free else "cpu")


def tiling_for(
    segmenter: TiledSegmenter, tile: int | None = None, overlap: int | None = None, scales: Sequence[float] = (1.0,)
) -> tuple[int, int, int]:
    """(tile, overlap, margin) in pixels, with defaults filled in.

    The margin is the segmenter's receptive margin, more where the image is also seen smaller. By default it is at most
    a fifth of the tile: deep networks use little of what they could see, and larger overlaps multiply the work.

    Raises:
        SettingError: if tile or overlap is out of range.
    """
    check_scales(scales)
    if tile is None:
        tile = max(512 if torch.device(segmenter.device).type == "cpu" else 1024, 2 * segmenter.stride)
    if tile < 2 * segmenter.stride:
        raise SettingError(f"tile is {tile} pixels; give {2 * segmenter.stride} or more")
    margin = math.ceil(segmenter.receptive_margin / min(1.0, *scales))
    if overlap is None:
        stride = segmenter.stride
        wanted = math.ceil((2 * min(margin, tile // 5) + max(stride // 2, 1)) / stride) * stride
        overlap = min(wanted, max(tile // 2 // stride, 1) * stride)
    if not 1 <= overlap <= tile - segmenter.stride:
        raise SettingError(f"overlap is {overlap} pixels; with tiles of {tile}, give 1 to {tile - segmenter.stride}")
    return tile, overlap, max(0, min(margin, (overlap - max(segmenter.stride // 2, 1)) // 2))


def goes_whole(segmenter: TiledSegmenter, height: int, width: int, scales: Sequence[float] = (1.0,)) -> bool:
    """Whether an image goes through the network at once where neither tile nor overlap is given.

    So do up to 1024×1024 pixels on the CPU and 2048×2048 on a GPU, at the largest scale, and less of more than 32 classes:
    the network sees all of the image, and nothing is computed twice where tiles would overlap.
    """
    limit = 1024**2 if torch.device(segmenter.device).type == "cpu" else 2048**2
    return height * width * max(1.0, *scales) ** 2 * max(1.0, len(segmenter.classes) / 32) <= limit


def plan_for(
    segmenter: TiledSegmenter,
    height: int,
    width: int,
    tile: int | None = None,
    overlap: int | None = None,
    scales: Sequence[float] = (1.0,),
) -> TilePlan:
    """The tiles `predict_image` cuts an image of this size into."""
    if tile is None and overlap is None and goes_whole(segmenter, height, width, scales):
        tile = max(height, width, 2 * segmenter.stride)
    tile, overlap, margin = tiling_for(segmenter, tile, overlap, scales)
    return TilePlan.of(height, width, tile, margin, overlap, segmenter.stride)


def _refined(whole: Segmentation, image: Array, refiner: Refiner, probabilities: bool, entropy: bool) -> Segmentation:
    where = f"image '{whole.name}'" if whole.name else "the image"
    try:
        return refine_segmentation(whole, image, refiner, keep_probabilities=probabilities, keep_entropy=entropy)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        height, width = whole.labels.shape
        raise SettingError(
            f"the refinement of {where} ({height}×{width}, {len(whole.classes)} classes) does not fit into memory; "
            "give --refine off, or a smaller image"
        ) from error
    except DataError as error:
        raise DataError(f"{where}: {error}") from error


def _entropy(probabilities: Tensor) -> Tensor:
    """(K, lines, W) → (lines, W): −Σ p log p / log K."""
    if len(probabilities) == 1:
        return torch.zeros_like(probabilities[0])
    return (-torch.xlogy(probabilities, probabilities).sum(dim=0) / math.log(len(probabilities))).clamp_(0, 1)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of Python's, torch's or the GPU's says that memory was lacking."""
    words = str(error).lower()
    return (
        isinstance(error, MemoryError | torch.OutOfMemoryError)
        or "not enough memory" in words
        or "can't allocate" in words
    )
