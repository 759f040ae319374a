"""How fast could an iteration of the lattice be? Its row accesses at the speed this machine gives rows at random, plus streams.

Each iteration reads six rows of values a pixel (slice), changes six (splat), and passes once over the lattice for each of six
axes (blur); energies come in and probabilities go out in streams. A part of crf_speed.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from crf_cases import Case, Floats, Parameters
from segfield.crf.features import bilateral_features
from segfield.crf.filters.compiled import compiled

CORNERS = 6


def floor(case: Case, parameters: Parameters, measured_ms: float | None) -> dict[str, Any]:
    """Milliseconds an iteration on one thread cannot beat without touching fewer rows, and how far ours is from it."""
    import torch

    from segfield.crf.filters.lattice_torch import TorchLatticeFilter

    classes, height, width = case.unary.shape
    lanes = -(-classes // 8) * 8
    features = bilateral_features(case.image, parameters.sxy, parameters.srgb)
    vertices = TorchLatticeFilter(torch.from_numpy(features)).vertices
    pixels = height * width
    rows = 2 * CORNERS * pixels + CORNERS * vertices
    table = np.zeros((vertices, lanes), np.float32)
    row_ns = 1e9 * min(row_seconds(table, np.random.default_rng(seed)) for seed in range(5))
    streams = 3 * 4 * classes * pixels  # energies in, probabilities out and in again for the Gaussian term
    stream_gb = 1e-9 * streams / min(stream_seconds(streams) for _ in range(5))
    total = 1e-6 * rows * row_ns + 1e-6 * streams / stream_gb
    return {
        "vertices": vertices,
        "rows_of_floats": lanes,
        "row_accesses": rows,
        "ns_a_random_row": round(row_ns, 2),
        "stream_mb": round(streams / 1e6, 1),
        "stream_gb_per_s": round(stream_gb, 1),
        "floor_ms_an_iteration_1_thread": round(total, 2),
        "measured_ms_an_iteration_1_thread": measured_ms,
        "measured_over_floor": None if measured_ms is None else round(measured_ms / total, 2),
    }


def row_seconds(table: Floats, rng: np.random.Generator) -> float:
    """Seconds to read one row of the table, rows in random order."""
    order = rng.integers(0, len(table), 2_000_000).astype(np.int32)
    totals = np.zeros((8, table.shape[1]), np.float32)
    add_rows(table, order[:1000], totals)
    begin = time.perf_counter()
    add_rows(table, order, totals)
    return (time.perf_counter() - begin) / len(order)


@compiled
def add_rows(table: Floats, order: Any, totals: Floats) -> None:
    """Eight sums in turn, so that no row waits for the one before."""
    for i in range(order.size):
        row, total = table[order[i]], totals[i & 7]
        for c in range(total.size):
            total[c] += row[c]


def stream_seconds(size: int) -> float:
    """Seconds to sum `size` bytes of floats in order."""
    values = np.ones(size // 4, np.float32)
    begin = time.perf_counter()
    values.sum()
    return time.perf_counter() - begin
