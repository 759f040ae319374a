"""The inner loops of the tiled filter as vector code: a block of kernel values, and its product with the values.

Sixteen output pixels lie side by side in a vector; sources and channels are broadcast one by one, so a sum of eight channels
stays in registers over a whole block. Written as LLVM vectors, because plain loops are not turned into this by the compiler.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from segfield.crf.filters.compiled import compiled

LANES = 16  # output pixels side by side; a tile of the CPU's filter is a multiple of it
CHANNELS = 8  # channels summed at once: the values are padded to a multiple
SOURCES = 4  # sources whose distances are taken at once
BLOCK = 128  # sources of a block: 8 KB of kernel values stay in the first cache

_INTP = ir.IntType(64)
_FORMS = {  # element, integer of its size, bits of the mantissa, lowest exponent, degree of the polynomial
    types.float32: (ir.FloatType(), ir.IntType(32), 23, -125.0, 5),
    types.float64: (ir.DoubleType(), ir.IntType(64), 52, -1021.0, 12),
}


def power_of_two(degree: int) -> Any:
    """Coefficients, lowest first, of 2^x on [−½, ½] by interpolation in Chebyshev points."""
    series = np.polynomial.chebyshev.Chebyshev.interpolate(np.exp2, degree, domain=[-0.5, 0.5])
    return series.convert(kind=np.polynomial.Polynomial).coef


class _Vectors:
    """Loads, broadcasts and arithmetic on sixteen elements of a float type, emitted with one builder."""

    def __init__(self, context: Any, builder: Any, element_type: Any) -> None:
        self.context, self.builder = context, builder
        self.element, self.integer, self.mantissa, self.lowest, self.degree = _FORMS[element_type]
        self.vector, self.integers = ir.VectorType(self.element, LANES), ir.VectorType(self.integer, LANES)
        self.bytes = 4 if self.integer.width == 32 else 8

    def data(self, array_type: Any, array: Any) -> Any:
        return self.context.make_array(array_type)(self.context, self.builder, array).data

    def place(self, data: Any, index: Any) -> Any:
        return self.builder.bitcast(self.builder.gep(data, [index]), ir.PointerType(self.vector))

    def load(self, data: Any, index: Any) -> Any:
        return self.builder.load(self.place(data, index), align=self.bytes)

    def store(self, vector: Any, data: Any, index: Any) -> None:
        self.builder.store(vector, self.place(data, index), align=self.bytes)

    def broadcast(self, data: Any, index: Any) -> Any:
        scalar = self.builder.load(self.builder.gep(data, [index]))
        nothing = ir.Constant(self.vector, ir.Undefined)
        one = self.builder.insert_element(nothing, scalar, ir.IntType(32)(0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        return self.builder.shuffle_vector(one, nothing, zeros)

    def constant(self, value: float) -> Any:
        return ir.Constant(self.vector, [value] * LANES)

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        """a·b + c, fused where the processor can."""
        return self.builder.fadd(self.builder.fmul(a, b, flags=["contract"]), c, flags=["contract"])

    def gaussian(self, squared: Any) -> Any:
        """exp(−½ · squared): 2^f with |f| ≤ ½ by a polynomial, 2^n by adding n to its exponent."""
        builder = self.builder
        x = builder.fmul(squared, self.constant(-0.5 / float(np.log(2.0))))
        x = builder.select(builder.fcmp_ordered("<", x, self.constant(self.lowest)), self.constant(self.lowest), x)
        kind = ir.FunctionType(self.vector, [self.vector])
        rint = cgutils.get_or_insert_function(builder.module, kind, f"llvm.rint.v{LANES}f{self.integer.width}")
        n = builder.call(rint, [x])
        fraction = builder.fsub(x, n)
        *lower, power = [self.constant(float(coefficient)) for coefficient in power_of_two(self.degree)]
        for coefficient in reversed(lower):
            power = self.multiply_add(power, fraction, coefficient)
        shift = ir.Constant(self.integers, [self.mantissa] * LANES)
        exponent = builder.shl(builder.fptosi(n, self.integers), shift)
        return builder.bitcast(builder.add(builder.bitcast(power, self.integers), exponent), self.vector)


@intrinsic  # type: ignore[untyped-decorator,unused-ignore]
def gaussian_block(
    typingctx: Any,
    block: Any,
    offset: Any,
    targets: Any,
    target: Any,
    sources: Any,
    source: Any,
    count: Any,
    width: Any,
) -> Any:
    """block[offset + 16 j + lane] = exp(−½|target_lane − source_j|²) for count sources, a multiple of four.

    targets holds from `target` on width rows of 16; sources from `source` on count rows of `width`; all flat.
    """

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        v = _Vectors(context, builder, signature.args[0].dtype)
        block, targets, sources = (v.data(signature.args[k], args[k]) for k in (0, 2, 4))
        offset, target, source, count, width = args[1], args[3], args[5], args[6], args[7]
        totals = [cgutils.alloca_once(builder, v.vector) for _ in range(SOURCES)]
        with cgutils.for_range_slice(builder, _INTP(0), count, _INTP(SOURCES)) as (first, _):
            for total in totals:
                builder.store(v.constant(0.0), total)
            with cgutils.for_range(builder, width) as dimension:
                here = v.load(targets, builder.add(target, builder.mul(dimension.index, _INTP(LANES))))
                for k, total in enumerate(totals):
                    row = builder.mul(builder.add(first, _INTP(k)), width)
                    place = builder.add(source, builder.add(row, dimension.index))
                    gap = builder.fsub(here, v.broadcast(sources, place))
                    builder.store(v.multiply_add(gap, gap, builder.load(total)), total)
            for k, total in enumerate(totals):
                place = builder.add(offset, builder.mul(builder.add(first, _INTP(k)), _INTP(LANES)))
                v.store(v.gaussian(builder.load(total)), block, place)
        return context.get_dummy_value()

    return types.void(block, types.intp, targets, types.intp, sources, types.intp, types.intp, types.intp), emit


@intrinsic  # type: ignore[untyped-decorator,unused-ignore]
def add_products(
    typingctx: Any, sums: Any, block: Any, offset: Any, values: Any, value: Any, count: Any, stride: Any
) -> Any:
    """sums[16 c + lane] += Σ_j block[offset + 16 j + lane] · values[value + j · stride + c], c < stride, flat.

    stride is a multiple of eight. Each block is summed by itself before it is added, so rounding grows with
    the number of blocks, not of pixels.
    """

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        v = _Vectors(context, builder, signature.args[0].dtype)
        sums, block, values = (v.data(signature.args[k], args[k]) for k in (0, 1, 3))
        offset, value, count, stride = args[2], args[4], args[5], args[6]
        parts = [cgutils.alloca_once(builder, v.vector) for _ in range(CHANNELS)]
        with cgutils.for_range_slice(builder, _INTP(0), stride, _INTP(CHANNELS)) as (channel, _):
            for part in parts:
                builder.store(v.constant(0.0), part)
            first = builder.add(value, channel)
            with cgutils.for_range(builder, count) as row:
                weight = v.load(block, builder.add(offset, builder.mul(row.index, _INTP(LANES))))
                place = builder.add(first, builder.mul(row.index, stride))
                for k, part in enumerate(parts):
                    shown = v.broadcast(values, builder.add(place, _INTP(k)))
                    builder.store(v.multiply_add(weight, shown, builder.load(part)), part)
            for k, part in enumerate(parts):
                place = builder.mul(builder.add(channel, _INTP(k)), _INTP(LANES))
                v.store(builder.fadd(v.load(sums, place), builder.load(part)), sums, place)
        return context.get_dummy_value()

    return types.void(sums, block, types.intp, values, types.intp, types.intp, types.intp), emit


@compiled
def sum_tiles(
    outputs: Any,
    order: Any,
    targets: Any,
    sources: Any,
    values: Any,
    starts: Any,
    runs: Any,
    tile: int,
    first: int,
    last: int,
) -> None:
    """Sum the kept runs of the tiles first to last − 1 into the rows of outputs (N, C).

    targets: flat, for each 16 places D rows of 16. sources: (places, D). values: (places, stride), zero where no pixel is.
    """
    width, stride = sources.shape[1], values.shape[1]
    size, channels = outputs.shape
    flat_sources, flat_values = sources.reshape(-1), values.reshape(-1)
    block = np.empty(BLOCK * LANES, values.dtype)
    sums = np.empty(stride * LANES, values.dtype)
    for place in range(first * tile, min(last * tile, size), LANES):
        sums[:] = 0
        for run in range(starts[place // tile], starts[place // tile + 1]):
            end = min(runs[run, 1] * tile, len(sources))
            for source in range(runs[run, 0] * tile, end, BLOCK):
                count = min(end - source, BLOCK)
                gaussian_block(block, 0, targets, place * width, flat_sources, source * width, count, width)
                add_products(sums, block, 0, flat_values, source * stride, count, stride)
        for lane in range(min(LANES, size - place)):
            for channel in range(channels):
                outputs[order[place + lane], channel] = sums[channel * LANES + lane]
