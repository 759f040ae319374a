"""Pixels in an order that makes tiles of neighbours in feature space, and which pairs of tiles matter.

Recursive median splits along the widest side (a k-d tree, Bentley 1975) cut the pixels into tiles of equal size; a pair of
tiles is kept where the largest kernel value their bounding boxes allow reaches ε, and neglected otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segfield.crf.filters.compiled import compiled
from segfield.crf.filters.exact import checked_features
from segfield.errors import SettingError

BANDS_PER_THREAD = 16  # tiles in crowded places keep more pairs: many small bands even the load out


class TileOrder:
    """A k-d tree over pixels whose leaves are tiles.

    Nodes are stored parents first (preorder): a subtree of t tiles takes the next 2t − 1 nodes, so it can be stepped over.

    Args:
        features: (N, D), already divided by the kernel's widths.
        tile: pixels a tile; the last one may hold fewer.

    Attributes:
        order: (N,) pixel at each place; tile t has the places t·tile to (t + 1)·tile − 1.
        points: (N, D) float64 features in that order.
        tiles: number of tiles.
        node_tiles: (nodes, 2) first tile and number of tiles of each node.
        boxes: (nodes, 2, D) lowest and highest features of each node.

    Raises:
        DataError: features that are not (N, D) or not finite.
        SettingError: a tile of less than one pixel.
    """

    def __init__(self, features: NDArray[np.floating], tile: int = 64) -> None:
        if tile < 1:
            raise SettingError(f"tile: {tile} pixels make no tile; give at least 1")
        self.points = np.array(checked_features(features), dtype=np.float64, order="C")
        self.tile = tile
        self.tiles = -(-len(self.points) // tile)
        self.order = np.arange(len(self.points), dtype=np.int32)
        self.node_tiles = np.empty((2 * self.tiles - 1, 2), np.int32)
        self.boxes = np.empty((2 * self.tiles - 1, 2, self.points.shape[1]))
        _split(self.points, self.order, self.node_tiles, self.boxes, tile)
        leaf = self.node_tiles[:, 1] == 1
        self.tile_boxes = np.ascontiguousarray(self.boxes[leaf])  # (tiles, 2, D)

    @property
    def sizes(self) -> NDArray[np.int64]:
        """(tiles,) pixels in each tile."""
        return np.diff(np.minimum(np.arange(self.tiles + 1) * self.tile, len(self.order)))

    def kept_runs(self, epsilon: float, threads: int = 1) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Runs of tiles whose kernel values with a tile may reach ε, as a sparse matrix by rows.

        Returns:
            starts: (tiles + 1,), the runs of tile t are starts[t] to starts[t + 1] − 1.
            runs: (R, 2), each the first tile and the tile after the last.
        """
        reach = reach_of(epsilon)

        def search(first: int, last: int) -> tuple[Any, Any]:
            counts = np.zeros(last - first, np.int64)
            return counts, _search(self.node_tiles, self.boxes, self.tile_boxes, reach, first, last, counts)

        found = in_bands(search, self.tiles, threads)
        starts = np.zeros(self.tiles + 1, np.int64)
        np.cumsum(np.concatenate([counts for counts, _ in found]), out=starts[1:])
        return starts, np.concatenate([runs for _, runs in found])

    def neglected(self, epsilon: float, masses: NDArray[np.float64], threads: int = 1) -> NDArray[np.float64]:
        """(tiles,) Σ over neglected tiles of (largest kernel value their boxes allow) · (mass (tiles,) of the tile)."""
        totals = np.zeros(self.tiles)
        if epsilon == 0:
            return totals
        below = np.concatenate([[0.0], np.cumsum(masses)])
        first, count = self.node_tiles.T
        node_masses = below[first + count] - below[first]

        def add(begin: int, end: int) -> None:
            _neglect(self.node_tiles, self.boxes, self.tile_boxes, reach_of(epsilon), node_masses, begin, end, totals)

        in_bands(add, self.tiles, threads)
        return totals


def reach_of(epsilon: float) -> float:
    """The squared distance beyond which exp(−½d²) is below ε; infinite for ε = 0.

    Raises:
        SettingError: ε is not in [0, 1).
    """
    if not 0 <= epsilon < 1:
        raise SettingError(
            f"epsilon: {epsilon} is not a share of the kernel's peak; give a number from 0 (all) to below 1"
        )
    # a hair further, so that rounding of float32 distances drops nothing that reaches ε
    return math.inf if epsilon == 0 else -2.0 * math.log(epsilon) * (1 + 1e-5)


