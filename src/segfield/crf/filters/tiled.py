"""The Gaussian filter summed exactly over the pairs of pixels that matter, with a bound on what the others could add.

Kernel values fall off so fast in colour that few pairs of compact tiles reach ε; those are summed in full, on all cores.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from segfield.crf.filters.exact import checked_values
from segfield.crf.filters.filter import POWERS, Normalization
from segfield.crf.filters.tile_order import TileOrder, in_bands, reach_of
from segfield.crf.filters.tiled_loops import CHANNELS, LANES, sum_tiles
from segfield.crf.threads import usable_threads
from segfield.errors import SettingError, did_you_mean


class TiledFilter:
    """K·v over the tile pairs whose largest possible kernel value reaches ε.

    Args:
        features: (N, D), already divided by the kernel's widths.
        epsilon: pairs of tiles that stay below this kernel value (its peak is 1) are left out; 0 keeps every pair.
        tile: pixels a tile, a multiple of 16. Small tiles leave out more pairs, large ones are found faster.
        threads: how many threads sum; the result does not depend on it. All usable cores by default.
        dtype: float32, or float64 for a reference.

    Raises:
        DataError: features that are not (N, D) or not finite.
        SettingError: ε outside [0, 1), a tile that is no multiple of 16, threads below 1, another dtype.
    """

    def __init__(
        self,
        features: NDArray[np.floating],
        epsilon: float = 1e-3,
        tile: int = 16,
        *,
        threads: int | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        if tile < LANES or tile % LANES:
            raise SettingError(f"tile: {tile} pixels; give a multiple of {LANES}")
        if threads is not None and threads < 1:
            raise SettingError(f"threads: {threads} threads cannot work; give at least 1, or none for all cores")
        self.dtype = np.dtype(dtype)
        if self.dtype not in (np.float32, np.float64):
            raise SettingError(f"dtype: sums in {self.dtype} are not offered; give float32 or float64")
        reach_of(epsilon)
        self.epsilon = epsilon
        self.threads = usable_threads(threads)
        self._order = TileOrder(features.astype(self.dtype), tile)
        self._starts, self._runs = self._order.kept_runs(epsilon, self.threads)
        places = -(-self.size // LANES) * LANES
        # places after the last pixel repeat it: their values are zero and their sums are not read
        in_order = self._order.points.astype(self.dtype)
        self._sources = np.concatenate([in_order, np.repeat(in_order[-1:], places - self.size, axis=0)])
        by_lanes = self._sources.reshape(-1, LANES, features.shape[1])
        self._targets = np.ascontiguousarray(by_lanes.transpose(0, 2, 1)).reshape(-1)

    @property
    def size(self) -> int:
        """N, the number of pixels."""
        return len(self._order.order)

    @property
    def kept_pairs(self) -> float:
        """Share of the N² pairs of pixels that are summed."""
        below = np.concatenate([[0], np.cumsum(self._order.sizes)])
        in_runs = np.concatenate([[0], np.cumsum(below[self._runs[:, 1]] - below[self._runs[:, 0]])])
        in_tiles = in_runs[self._starts[1:]] - in_runs[self._starts[:-1]]
        return float((self._order.sizes * in_tiles).sum() / self.size**2)

    def __call__(self, values: NDArray[Any]) -> NDArray[Any]:
        """K·v: (N, C) → (N, C) in the filter's dtype."""
        checked_values(values.shape, self.size)
        channels = values.shape[1]
        padded = np.zeros((len(self._sources), -(-channels // CHANNELS) * CHANNELS), self.dtype)
        padded[: self.size, :channels] = values[self._order.order]
        outputs = np.empty((self.size, channels), self.dtype)
        order, tile = self._order.order, self._order.tile

        def work(first: int, last: int) -> None:
            sum_tiles(outputs, order, self._targets, self._sources, padded, self._starts, self._runs, tile, first, last)

        in_bands(work, self._order.tiles, self.threads)
        return outputs

    def transposed(self, values: NDArray[Any]) -> NDArray[Any]:
        """Kᵀ·v, which is K·v: boxes are as far from each other both ways, so pairs are kept in pairs."""
        return self(values)

    def neglected(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """(N,) what the pairs left out can add to any channel of K·v, in absolute value, for these values (N, C).

        Σ over the tiles left out of exp(−½ d²) · max_c Σ_j |v_jc|, d the distance of the bounding boxes. Rounding of the
        sums themselves (float32) comes on top.
        """
        checked_values(values.shape, self.size)
        sizes = np.abs(values[self._order.order].astype(np.float64))
        begins = np.arange(self._order.tiles) * self._order.tile
        masses = np.add.reduceat(sizes, begins, axis=0).max(axis=1)
        by_tile = self._order.neglected(self.epsilon, masses, self.threads)
        bound = np.empty(self.size)
        bound[self._order.order] = np.repeat(by_tile, self._order.sizes)
        return bound

    @cached_property
    def bound(self) -> NDArray[np.float64]:
        """(N,) `neglected` for values in [0, 1], such as probabilities, whatever they are."""
        return self.neglected(np.ones((self.size, 1)))


def normalized_bound(filter: TiledFilter, kind: Normalization) -> NDArray[np.float64]:  # noqa: A002  as in Normalized
    """How far a normalised tiled filter can be from the normalised exact one, for values in [0, 1].

    What is left out is positive: the exact row sum n lies in [m, m + b], with m the tiled one and b its bound. Write the
    exact output as Σ_j n_i^−p K_ij n_j^−q v_j. It exceeds the tiled output at most by m_i^−p Σ_(j left out) K_ij m_j^−q,
    and falls short of it at most by Σ_(j kept) K_ij (m_i^−p m_j^−q − (m_i + b_i)^−p (m_j + b_j)^−q); both sums only grow
    with v, so v = 1 bounds them. A mean ("after") moves by at most the weight left out, b / (m + b).

    Args:
        filter: the filter before normalisation.
        kind: as in `Normalized`.

    Returns:
        (N,) bound on the error of every channel; rounding comes on top.

    Raises:
        SettingError: the kind is none of the four.
    """
    if kind not in POWERS:
        raise SettingError(f"normalization: {kind!r} is unknown; {did_you_mean(str(kind), POWERS)}")
    p, q = POWERS[kind]
    ones = np.ones((filter.size, 1), filter.dtype)
    low = filter(ones)[:, 0].astype(np.float64)
    high = low + filter.bound
    if kind == "after":
        share: NDArray[np.float64] = filter.bound / high
        return share
    kept = filter(np.stack([low**-q, high**-q], axis=1).astype(filter.dtype)).astype(np.float64)
    above = low**-p * filter.neglected(low[:, None] ** -q)
    below = low**-p * kept[:, 0] - high**-p * kept[:, 1]
    return np.maximum(above, np.maximum(below, 0.0))
