"""The permutohedral lattice as a filter on the CPU (Adams, Baek & Davis 2010): any number of features, several threads."""

from __future__ import annotations

import math

import numpy as np

from segfield.classes import Array
from segfield.crf.filters.lattice_rows import blur_chains, clear_rows, gather_copies, slice_rows, splat, spread_copies
from segfield.crf.filters.lattice_structure import Lattice, build_lattice
from segfield.crf.filters.simd import EIGHT, Width, lanes_for
from segfield.crf.threads import together, usable_threads
from segfield.errors import DataError

_PIXELS_A_THREAD = 8192
FEW_VERTICES = 0.25  # vertices a pixel


class LatticeFilter:
    """K·v approximately, in time linear in N: splat to the lattice's vertices, blur along its D + 1 axes, slice.

    The lattice interpolates linearly and blurs only where vertices exist, so each sum is somewhat too small and the
    operator not quite symmetric; normalised, it is off by a few per cent (`benchmarks/crf_exactness.py` measures it).

    Args:
        features: (N, D), divided by their bandwidths; finite.
        fine: a better lattice, see `lattice_of`: nearer to the exact sum, more work.
        threads: at most so many; all cores by default. The sums' order depends on it, so results agree to rounding only.

    Raises:
        DataError: if the features are not (N, D) and finite.
    """

    def __init__(self, features: Array, fine: bool = False, threads: int | None = None) -> None:
        if features.ndim != 2 or 0 in features.shape:
            raise DataError(f"features have the shape {features.shape}; give (N, D): a row of features for each pixel")
        pixels, dimensions = features.shape
        planes = padded_planes(features.T, pixels)
        self.lattice = lattice_of(planes, pixels, band_boundaries(pixels, threads), fine)
        self.size = pixels
        self.factor = lattice_factor(dimensions, self.lattice.rounds)

    def __call__(self, values: Array) -> Array:
        """(N, C) → K·values, (N, C) float32."""
        return self._filtered(values, blur_axes(self.lattice))

    def transposed(self, values: Array) -> Array:
        """(N, C) → Kᵀ·values, (N, C) float32: the blur runs along the axes in reverse order."""
        return self._filtered(values, blur_axes(self.lattice)[::-1])

    def _filtered(self, values: Array, axes: list[int]) -> Array:
        if values.ndim != 2 or len(values) != self.size:
            raise DataError(f"values have the shape {values.shape}; give ({self.size}, C), a row for each pixel")
        channels = values.shape[1]
        stride = lanes_for(channels)
        padded = np.zeros((self.size, stride), np.float32)
        padded[:, :channels] = values
        flat = padded.reshape(-1)
        rows = np.empty(self.lattice.rows * stride, np.float32)
        splat_and_blur(self.lattice, flat, rows, stride, axes)

        slice_bands(self.lattice, rows, flat, stride, self.factor)
        return padded[:, :channels].copy() if channels < stride else padded


def lattice_of(planes: Array, pixels: int, boundaries: list[int], fine: bool) -> Lattice:
    """The plain lattice, or a finer one whose axes are blurred several times, with the neighbours of touched vertices.

    Where kernels are wide there are few vertices, so that three rounds and two rings of neighbours are within reach.
    """
    plain = build_lattice(planes, pixels, boundaries)
    if not fine:
        return plain
    if plain.vertices < FEW_VERTICES * pixels:
        return build_lattice(planes, pixels, boundaries, rounds=3, dilations=2)
    return build_lattice(planes, pixels, boundaries, rounds=2, dilations=1)


def splat_and_blur(lattice: Lattice, values: Array, rows: Array, stride: int, axes: list[int]) -> None:
    """Fill `rows` (R·stride,) float32 with the blurred sums of `values` (N·stride,) float32."""
    width = Width(stride)

    def splat_band(part: int) -> None:
        band = lattice.bands[part]
        splat(
            values, lattice.ids, lattice.weights, lattice.corners, rows, band.start, band.stop, band.first_row,
            band.touched, width, stride,
        )  # fmt: skip

    together(len(lattice.bands), splat_band)
    clear_rows(rows, lattice.extra_row, lattice.rows, width, stride)
    gather_copies(rows, lattice.copies, lattice.primaries, 0, 1, width, stride)
    for axis in axes:

        def blur_part(part: int, cuts: Array = lattice.cuts[axis]) -> None:
            blur_chains(rows, lattice.order, cuts[part], cuts[part + 1], width, stride)

        together(lattice.cuts.shape[1] - 1, blur_part)
    spread_copies(rows, lattice.copies, lattice.primaries, 0, len(lattice.copies), width, stride)


def slice_bands(lattice: Lattice, rows: Array, values: Array, stride: int, factor: float) -> None:
    """values (N·stride,) = factor · Σ weight · row of vertex."""

    def slice_band(part: int) -> None:
        band = lattice.bands[part]
        slice_rows(
            rows, lattice.ids, lattice.weights, lattice.corners, values, band.start, band.stop, np.float32(factor),
            Width(stride), stride,
        )  # fmt: skip

    together(len(lattice.bands), slice_band)


def blur_axes(lattice: Lattice) -> list[int]:
    """The axes in the order of the blur; every second round runs backwards, which makes two rounds symmetric."""
    axes = list(range(lattice.corners))
    return [axis for turn in range(lattice.rounds) for axis in (axes[::-1] if turn % 2 else axes)]


def lattice_factor(dimensions: int, rounds: int) -> float:
    """What the sliced sums are multiplied by.

    One round: 1/(1 + 2^−D), the reference code's, with which weights found by others keep their meaning where no
    normalisation is applied. More: what makes the kernel's integral that of the Gaussian, (2π)^(D/2): a round multiplies
    by 2 along each of the D + 1 axes, and a vertex owns the volume √(1/(D + 1))·(1/6 + rounds/2)^(−D/2).
    """
    if rounds == 1:
        return 1 / (1 + 2.0**-dimensions)
    volume = (1 / 6 + rounds / 2) ** (-dimensions / 2) / math.sqrt(dimensions + 1)
    return float((2 * math.pi) ** (dimensions / 2) / (2.0 ** (rounds * (dimensions + 1)) * volume))


def padded_planes(planes: Array, pixels: int) -> Array:
    """(D, N) → (D, N + padding) float32, contiguous, with room for whole vectors after the last pixel."""
    padded = with_padding(len(planes), pixels)
    padded[:, :pixels] = planes
    return padded


def with_padding(count: int, pixels: int) -> Array:
    """Planes (count, N + padding) float32 with anything in them, but 0 in the padding."""
    planes = np.empty((count, pixels + EIGHT.lanes), np.float32)
    planes[:, pixels:] = 0
    return planes


def band_boundaries(pixels: int, threads: int | None, unit: int = 1) -> list[int]:
    """Where each thread's band begins, and N: equal shares, cut at multiples of `unit` pixels, none too small to pay."""
    most = min(pixels // _PIXELS_A_THREAD, pixels // unit)
    parts = min(most, usable_threads(threads)) if most > 1 else 1  # asking the machine takes longer than a few points
    return [pixels // unit * part // parts * unit for part in range(parts)] + [pixels]
