"""The kernels of a CRF over any points: their lattices laid out as one, rows numbered through, with their normalisation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from segfield.classes import Array
from segfield.crf.filters.filter import Normalization
from segfield.crf.filters.lattice import lattice_factor
from segfield.crf.filters.lattice_structure import Lattice, build_lattice


@dataclass(frozen=True)
class PointKernel:
    """One kernel before it is built.

    Args:
        dimensions: D, how many features a point has.
        planes: gives them, (D, N + padding) float32, divided by their bandwidths; see `filters.lattice.padded_planes`.
        normalization: see `filters.filter.Normalized`.
    """

    dimensions: int
    planes: Callable[[], Array]
    normalization: Normalization


class Kernels(NamedTuple):
    """T kernels for the compiled loops, of N points in bands, one band a thread."""

    corners: Array  # (T,) int64: D + 1 of each
    first: Array  # (T,) int64: where its points' begin in ids and weights
    ids: Array  # (Σ N·corners,) int32 rows
    weights: Array  # (Σ N·corners,) float32
    scales: Array  # (T·N,) float32: of the normalisation, on the way …
    before: Array  # (T,) bool: … in
    after: Array  # (T,) bool: … and out
    starts: Array  # (T, bands + 1): points that each thread splats
    first_row: Array  # (T, bands)
    touched: Array  # rows touched before each block of points, from first_row on …
    touched_at: Array  # (T, bands) … and where a band's begin
    copies: Array  # int32 rows that repeat `primaries`
    primaries: Array
    copy_cuts: Array  # (bands + 1,) where each band's copies begin
    order: Array  # int32 rows along the chains
    cuts: Array  # (T, most corners, bands + 1) where in `order` each thread's share of an axis begins; empty: no such axis


class BuiltKernels(NamedTuple):
    """`Kernels`, how many rows they have, and what their sums are multiplied by."""

    kernels: Kernels
    rows: int
    factors: tuple[float, ...]


def build_kernels(wanted: Sequence[PointKernel], pixels: int, boundaries: Sequence[int]) -> BuiltKernels:
    """Build the lattices of all kernels, not yet normalised.

    Args:
        wanted: the kernels.
        pixels: N.
        boundaries: points at which bands begin, multiples of a block; and N.

    Raises:
        DataError: if a feature is not finite, or too large for float32 to tell points apart.
    """
    parts = len(boundaries) - 1
    corners = np.array([kernel.dimensions + 1 for kernel in wanted], np.int64)
    first = np.cumsum([0, *(pixels * corners)])
    ids, weights = np.empty(first[-1], np.int32), np.empty(first[-1], np.float32)
    scales = np.ones(len(wanted) * pixels, np.float32)
    lattices: list[Lattice] = []
    row = 0
    for n, kernel in enumerate(wanted):
        place = slice(first[n], first[n + 1])
        lattice = build_lattice(kernel.planes(), pixels, boundaries, into=(ids[place], weights[place]), joins=True)
        ids[place] += row
        row += lattice.rows
        lattices.append(lattice)
    rows = np.cumsum([0, *(lattice.rows for lattice in lattices)])
    kernels = Kernels(
        corners, first[:-1], ids, weights, scales,
        np.zeros(len(wanted), np.bool_), np.zeros(len(wanted), np.bool_),
        *_bands(lattices, rows, pixels, parts), *_copies(lattices, rows, parts), *_chains(lattices, rows, parts),
    )  # fmt: skip
    return BuiltKernels(kernels, int(rows[-1]), tuple(lattice_factor(kernel.dimensions, 1) for kernel in wanted))


def normalise(built: BuiltKernels, wanted: Sequence[PointKernel]) -> None:
    """Make normalisations of the row sums in `scales`, in place."""
    kernels = built.kernels
    for n, (kernel, sums) in enumerate(zip(wanted, np.split(kernels.scales, max(len(wanted), 1)))):
        sums *= np.float32(built.factors[n])
        sums += np.float32(1e-20)
        if kernel.normalization == "symmetric":
            np.sqrt(sums, out=sums)
        np.reciprocal(sums, out=sums)
        kernels.before[n] = kernel.normalization in ("symmetric", "before")
        kernels.after[n] = kernel.normalization in ("symmetric", "after")


def _bands(lattices: Sequence[Lattice], rows: Array, pixels: int, parts: int) -> tuple[Array, Array, Array, Array]:
    """`starts`, `first_row`, `touched` and `touched_at`; a lattice in one piece is the first thread's to splat."""
    starts = np.full((len(lattices), parts + 1), pixels, np.int64)
    first_row, touched_at = np.zeros((2, len(lattices), parts), np.int64)
    touched: list[Array] = [np.zeros(0, np.int64)]
    place = 0
    for n, lattice in enumerate(lattices):
        for part, band in enumerate(lattice.bands):
            starts[n, part] = band.start
            first_row[n, part] = rows[n] + band.first_row
            touched_at[n, part] = place
            touched.append(band.touched)
            place += len(band.touched)
    return starts, first_row, np.concatenate(touched), touched_at


def _copies(lattices: Sequence[Lattice], rows: Array, parts: int) -> tuple[Array, Array, Array]:
    """`copies`, `primaries` and `copy_cuts`: band after band, and within a band kernel after kernel."""
    copies: list[Array] = [np.zeros(0, np.int32)]
    primaries: list[Array] = [np.zeros(0, np.int32)]
    cuts = np.zeros(parts + 1, np.int64)
    for part in range(parts):
        for n, lattice in enumerate(lattices):
            if part < len(lattice.bands):
                own = slice(lattice.copy_cuts[part], lattice.copy_cuts[part + 1])
                copies.append(lattice.copies[own] + np.int32(rows[n]))
                primaries.append(lattice.primaries[own] + np.int32(rows[n]))
        cuts[part + 1] = sum(map(len, copies))
    return np.concatenate(copies), np.concatenate(primaries), cuts


def _chains(lattices: Sequence[Lattice], rows: Array, parts: int) -> tuple[Array, Array]:
    """`order` and `cuts`; rows that begin a chain are −1 − row."""
    most = max((lattice.corners for lattice in lattices), default=0)
    cuts = np.zeros((len(lattices), most, parts + 1), np.int64)
    orders: list[Array] = [np.zeros(0, np.int32)]
    place = 0
    for n, lattice in enumerate(lattices):
        order = lattice.order
        if rows[n]:
            np.add(order, np.where(order < 0, np.int32(-rows[n]), np.int32(rows[n])), out=order)
        cuts[n, : lattice.corners] = lattice.cuts + place
        orders.append(order)
        place += len(order)
    return np.concatenate(orders) if len(lattices) != 1 else lattices[0].order, cuts
