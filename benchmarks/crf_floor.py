"""How fast could an iteration of the lattice be? Its row accesses at the speed this machine gives them, plus streams.

Each iteration reads six rows of values a pixel (slice), changes six (splat), and passes once over the lattice for each of six
axes (blur); energies come in and probabilities go out in streams. Rows are timed in the order in which the pixels touch them,
which the caches like, and at random, which they do not. A part of crf_speed.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from crf_cases import Case, Floats, Parameters
from record import elapsed
from segfield.crf.features import bilateral_features
from segfield.crf.filters.compiled import compiled
from segfield.crf.filters.lattice import LatticeFilter

CORNERS = 6


def floor(case: Case, parameters: Parameters, measured_ms: float | None) -> dict[str, Any]:
    """Milliseconds an iteration on one thread cannot beat without touching fewer rows, and how far ours is from it."""
    classes, height, width = case.unary.shape
    lanes = -(-classes // 8) * 8
    features = bilateral_features(case.image, parameters.sxy, parameters.srgb)
    lattice = LatticeFilter(features, threads=1).lattice
    vertices = lattice.vertices
    pixels = height * width
    rows = 2 * CORNERS * pixels + CORNERS * vertices
    table = np.zeros((lattice.rows, lanes), np.float32)
    at_random = np.random.default_rng(0).integers(0, len(table), lattice.ids.size).astype(np.int32)
    row_ns, random_ns = (1e9 * min(row_seconds(table, order) for _ in range(5)) for order in (lattice.ids, at_random))
    streams = 3 * 4 * classes * pixels  # energies in, probabilities out and in again for the Gaussian term
    stream_gb = 1e-9 * streams / min(stream_seconds(streams) for _ in range(5))
    total = 1e-6 * rows * row_ns + 1e-6 * streams / stream_gb
    return {
        "vertices": vertices,
        "rows_of_floats": lanes,
        "row_accesses": rows,
        "ns_a_row": round(row_ns, 2),
        "ns_a_random_row": round(random_ns, 2),
        "stream_mb": round(streams / 1e6, 1),
        "stream_gb_per_s": round(stream_gb, 1),
        "floor_ms_an_iteration_1_thread": round(total, 2),
        "measured_ms_an_iteration_1_thread": measured_ms,
        "measured_over_floor": None if measured_ms is None else round(measured_ms / total, 2),
    }


def row_seconds(table: Floats, order: Any) -> float:
    """Seconds to fetch one row of the table, rows in this order."""
    touch_rows(table.reshape(-1), order[:1000], table.shape[1])
    begin = time.perf_counter()
    touch_rows(table.reshape(-1), order, table.shape[1])
    return elapsed(begin) / len(order)


@compiled
def touch_rows(table: Floats, order: Any, lanes: int) -> float:
    """Every sixteenth float of each row, and the last: all of its cache lines, with next to no arithmetic."""
    total = np.float32(0)
    for i in range(order.size):
        base = np.int64(order[i]) * lanes
        for c in range(0, lanes, 16):
            total += table[base + c]
        total += table[base + lanes - 1]
    return float(total)


def stream_seconds(size: int) -> float:
    """Seconds to sum `size` bytes of floats in order."""
    values = np.ones(size // 4, np.float32)
    begin = time.perf_counter()
    values.sum()
    return elapsed(begin)
