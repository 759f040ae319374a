"""Prediction of an image of any size by overlapping tiles, blended without seams, in the memory of one row of tiles.

A tile's weight is zero within `margin` pixels of a border it shares with another tile, where its classifier lacks
context, and rises as sin² over the rest of the overlap (Ronneberger et al. 2015 crop the margin; the ramp hides what
remains beyond). At the image's own border a tile keeps full weight. Weights are a product of one along the rows and one
along the columns, each summing to 1 at every pixel, so nothing has to be divided afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from segfield.classes import Array, ClassTable
from segfield.crf.refiner import Refiner
from segfield.data.value_range import ValueRange
from segfield.errors import DataError, FileFormatError, SettingError
from segfield.inference.augmented import WindowLogits, augmented_probabilities, check_scales
from segfield.inference.devices import return_freed_memory
from segfield.inference.finite import finite
from segfield.inference.views import Flips

if TYPE_CHECKING:
    from segfield.inference.memory import NetworkBytes

Consume = Callable[[int, Tensor], None]
LINES_AT_ONCE = 64  # finished lines handed on together: what their consumer allocates stays small


class TiledSegmenter(Protocol):
    """What prediction asks of a segmenter."""

    @property
    def classes(self) -> ClassTable: ...
    @property
    def bands(self) -> int: ...
    @property
    def receptive_margin(self) -> int:
        """Pixels from a tile's border within which the lack of context matters."""
        ...

    @property
    def stride(self) -> int:
        """Tile origins must be multiples of it, so that every tile meets the same subsampling grid."""
        ...

    @property
    def device(self) -> torch.device: ...
    @property
    def refiner(self) -> Refiner | None:
        """What cleans the edges of its probabilities, where it carries such."""
        ...

    @property
    def values(self) -> ValueRange | None:
        """What the numbers of its images mean, where that is known."""
        ...

    def in_own_units(self, image: Array, name: str = "") -> Array:
        """An image of any kind in the numbers trained on; what `window_logits` and a refiner take."""
        ...

    def window_logits(self, tiles: Tensor) -> Tensor:
        """(B, C, h, w) raw image values, float32 → (B, K, h, w) logits, float32."""
        ...

    def network_bytes(self) -> NetworkBytes:
        """Memory of a tile's passage."""
        ...


class Span(NamedTuple):
    """Pixels start … stop−1 along one axis."""

    start: int
    stop: int


