"""How much memory the dense CRF takes on an image, told before it is taken: its arrays, one after the other, in a ledger.

Only arrays that grow with the image are entered. What follows from the image alone is the number of the lattice's vertices, which
is counted (`vertex_count`): a photograph has a tenth of a vertex a pixel, an image of pure noise six.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from segfield.classes import Array
from segfield.crf.buffers import KEPT_BYTES
from segfield.crf.filters.lattice import FEW_VERTICES, band_boundaries
from segfield.crf.filters.simd import lanes_for
from segfield.crf.image_kernels import HALVED_FROM, bilateral_planes, halved_image
from segfield.crf.image_range import in_byte_units, white_value
from segfield.crf.image_stages import cheap_iterations
from segfield.crf.large_image import Window, axis_weights, tile_overlap, tile_side
from segfield.crf.parameters import widest
from segfield.crf.vertex_count import count_vertices

if TYPE_CHECKING:
    from segfield.crf.dense_crf import DenseCRF

_EXACT_CLASS, _EXACT_PIXEL = 44, 150  # bytes a pixel that the sum over all pairs takes, by the count of its arrays
# By vertices a pixel, as measured on photographs and noise: the share of rows that have a neighbour along an axis; and rows for
# each touched one with the rings of neighbours that a fine lattice adds.
_CHAINED = ((0.07, 0.3, 0.9, 3.2, 6.0), (0.88, 0.84, 0.78, 0.63, 0.36))
_CHAINED_FINE = ((0.2, 0.6, 1.4, 4.2, 6.0), (0.95, 0.92, 0.88, 0.8, 0.58))
_ONE_RING = ((0.15, 0.6, 1.4, 4.2, 6.0), (3.5, 4.0, 4.7, 6.4, 9.9))
_TWO_RINGS = 8.7


class Lattice(NamedTuple):
    """What an image's lattice has: rows, and entries of its chains for each row and axis."""

    rows: int
    chained: float