def in_bands(work: Callable[[int, int], Any], tiles: int, threads: int) -> list[Any]:
    """work(first, last) over bands of tiles, in order, several at once where `threads` allows."""
    bands = min(tiles, BANDS_PER_THREAD * threads if threads > 1 else 1)
    edges = [tiles * band // bands for band in range(bands + 1)]
    if threads == 1:
        return [work(edges[0], edges[1])]
    with ThreadPoolExecutor(threads, thread_name_prefix="segfield-tiles") as pool:
        return list(pool.map(work, edges[:-1], edges[1:]))


@compiled
def _split(points: Any, order: Any, node_tiles: Any, boxes: Any, tile: int) -> None:
    """Reorder points (N, D) and order (N,) in place; fill in the nodes, parents first."""
    size, dimensions = points.shape
    keys, places = np.empty(size), np.empty(size, np.int32)
    spare_points, spare_order = np.empty_like(points), np.empty_like(order)
    stack = np.empty((128, 2), np.int64)
    stack[0, 0], stack[0, 1] = 0, (size + tile - 1) // tile
    depth, node = 1, 0
    while depth > 0:
        depth -= 1
        first, tiles = stack[depth]
        begin, end = first * tile, min((first + tiles) * tile, size)
        node_tiles[node, 0], node_tiles[node, 1] = first, tiles
        axis, width = 0, -1.0
        for d in range(dimensions):
            low, high = points[begin, d], points[begin, d]
            for i in range(begin + 1, end):
                low, high = min(low, points[i, d]), max(high, points[i, d])
            boxes[node, 0, d], boxes[node, 1, d] = low, high
            if high - low > width:
                axis, width = d, high - low
        node += 1
        if tiles == 1:
            continue
        left = (tiles + 1) // 2
        if width > 0:
            for i in range(begin, end):
                keys[i], places[i] = points[i, axis], i
            _select(keys, places, begin, end - 1, begin + left * tile)
            for i in range(begin, end):
                spare_order[i] = order[places[i]]
                for d in range(dimensions):
                    spare_points[i, d] = points[places[i], d]
            points[begin:end], order[begin:end] = spare_points[begin:end], spare_order[begin:end]
        stack[depth, 0], stack[depth, 1] = first + left, tiles - left
        stack[depth + 1, 0], stack[depth + 1, 1] = first, left
        depth += 2


@compiled
def _select(keys: Any, places: Any, low: int, high: int, middle: int) -> None:
    """Hoare's selection: keys[low:middle] ≤ keys[middle] ≤ keys[middle + 1 : high + 1]; places move along."""
    while low < high:
        a, b, c = keys[low], keys[(low + high) // 2], keys[high]
        pivot = max(min(a, b), min(max(a, b), c))
        i, j = low, high
        while i <= j:
            while keys[i] < pivot:
                i += 1
            while keys[j] > pivot:
                j -= 1
            if i <= j:
                keys[i], keys[j] = keys[j], keys[i]
                places[i], places[j] = places[j], places[i]
                i += 1
                j -= 1
        if middle <= j:
            high = j
        elif middle >= i:
            low = i
        else:
            return


@compiled
def _gap(a: Any, b: Any) -> float:
    """Squared distance of two boxes (2, D); 0 where they touch."""
    total = 0.0
    for d in range(a.shape[1]):
        gap = max(a[0, d] - b[1, d], b[0, d] - a[1, d])
        if gap > 0:
            total += gap * gap
    return total


@compiled
def _span(a: Any, b: Any) -> float:
    """Squared distance of the points of two boxes (2, D) that are furthest from each other."""
    total = 0.0
    for d in range(a.shape[1]):
        span = max(a[1, d] - b[0, d], b[1, d] - a[0, d])
        total += span * span
    return total


@compiled
def _search(node_tiles: Any, boxes: Any, tile_boxes: Any, reach: float, first: int, last: int, counts: Any) -> Any:
    """(R, 2) runs of kept tiles for the tiles first to last − 1; how many each has goes into counts."""
    runs = np.empty((1024, 2), np.int32)
    filled = 0
    for tile in range(first, last):
        before, node = filled, 0
        while node < len(node_tiles):
            tiles = node_tiles[node, 1]
            if _gap(tile_boxes[tile], boxes[node]) > reach:
                node += 2 * tiles - 1
                continue
            if tiles > 1 and _span(tile_boxes[tile], boxes[node]) > reach:
                node += 1
                continue
            found = node_tiles[node, 0]
            node += 2 * tiles - 1
            if filled > before and runs[filled - 1, 1] == found:
                runs[filled - 1, 1] = found + tiles
                continue
            if filled == len(runs):
                longer = np.empty((2 * filled, 2), np.int32)
                longer[:filled] = runs
                runs = longer
            runs[filled, 0], runs[filled, 1] = found, found + tiles
            filled += 1
        counts[tile - first] = filled - before
    return runs[:filled].copy()


@compiled
def _neglect(
    node_tiles: Any, boxes: Any, tile_boxes: Any, reach: float, masses: Any, first: int, last: int, totals: Any
) -> None:
    """Add what `_search` leaves out: near it tile by tile, further out, where little can be lost, by whole nodes."""
    for tile in range(first, last):
        node = 0
        while node < len(node_tiles):
            tiles = node_tiles[node, 1]
            gap = _gap(tile_boxes[tile], boxes[node])
            if gap > reach and (tiles == 1 or gap > reach + 16.0):
                totals[tile] += math.exp(-0.5 * gap * (1 - 1e-6)) * masses[node]
                node += 2 * tiles - 1
            else:
                node += 1