@dataclass(frozen=True)
class TilePlan:
    """How an image is cut into tiles.

    Attributes:
        height, width: of the image, in pixels.
        rows, columns: the tiles' spans along each axis. All starts are multiples of the stride, the last tile ends
            where the image ends, and neighbours share at least `overlap` pixels.
        margin: pixels at an inner tile border that count for nothing.
        overlap: the least that neighbours share.
    """

    height: int
    width: int
    rows: tuple[Span, ...]
    columns: tuple[Span, ...]
    margin: int
    overlap: int

    @classmethod
    def of(
        cls, height: int, width: int, tile: int = 512, margin: int = 64, overlap: int | None = None, stride: int = 32
    ) -> TilePlan:
        """Plan tiles of at most `tile` pixels a side; an image that fits goes whole, at its own size.

        Tiles are made as even and as small as their number allows. `overlap` is, by default, twice the margin and at
        least half a stride.

        Raises:
            DataError: if the image has no pixels.
            SettingError: if tile, margin and overlap do not fit together.
        """
        if height < 1 or width < 1:
            raise DataError(f"the image has no pixels: {height}×{width}")
        if stride < 1 or margin < 0:
            raise SettingError(f"stride must be 1 or more and margin 0 or more; found {stride} and {margin}")
        if overlap is None:
            overlap = _up(2 * margin + max(stride // 2, 1), stride)
        tile_size, shared = tile // stride * stride, math.ceil(overlap / stride) * stride
        if overlap < 2 * margin + 1 or tile_size - shared < stride:
            mend = _up(max(2 * margin + 1, overlap), stride) + stride
            raise SettingError(
                f"tile {tile}, overlap {overlap} and margin {margin} do not fit: the overlap must exceed twice the "
                f"margin, and the tile the overlap by {stride}; give --tile {mend}"
            )
        rows = _spans(height, tile, tile_size, shared, stride)
        columns = _spans(width, tile, tile_size, shared, stride)
        return cls(height, width, rows, columns, margin, overlap)

    @property
    def tile_height(self) -> int:
        """Of the tallest tile."""
        return max(stop - start for start, stop in self.rows)

    @property
    def tile_width(self) -> int:
        """Of the widest tile."""
        return max(stop - start for start, stop in self.columns)

    def __len__(self) -> int:
        return len(self.rows) * len(self.columns)


def _up(pixels: float, stride: int) -> int:
    return math.ceil(pixels / stride) * stride


def _spans(length: int, tile: int, tile_size: int, overlap: int, stride: int) -> tuple[Span, ...]:
    if length <= tile:
        return (Span(0, length),)
    count = math.ceil((length - overlap) / (tile_size - overlap))
    size = _up((length - overlap) / count + overlap, stride)
    steps = math.ceil((length - size) / stride)
    starts = [i * steps // (count - 1) * stride for i in range(count)] if count > 1 else [0]
    return tuple(Span(start, min(start + size, length)) for start in starts)


def blend_weights(spans: Sequence[Span], margin: int) -> list[npt.NDArray[np.float32]]:
    """The weight of each tile along one axis, summing to 1 at every pixel: one (stop − start,) float32 array a tile."""
    raw: list[npt.NDArray[np.float64]] = []
    for i, (start, stop) in enumerate(spans):
        centre: npt.NDArray[np.float64] = np.arange(stop - start, dtype=np.float64) + 0.5
        weight = np.ones(stop - start)
        if i > 0:
            weight = np.minimum(weight, _ramp(centre, spans[i - 1].stop - start, margin))
        if i + 1 < len(spans):
            weight = np.minimum(weight, _ramp(stop - start - centre, stop - spans[i + 1].start, margin))
        raw.append(weight)
    total = np.zeros(spans[-1].stop)
    for (start, stop), weight in zip(spans, raw):
        total[start:stop] += weight
    return [(weight / total[start:stop]).astype(np.float32) for (start, stop), weight in zip(spans, raw)]


def _ramp(distance: npt.NDArray[np.float64], overlap: int, margin: int) -> npt.NDArray[np.float64]:
    """sin² from 0 at `margin` pixels from the border to 1 at the neighbour's own margin."""
    rise: npt.NDArray[np.float64] = (
        np.sin(np.clip((distance - margin) / (overlap - 2 * margin), 0, 1) * (math.pi / 2)) ** 2
    )
    return rise


def predict_tiled(
    window_logits: WindowLogits,
    image: Array,
    classes: int,
    plan: TilePlan,
    consume: Consume,
    *,
    device: torch.device | str = "cpu",
    blend: str = "probabilities",
    flips: Flips = "none",
    scales: Sequence[float] = (1.0,),
    batch: int = 1,
) -> None:
    """Predict tile by tile, and hand finished lines on as soon as no later tile touches them.

    What is held is (K, tile height, W) float32, whatever the image's height.

    Args:
        window_logits: (B, C, h, w) raw values, float32 → (B, K, h, w) logits.
        image: (C, H, W), any real dtype; an array or a memory map, read a tile at a time.
        classes: K.
        plan: for this image's height and width.
        consume: called with the first line's number and probabilities (K, lines, W), from the top down, at most 64
            lines at once; the tensor lies on `device` and is overwritten after the call.
        device: where tiles go and results are blended.
        blend: 'probabilities' averages the tiles' softmax (bounded, as test-time augmentation averages); 'logits'
            averages logits and takes the softmax after.
        flips, scales: test-time augmentation, see `augmented_probabilities`.
        batch: tiles given to the classifier at once.

    Raises:
        SettingError: if a setting is out of range.
        DataError: if image and plan differ in size, or the image or a score holds NaN or infinity.
        FileFormatError: if the scores are not (B, K, h, w).
    """
    if blend not in ("probabilities", "logits"):
        raise SettingError(f"blend '{blend}' is unknown; choose probabilities or logits")
    if batch < 1:
        raise SettingError(f"batch is {batch}; give 1 or more tiles at once")
    check_scales(scales)
    if image.ndim != 3 or image.shape[1:] != (plan.height, plan.width):
        raise DataError(f"the plan is for an image (C, {plan.height}, {plan.width}); found {image.shape}")
    scores_of = _scores(finite(window_logits), blend, flips, scales)
    across = [torch.from_numpy(weight).to(device) for weight in blend_weights(plan.columns, plan.margin)]
    down = [torch.from_numpy(weight).to(device) for weight in blend_weights(plan.rows, plan.margin)]
    with torch.inference_mode():
        held = torch.zeros((classes, plan.tile_height, plan.width), device=device)
        for r, (top, bottom) in enumerate(plan.rows):
            for group in _groups(plan.columns, batch):
                tiles = torch.stack([_tile(image, top, bottom, plan.columns[c], device) for c in group])
                scores = _checked(scores_of(tiles), (len(group), classes, *tiles.shape[2:]))
                del tiles
                for c, score in zip(group, scores):
                    left, right = plan.columns[c]
                    if len(plan) > 1:
                        score.mul_(down[r][:, None]).mul_(across[c])
                    held[:, : bottom - top, left:right].add_(score)
                del scores, score
            finished = (plan.rows[r + 1].start if r + 1 < len(plan.rows) else plan.height) - top
            for first in range(0, finished, LINES_AT_ONCE):
                lines = held[:, first : min(first + LINES_AT_ONCE, finished)]
                consume(top + first, torch.softmax(lines, dim=0) if blend == "logits" else lines)
            _roll_up(held, finished)
            if len(plan.rows) > 1:
                return_freed_memory()


def _scores(window_logits: WindowLogits, blend: str, flips: Flips, scales: Sequence[float]) -> WindowLogits:
    """The function of tiles whose values are averaged where tiles overlap."""
    plain = flips == "none" and tuple(scales) == (1.0,)
    if blend == "logits" and plain:
        return lambda tiles: window_logits(tiles).to(torch.float32, copy=True)

    def probabilities(tiles: Tensor) -> Tensor:
        return augmented_probabilities(window_logits, tiles, flips, scales)

    if blend == "probabilities":
        return probabilities
    return lambda tiles: probabilities(tiles).clamp_min_(torch.finfo(torch.float32).tiny).log_()


def _groups(columns: Sequence[Span], batch: int) -> Iterator[list[int]]:
    """Runs of up to `batch` neighbouring tiles of equal width."""
    group: list[int] = []
    for c, (start, stop) in enumerate(columns):
        if group and (len(group) == batch or columns[group[0]].stop - columns[group[0]].start != stop - start):
            yield group
            group = []
        group.append(c)
    yield group


def _tile(image: Array, top: int, bottom: int, columns: Span, device: torch.device | str) -> Tensor:
    window = image[:, top:bottom, columns.start : columns.stop]
    if window.dtype != np.uint8:
        window = window.astype(np.float32)
        if not np.isfinite(window).all():
            raise DataError(
                f"the image holds NaN or infinity in lines {top} to {bottom - 1}, columns {columns.start} to "
                f"{columns.stop - 1}; put a number there, e.g. 0 for no data"
            )
    # A copy of its own: a band repeated by broadcasting has no memory torch could share.
    return torch.from_numpy(window.copy(order="C")).to(device).float()


def _checked(scores: Tensor, wanted: tuple[int, ...]) -> Tensor:
    if tuple(scores.shape) != wanted:
        raise FileFormatError(
            f"the segmenter gave scores of {tuple(scores.shape)} where {wanted} is wanted: its network and its class "
            "table differ; take the original file again"
        )
    return scores


def _roll_up(held: Tensor, finished: int) -> None:
    """Move the unfinished lines to the top and clear the rest, a class at a time: source and target overlap."""
    kept = held.shape[1] - finished
    for plane in held:
        if kept > 0:
            plane[:kept] = plane[finished:].clone()
        plane[max(kept, 0) :] = 0