class Ledger:
    """Bytes held now, the most that were, and spare buffers as `buffers` keeps them."""

    def __init__(self) -> None:
        self.held = self.peak = 0
        self._spare: list[int] = []

    @property
    def spare(self) -> int:
        """Bytes of spare buffers."""
        return 4 * sum(self._spare)

    def take(self, count: float) -> int:
        """Enter `count` bytes; gives them back as what `free` takes."""
        size = int(count)
        self.held += size
        self.peak = max(self.peak, self.held)
        return size

    def free(self, *sizes: int) -> None:
        self.held -= sum(sizes)

    def borrow(self, floats: float) -> int:
        """A buffer of so many float32, a spare one where one fits."""
        size = int(floats)
        fitting = [spare for spare in self._spare if size <= spare <= size + size // 2 + 4096]
        if fitting:
            self._spare.remove(min(fitting))
            return min(fitting)
        self.take(4 * size)
        return size

    def give_back(self, *sizes: int) -> None:
        for size in sizes:
            if size:
                self._spare.append(size)
            while 4 * sum(self._spare) > KEPT_BYTES:
                self.free(4 * self._spare.pop(0))


def crf_bytes(crf: DenseCRF, image: Array, classes: int) -> int:
    """Bytes `crf` takes at most to refine probabilities (K, H, W) float32 of `image`, the result included, on the processor.

    Args:
        crf: parameters; kernels that are off take nothing.
        image: (C, H, W) as it will be given.
        classes: K.
    """
    used, white, ledger = crf._used(), white_value(image, crf.image_range), Ledger()
    _, height, width = image.shape
    side = tile_side(height, width, classes, crf.tile)
    if side is None:
        _window(ledger, used, image, classes, white)
        return ledger.peak
    ledger.take(4 * classes * height * width)
    for rows, columns in _windows(
        (height, width), side, tile_overlap(side, widest(used.bilateral_sxy, used.gaussian_sxy))
    ):
        _window(ledger, used, image[:, rows, columns], classes, white)
        size = ledger.take(4 * classes * (rows.stop - rows.start) * (columns.stop - columns.start))
        ledger.free(ledger.take(size), size)  # its result, and the same weighted
    return ledger.peak


def _windows(size: tuple[int, int], side: int, overlap: int) -> list[Window]:
    down, across = (axis_weights(length, side, overlap) for length in size)
    return [(rows, columns) for rows, _ in down for columns, _ in across]


def _window(ledger: Ledger, crf: DenseCRF, image: Array, classes: int, white: float) -> None:
    """Enter all that one image, refined whole, takes; spare buffers stay."""
    pixels = image.shape[1] * image.shape[2]
    before = ledger.held - ledger.spare
    ledger.take(4 * classes * pixels)
    ledger.free(ledger.take(4 * classes * pixels))  # the clipped probabilities, of which the unary is the logarithm
    scaled = in_byte_units(image, white)
    ledger.take(0 if scaled is image else scaled.nbytes)
    if classes == 1 or (crf.bilateral_sxy is None and crf.gaussian_sxy is None):
        ledger.take(5 * 4 * classes * pixels)
    elif crf.accuracy == "exact":
        ledger.take(pixels * (classes * _EXACT_CLASS + _EXACT_PIXEL))
    else:
        _run(ledger, crf, scaled, classes)
    ledger.free(ledger.held - ledger.spare - before)


def _run(ledger: Ledger, crf: DenseCRF, image: Array, classes: int) -> None:
    """Enter what `ImageCRF(image).run` takes, its first iterations at half resolution or on the plain lattice included."""
    height, width = image.shape[1:]
    pixels, stride = height * width, lanes_for(classes)
    fine = crf.accuracy == "fine"
    lattice = _lattice(crf, image)
    _build(ledger, crf, image, lattice)
    cheap = (crf.accuracy != "exact" if crf.cheap_start is None else crf.cheap_start) and not (
        crf.damping or crf.tolerance
    )
    early = cheap_iterations(crf.iterations, fine, classes, (height, width)) if cheap else 0
    plain, start = dataclasses.replace(crf, accuracy="fast"), 0
    if early and fine:
        _run(ledger, dataclasses.replace(plain, iterations=early), image, classes)
        start = ledger.take(4 * classes * pixels)
    rows = ledger.borrow(pixels * stride)
    given = ledger.borrow(pixels * stride) if start else 0
    if early and not fine:
        given = _halved(ledger, plain, image, stride)
    out = ledger.take(4 * classes * pixels)
    kept = ledger.borrow(pixels * stride) if crf.damping or crf.tolerance else 0
    memory = _iterate(ledger, crf, lattice, (height, width), stride)
    ledger.give_back(*memory)
    ledger.give_back(rows, given, kept)
    ledger.free(out)


def _halved(ledger: Ledger, crf: DenseCRF, image: Array, stride: int) -> int:
    """The iterations at half resolution; gives the buffer they leave."""
    half = halved_image(image)
    ledger.take(half.nbytes)
    smaller = dataclasses.replace(crf, bilateral_sxy=_half(crf.bilateral_sxy), gaussian_sxy=_half(crf.gaussian_sxy))
    size = (half.shape[1], half.shape[2])
    lattice = _lattice(smaller, half)
    _build(ledger, smaller, half, lattice)
    unary, kept = (ledger.borrow(size[0] * size[1] * stride) for _ in range(2))
    ledger.give_back(*_iterate(ledger, smaller, lattice, size, stride), unary)
    return kept


def _iterate(
    ledger: Ledger, crf: DenseCRF, lattice: Lattice | None, size: tuple[int, int], stride: int
) -> tuple[int, int, int, int]:
    """Two buffers of the lattice's rows and two of the Gaussian's lines, borrowed."""
    rows = lattice.rows * stride if lattice else 0
    lines = size[0] * size[1] * stride if crf.gaussian_sxy is not None else 0
    if lines and _is_halved(crf.gaussian_sxy):
        lines = (size[0] + 1) // 2 * ((size[1] + 1) // 2) * stride
    return ledger.borrow(rows), ledger.borrow(rows), ledger.borrow(lines), ledger.borrow(lines)


def _build(ledger: Ledger, crf: DenseCRF, image: Array, lattice: Lattice | None) -> None:
    """The kernels of an image: what stays, and what is needed only to build them."""
    bands, height, width = image.shape
    pixels, factors = height * width, 8  # of a kernel's normalisation, before and after
    if lattice is not None:
        corners = bands + 3
        planes = ledger.take(4 * (bands + 2) * pixels)
        ledger.take(8 * corners * pixels)  # each pixel's vertices, and its weights
        slots = _slots(lattice.rows + 256 * corners)
        table = (
            12 * slots + 4.5 * slots
        )  # hashed keys and their numbers, at most half full; keys and remainders in a row
        chains = 4 * corners * lattice.chained * lattice.rows
        building = ledger.take(table + 10 * lattice.rows)
        ledger.free(ledger.take(chains + 9 * lattice.rows))  # each axis's own, before they are joined
        ledger.take(chains)
        ledger.free(building)
        values, rows = ledger.borrow(4 * pixels), ledger.borrow(4 * lattice.rows)
        ledger.free(ledger.take(16 * pixels))
        ledger.give_back(values, rows)
        ledger.take(factors * pixels)
        ledger.free(planes)
    if crf.gaussian_sxy is not None:
        ledger.free(ledger.take(16 * pixels))  # row sums in float64
        ledger.take(factors * pixels)


def _slots(entries: int) -> int:
    slots = 1 << 12
    while slots < 2 * entries:
        slots *= 2
    return slots


def _lattice(crf: DenseCRF, image: Array) -> Lattice | None:
    """The lattice of an image in units of 0..255, its vertices counted; None without a bilateral kernel."""
    if crf.bilateral_sxy is None:
        return None
    pixels, width = image.shape[1] * image.shape[2], image.shape[2]
    planes, boundaries = (
        bilateral_planes(image, crf.bilateral_sxy, crf.bilateral_srgb),
        band_boundaries(pixels, None, 2 * width),
    )
    rows = count_vertices(planes, pixels, boundaries)
    if crf.accuracy != "fine":
        return Lattice(rows, float(np.interp(rows / pixels, *_CHAINED)))
    rounds = 3 if rows < FEW_VERTICES * pixels else 2
    touched = count_vertices(planes, pixels, boundaries, rounds)
    around = _TWO_RINGS if rounds == 3 else float(np.interp(touched / pixels, *_ONE_RING))
    return Lattice(int(touched * around), float(np.interp(touched / pixels, *_CHAINED_FINE)))


def _is_halved(sxy: float | Sequence[float] | None) -> bool:
    return sxy is not None and min(np.broadcast_to(np.asarray(sxy, np.float64), (2,))) >= HALVED_FROM


def _half(sxy: float | tuple[float, ...] | None) -> float | tuple[float, ...] | None:
    return tuple(value / 2 for value in sxy) if isinstance(sxy, tuple) else sxy and sxy / 2
