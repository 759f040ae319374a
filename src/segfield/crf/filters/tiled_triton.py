"""The Gaussian filter over the pairs of tiles that matter, on a GPU: block-sparse attention without a softmax.

One program an output tile walks its list of kept tiles: distances and exponentials in float32, the product with the values
on the tensor cores (Dao et al. 2022 and its block-sparse form are the pattern; the mask here comes from a bound).
"""

from __future__ import annotations

import os
from functools import cached_property
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from segfield.crf.filters.exact import checked_values
from segfield.crf.filters.tile_order import reach_of
from segfield.crf.filters.tile_order_torch import boxes_of, kept_tiles, neglected_mass, tile_order
from segfield.errors import DataError, SettingError, did_you_mean

try:
    import triton
    import triton.language as tl
except ImportError as error:
    raise SettingError(
        "the exact filter on a GPU needs triton, which is not installed; install it (pip install triton), or give arrays"
    ) from error

Precision = Literal["tf32", "tf32x3", "ieee", "bf16"]
MOST_CHANNELS = 64  # summed by one program; more channels take more programs


@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def _sum_tiles(
    outputs: Any,
    features: Any,
    values: Any,
    starts: Any,
    kept: Any,
    places: Any,
    stride: Any,
    DIMENSIONS: tl.constexpr,  # noqa: N803  Triton's constants are written so
    TILE: tl.constexpr,  # noqa: N803
    CHANNELS: tl.constexpr,  # noqa: N803
    PRECISION: tl.constexpr,  # noqa: N803
) -> None:
    """outputs (places, stride) = Σ over kept tiles; features (D, places), values (places, stride), all contiguous."""
    target = tl.program_id(0)
    lanes = tl.arange(0, TILE)
    here = target.to(tl.int64) * TILE + lanes
    channels = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    sums = tl.zeros((TILE, CHANNELS), dtype=tl.float32)
    for entry in range(tl.load(starts + target), tl.load(starts + target + 1)):
        there = tl.load(kept + entry).to(tl.int64) * TILE + lanes
        squared = tl.zeros((TILE, TILE), dtype=tl.float32)
        for d in tl.static_range(DIMENSIONS):
            gap = tl.load(features + d * places + here)[:, None] - tl.load(features + d * places + there)[None, :]
            squared += gap * gap
        kernel = tl.exp2(squared * -0.7213475204444817)  # −1 / (2 ln 2)
        shown = tl.load(values + there[:, None] * stride + channels[None, :])
        sums = tl.dot(kernel.to(shown.dtype), shown, sums, input_precision=PRECISION)
    tl.store(outputs + here[:, None] * stride + channels[None, :], sums)


