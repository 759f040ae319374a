"""Contours of label maps, and distances to them, in single passes over all classes at once."""

from __future__ import annotations

import numpy as np

from segfield.classes import Array
from segfield.compiled import compiled

VOID = -1
FAR = np.int32(1 << 30)


def contour(labels: Array) -> Array:
    """(H, W) int32 ids, VOID where unknown → (H, W) bool: known, with a known 4-neighbour of another class."""
    edge = np.zeros(labels.shape, bool)
    for near, far in (((slice(1, None),), (slice(-1),)), ((slice(None), slice(1, None)), (slice(None), slice(-1)))):
        change = (labels[near] != labels[far]) & (labels[near] != VOID) & (labels[far] != VOID)
        edge[near] |= change
        edge[far] |= change
    return edge


def square_distance(seeds: Array) -> Array:
    """(H, W) bool → (H, W) int32: Chebyshev distance to the nearest seed; FAR or more without seeds.

    Two passes are exact for this metric (Rosenfeld, Pfaltz 1966).
    """
    distance: Array = np.where(seeds, np.int32(0), FAR)
    _sweep(distance)
    return distance


def square_depth(labels: Array) -> Array:
    """(H, W) int32 ids → (H, W) int32: Chebyshev distance to the nearest pixel of another id, or beyond the image.

    Pixels of depth ≤ d are what d erosions with a 3×3 square take from each class's mask, for all classes at once. VOID
    pixels get FAR: they belong to no class.
    """
    depth: Array = np.empty(labels.shape, np.int32)
    _sweep_labels(labels, depth)
    depth[labels == VOID] = FAR
    return depth


def disc(radius: float) -> Array:
    """(M, 2) int32 offsets (down, right) within Euclidean `radius`, nearest first."""
    reach = int(radius)
    down, right = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    offsets = np.stack([down.reshape(-1), right.reshape(-1)], axis=1)
    squares = (offsets**2).sum(axis=1)
    inside = squares <= radius**2
    nearest_first: Array = offsets[inside][np.argsort(squares[inside], kind="stable")].astype(np.int32)
    return nearest_first


def matched(labels: Array, edge: Array, others: Array, other_edge: Array, offsets: Array, classes: int) -> Array:
    """(2, K): contour pixels of each class with one of the same class near by in the other map, and all of them."""
    counts = np.zeros((2, classes), np.int64)
    _match(labels, edge, others, other_edge, offsets, counts)
    return counts


def band_counts(truth: Array, predicted: Array, distance: Array, limits: Array, classes: int) -> Array:
    """(W, K, K) confusion counts of known pixels, each in the first band whose limit is not below its distance."""
    counts = np.zeros((len(limits), classes, classes), np.int64)
    _count_bands(truth, predicted, distance, limits, counts)
    return counts


@compiled
def _sweep(distance: Array) -> None:
    height, width = distance.shape
    for y in range(height):
        for x in range(width):
            best = distance[y, x]
            if x > 0:
                best = min(best, distance[y, x - 1] + 1)
            if y > 0:
                for near in range(max(x - 1, 0), min(x + 2, width)):
                    best = min(best, distance[y - 1, near] + 1)
            distance[y, x] = best
    for y in range(height - 1, -1, -1):
        for x in range(width - 1, -1, -1):
            best = distance[y, x]
            if x < width - 1:
                best = min(best, distance[y, x + 1] + 1)
            if y < height - 1:
                for near in range(max(x - 1, 0), min(x + 2, width)):
                    best = min(best, distance[y + 1, near] + 1)
            distance[y, x] = best


@compiled
def _sweep_labels(labels: Array, depth: Array) -> None:
    """As `_sweep`, with every pixel of another id, and everything beyond the image, at distance 0."""
    height, width = labels.shape
    for y in range(height):
        for x in range(width):
            own = labels[y, x]
            best = 1 if x == 0 or y == 0 or x == width - 1 or y == height - 1 else 1 << 30
            if x > 0:
                best = min(best, depth[y, x - 1] + 1 if labels[y, x - 1] == own else 1)
            if y > 0:
                for near in range(max(x - 1, 0), min(x + 2, width)):
                    best = min(best, depth[y - 1, near] + 1 if labels[y - 1, near] == own else 1)
            depth[y, x] = best
    for y in range(height - 1, -1, -1):
        for x in range(width - 1, -1, -1):
            own = labels[y, x]
            best = depth[y, x]
            if x < width - 1:
                best = min(best, depth[y, x + 1] + 1 if labels[y, x + 1] == own else 1)
            if y < height - 1:
                for near in range(max(x - 1, 0), min(x + 2, width)):
                    best = min(best, depth[y + 1, near] + 1 if labels[y + 1, near] == own else 1)
            depth[y, x] = best


@compiled
def _match(labels: Array, edge: Array, others: Array, other_edge: Array, offsets: Array, counts: Array) -> None:
    height, width = labels.shape
    for y in range(height):
        for x in range(width):
            if not edge[y, x]:
                continue
            own = labels[y, x]
            counts[1, own] += 1
            for i in range(offsets.shape[0]):
                v, u = y + offsets[i, 0], x + offsets[i, 1]
                if 0 <= v < height and 0 <= u < width and other_edge[v, u] and others[v, u] == own:
                    counts[0, own] += 1
                    break


@compiled
def _count_bands(truth: Array, predicted: Array, distance: Array, limits: Array, counts: Array) -> None:
    height, width = truth.shape
    for y in range(height):
        for x in range(width):
            if truth[y, x] < 0 or distance[y, x] > limits[-1]:
                continue
            band = 0
            while distance[y, x] > limits[band]:
                band += 1
            counts[band, truth[y, x], predicted[y, x]] += 1
