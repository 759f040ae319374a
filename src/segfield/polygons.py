"""Outlines of label regions, exact along pixel edges, as polygons with holes.

A region is a 4-connected set of pixels of one class. Vertices are pixel corners (x right, y down), so that filling the
polygons by the even-odd rule at pixel centres gives the labels back, and neighbours share their borders.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

from segfield.classes import Array, ClassTable
from segfield.errors import DataError

Point = tuple[int, int]
Ring = list[Point]
# The four sides of a pixel, clockwise as seen: top, right, bottom, left. Each is walked with the region on its right.
_NEXT_PIXEL = ((0, 1), (1, 0), (0, -1), (-1, 0))  # (dy, dx) of the pixel ahead, for each side
_OUTSIDE = ((-1, 0), (0, 1), (1, 0), (0, -1))  # (dy, dx) of the pixel beyond the side
_CORNER = ((0, 0), (1, 0), (1, 1), (0, 1))  # (x, y) of the corner the side begins at, from the pixel's own


class Polygon(TypedDict):
    """One region: its class id, its outline, and the outlines of its holes. Rings are not closed; (x, y) in pixels."""

    class_id: int
    exterior: Ring
    holes: list[Ring]


def trace_polygons(labels: Array, ignored_id: int | None = None) -> list[Polygon]:
    """Every 4-connected region of `labels` (H, W) as a polygon, ordered by class, then by place.

    Exteriors run clockwise as seen (y down), holes the other way. Where a region touches itself at a corner, its rings
    are cut there, so that no ring meets itself (valid by OGC Simple Features).

    Args:
        labels: (H, W) integers.
        ignored_id: pixels of this value belong to no polygon.

    Raises:
        DataError: if `labels` is not a map of integers.
    """
    if labels.ndim != 2 or labels.dtype.kind not in "iu":
        raise DataError(f"polygons are traced from (H, W) integer labels; found {labels.shape} of {labels.dtype}")
    regions, class_of_region = _regions(labels, ignored_id)
    if not class_of_region:
        return []
    exteriors: dict[int, Ring] = {}
    holes: dict[int, list[Ring]] = {}
    for region, loop in _loops(regions):
        for ring in _cut_at_repeats(loop):
            if _doubled_area(ring) > 0:
                exteriors[region] = ring
            else:
                holes.setdefault(region, []).append(ring)
    return [
        Polygon(class_id=class_of_region[region], exterior=exteriors[region], holes=holes.get(region, []))
        for region in sorted(exteriors)
    ]


def geojson_of(polygons: Iterable[Polygon], classes: ClassTable) -> dict[str, Any]:
    """A GeoJSON FeatureCollection in pixel coordinates, x right, y down; rings are closed (RFC 7946)."""
    features = []
    for polygon in polygons:
        rings = [polygon["exterior"], *polygon["holes"]]
        class_id = polygon["class_id"]
        properties = {"class_id": class_id, "class": classes.names[class_id], "colour": list(classes.colours[class_id])}
        coordinates = [[list(point) for point in [*ring, ring[0]]] for ring in rings]
        geometry = {"type": "Polygon", "coordinates": coordinates}
        features.append({"type": "Feature", "properties": properties, "geometry": geometry})
    return {"type": "FeatureCollection", "features": features}


def _regions(labels: Array, ignored_id: int | None) -> tuple[npt.NDArray[np.int32], dict[int, int]]:
    """(H, W) region numbers from 1 (0: ignored), and the class of each."""
    from scipy import ndimage

    regions = np.zeros(labels.shape, dtype=np.int32)
    class_of_region: dict[int, int] = {}
    for value in np.unique(labels).tolist():
        if value == ignored_id:
            continue
        numbered, count = ndimage.label(labels == value)
        first = len(class_of_region)
        np.add(numbered, first, out=regions, where=numbered > 0, casting="unsafe")
        class_of_region.update({first + i + 1: value for i in range(count)})
    return regions, class_of_region


def _loops(regions: npt.NDArray[np.int32]) -> Iterable[tuple[int, Ring]]:
    """Closed walks along the border of each region, corners only, with the region's number.

    After side s of pixel p, with q the pixel ahead and d the pixel ahead and outside, the walk turns right, to p's next
    side, if q is not of the region; goes straight on, to q's side s, if q is and d is not; else turns left, to d.
    """
    height, width = regions.shape
    padded = np.zeros((height + 2, width + 2), dtype=np.int32)
    padded[1:-1, 1:-1] = regions
    flat, pitch = padded.ravel(), width + 2
    sides = [np.flatnonzero((flat != np.roll(flat, -(dy * pitch + dx))) & (flat > 0)) for dy, dx in _OUTSIDE]
    first_edge = np.cumsum([0, *(len(side) for side in sides)])
    number_of = [np.full(0, 0)] * 4
    for s in range(4):
        number_of[s] = np.full(len(flat), -1, dtype=np.int64)
        number_of[s][sides[s]] = first_edge[s] + np.arange(len(sides[s]))
    following: list[npt.NDArray[np.int64]] = []
    for s, pixels in enumerate(sides):
        ahead = pixels + _NEXT_PIXEL[s][0] * pitch + _NEXT_PIXEL[s][1]
        diagonal = ahead + _OUTSIDE[s][0] * pitch + _OUTSIDE[s][1]
        same_ahead, same_diagonal = flat[ahead] == flat[pixels], flat[diagonal] == flat[pixels]
        right, straight, left = number_of[(s + 1) % 4][pixels], number_of[s][ahead], number_of[s - 1][diagonal]
        following.append(np.where(same_ahead, np.where(same_diagonal, left, straight), right))
    pixels = np.concatenate(sides)
    side_of = np.repeat(np.arange(4), [len(side) for side in sides])
    corners = np.array(_CORNER)[side_of]
    xs, ys = pixels % pitch - 1 + corners[:, 0], pixels // pitch - 1 + corners[:, 1]
    return _walk(np.concatenate(following).tolist(), side_of.tolist(), xs.tolist(), ys.tolist(), flat[pixels].tolist())


def _walk(
    following: list[int], side_of: list[int], xs: list[int], ys: list[int], region_of: list[int]
) -> Iterable[tuple[int, Ring]]:
    seen = bytearray(len(following))
    for start in range(len(following)):
        if seen[start]:
            continue
        ring, edge, last = [], start, -1
        while not seen[edge]:
            seen[edge] = 1
            if side_of[edge] != last:
                ring.append((xs[edge], ys[edge]))
            last, edge = side_of[edge], following[edge]
        if side_of[start] == last:
            del ring[0]
        yield region_of[start], ring


def _cut_at_repeats(loop: Ring) -> list[Ring]:
    """Split a loop that passes a vertex twice into loops that do not."""
    rings: list[Ring] = []
    open_ring: Ring = []
    place: dict[Point, int] = {}
    for point in loop:
        if point in place:
            at = place[point]
            rings.append(open_ring[at:])
            for gone in open_ring[at + 1 :]:
                del place[gone]
            del open_ring[at + 1 :]
        else:
            place[point] = len(open_ring)
            open_ring.append(point)
    return [*rings, open_ring]


def _doubled_area(ring: Ring) -> int:
    """Twice the signed area: positive where the ring runs clockwise as seen, with y down."""
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(ring, [*ring[1:], ring[0]]))