class TritonTiledFilter:
    """K·v over the tile pairs whose largest possible kernel value reaches ε, on a CUDA device.

    Args:
        features: (N, D) on the device, already divided by the kernel's widths; taken as float32.
        epsilon: pairs of tiles that stay below this kernel value (its peak is 1) are left out; 0 keeps every pair.
        tile: pixels a tile, a power of two from 16.
        precision: of the product with the values: "ieee" float32; "tf32x3" nearly that; "tf32" rounds kernel values and
            values to 11 bits; "bf16" to 8 bits. Distances, exponentials and sums are float32 in each.

    Raises:
        DataError: features that are not (N, D) or not finite.
        SettingError: no CUDA device, ε outside [0, 1), a tile that is no power of two from 16, an unknown precision.
    """

    def __init__(
        self, features: Tensor, epsilon: float = 1e-3, tile: int = 64, *, precision: Precision = "tf32"
    ) -> None:
        if not features.is_cuda and os.environ.get("TRITON_INTERPRET") != "1":
            raise SettingError(
                f"the exact filter of tensors runs on CUDA, and the features are on {features.device}; "
                "move them to a GPU, or give NumPy arrays"
            )
        if features.ndim != 2 or features.numel() == 0 or not bool(torch.isfinite(features).all()):
            raise DataError(
                f"filter: the features of shape {tuple(features.shape)} are not (N, D) finite numbers; "
                "replace NaN and infinite values of the image before filtering"
            )
        if tile < 16 or tile & (tile - 1):
            raise SettingError(f"tile: {tile} pixels; give a power of two from 16")
        if precision not in get_args(Precision):
            raise SettingError(f"precision: {precision!r} is unknown; {did_you_mean(precision, get_args(Precision))}")
        self.epsilon, self.tile, self.precision = epsilon, tile, precision
        points = features.detach().float()
        self._reach = reach_of(epsilon)
        self._order = tile_order(points, tile)
        self._tile_of_place = torch.arange(self.size, device=points.device) // tile
        self._tiles = -(-self.size // tile)
        self._boxes = boxes_of(points[self._order], self._tile_of_place, self._tiles)
        self._starts, self._kept = kept_tiles(*self._boxes, self._reach)
        # places after the last pixel repeat it: their values are zero and their sums are not read
        padded = torch.cat([self._order, self._order[-1:].expand(self._tiles * tile - self.size)])
        self._features = points[padded].T.contiguous()  # (D, places)

    @property
    def size(self) -> int:
        """N, the number of pixels."""
        return len(self._order)

    @property
    def kept_pairs(self) -> float:
        """Share of the N² pairs of pixels that are summed."""
        sizes = torch.bincount(self._tile_of_place, minlength=self._tiles).double()
        targets = torch.repeat_interleave(sizes, self._starts.diff())
        return float(torch.dot(targets, sizes[self._kept]) / self.size**2)

    def __call__(self, values: Tensor) -> Tensor:
        """K·v: (N, C) → (N, C) in float32; gradients flow to the values, not to the features.

        Raises:
            DataError: values that are not (N, C).
        """
        checked_values(tuple(values.shape), self.size)
        sums: Tensor = _Product.apply(values, self)
        return sums

    def transposed(self, values: Tensor) -> Tensor:
        """Kᵀ·v, which is K·v: the kernel is symmetric, and pairs of tiles are kept both ways."""
        return self(values)

    def neglected(self, values: Tensor) -> Tensor:
        """(N,) what the pairs left out can add to any channel of K·v for these values (N, C): see `TiledFilter`."""
        checked_values(tuple(values.shape), self.size)
        sizes = values.double().abs()[self._order]
        by_channel = sizes.new_zeros(self._tiles, values.shape[1]).index_add_(0, self._tile_of_place, sizes)
        by_tile = neglected_mass(*self._boxes, self._reach, by_channel.amax(dim=1))
        return torch.empty_like(sizes[:, 0]).index_copy_(0, self._order, by_tile[self._tile_of_place])

    @cached_property
    def bound(self) -> Tensor:
        """(N,) `neglected` for values in [0, 1], such as probabilities, whatever they are."""
        return self.neglected(self._features.new_ones(self.size, 1))

    def product(self, values: Tensor) -> Tensor:
        """K·v without gradients: values into tile order, the kernel, and back."""
        channels = values.shape[1]
        block = min(MOST_CHANNELS, max(16, triton.next_power_of_2(channels)))
        stride = -(-channels // block) * block
        kind = torch.bfloat16 if self.precision == "bf16" else torch.float32
        padded = torch.zeros(self._features.shape[1], stride, dtype=kind, device=values.device)
        padded[: self.size, :channels] = values[self._order]
        outputs = torch.empty(padded.shape, dtype=torch.float32, device=values.device)
        _sum_tiles[(self._tiles, stride // block)](
            outputs,
            self._features,
            padded,
            self._starts,
            self._kept,
            self._features.shape[1],
            stride,
            DIMENSIONS=self._features.shape[0],
            TILE=self.tile,
            CHANNELS=block,
            PRECISION="ieee" if self.precision == "bf16" else self.precision,
            num_warps=4,
        )
        return torch.empty_like(outputs[: self.size, :channels]).index_copy_(
            0, self._order, outputs[: self.size, :channels]
        )


class _Product(torch.autograd.Function):
    """K·v, whose gradient to v is K·g: the operator is its own transpose."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, filter: TritonTiledFilter) -> Tensor:  # noqa: A002
        ctx.filter, ctx.kind = filter, values.dtype
        return filter.product(values.detach())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return ctx.filter.product(gradients[0]).to(ctx.kind), None
