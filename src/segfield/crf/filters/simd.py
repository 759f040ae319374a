"""Rows of float32 as single values inside Numba: LLVM's vector type, as long as a pixel has channels.

LLVM turns plain loops into vector code only where it can prove that nothing overlaps; the filters' scattered rows defeat it.
Here a row of channels is one value with loads, stores, arithmetic and an exponential. LLVM splits it into whatever registers
the processor has. How long rows are is part of a function's type: a `Width` is handed along, and each width is compiled once.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.imputils import lower_constant
from numba.extending import NativeValue, intrinsic, models, register_model, typeof_impl, unbox

_FLOAT, _INT = ir.FloatType(), ir.IntType(32)


class Width:
    """Lanes of a row, for compiled functions."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes


class WidthType(types.Type):  # type: ignore[misc]
    """Numba's type of a Width: one type for each number of lanes."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        super().__init__(name=f"Width({lanes})")


class RowType(types.Type):  # type: ignore[misc]
    """Numba's type of `lanes` float32."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        super().__init__(name=f"Row({lanes})")


EIGHT = Width(8)

# how the type checker sees rows and float32 inside compiled code
Row = Any
Scalar = Any


def lanes_for(channels: int) -> int:
    """Lanes of a row with so many channels: 4, or whole eights."""
    return 4 if channels <= 4 else -(-channels // 8) * 8


@typeof_impl.register(Width)  # type: ignore[untyped-decorator,unused-ignore]
def _type_of_width(value: Width, context: Any) -> WidthType:
    return WidthType(value.lanes)


register_model(WidthType)(models.OpaqueModel)


@unbox(WidthType)  # type: ignore[untyped-decorator,unused-ignore]
def _unbox_width(typ: Any, value: Any, context: Any) -> Any:
    return NativeValue(context.context.get_dummy_value())


@lower_constant(WidthType)  # type: ignore[untyped-decorator,unused-ignore]
def _constant_width(context: Any, builder: Any, typ: Any, value: Any) -> Any:
    return context.get_dummy_value()


def _parts(lanes: int) -> list[int]:
    """How a row is cut into registers: sixteens, then an eight, then a four."""
    return [16] * (lanes // 16) + [8] * (lanes % 16 // 8) + [4] * (lanes % 8 // 4)


def _vector(lanes: int) -> Any:
    return ir.VectorType(_FLOAT, lanes)


def _row_of(parts: list[int]) -> Any:
    return ir.LiteralStructType([_vector(part) for part in parts])


@register_model(RowType)  # type: ignore[untyped-decorator,unused-ignore]
class _RowModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, _row_of(_parts(fe_type.lanes)))


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any, element: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), ir.PointerType(element))


def _by_parts(builder: Any, lanes: int, made: Any) -> Any:
    """A row whose part n, from lane `first` on, is made(n, vector type, first)."""
    parts = _parts(lanes)
    row = ir.Constant(_row_of(parts), ir.Undefined)
    first = 0
    for n, part in enumerate(parts):
        row = builder.insert_value(row, made(n, _vector(part), first), n)
        first += part
    return row


def _part_of(builder: Any, row: Any, n: int) -> Any:
    return builder.extract_value(row, n)


def _repeated(builder: Any, scalar: Any, vector: Any) -> Any:
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, _INT(0))
    zeros = ir.Constant(ir.VectorType(_INT, vector.count), [0] * vector.count)
    return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), zeros)


def _constant(value: float, vector: Any) -> Any:
    return ir.Constant(vector, [value] * vector.count)


def _call(builder: Any, name: str, arguments: list[Any], returns: Any, **flags: Any) -> Any:
    kind = ir.FunctionType(returns, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments, **flags)


@intrinsic  # type: ignore[untyped-decorator,unused-ignore]
def load(typingctx: Any, array: Any, index: Any, width: Any) -> Any:
    """The row that begins at array[index] of a flat float32 array."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def loaded(n: int, vector: Any, first: int) -> Any:
            place = builder.add(args[1], ir.Constant(args[1].type, first))
            return builder.load(_pointer(context, builder, array, args[0], place, vector), align=4)

        return _by_parts(builder, width.lanes, loaded)

    return RowType(width.lanes)(array, types.intp, width), codegen


@intrinsic  # type: ignore[untyped-decorator,unused-ignore]
def store(typingctx: Any, array: Any, index: Any, row: Any) -> Any:
    """array[index : index + lanes] = row."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        first = 0
        for n, part in enumerate(_parts(row.lanes)):
            place = builder.add(args[1], ir.Constant(args[1].type, first))
            target = _pointer(context, builder, array, args[0], place, _vector(part))
            builder.store(_part_of(builder, args[2], n), target, align=4)
            first += part
        return context.get_dummy_value()

    return types.void(array, types.intp, row), codegen


@intrinsic  # type: ignore[untyped-decorator,unused-ignore]
def item(typingctx: Any, array: Any, index: Any) -> Any:
    """array[index] of a flat array, for an index that is never negative: Numba's own indexing asks that each time."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(array)(context, builder, args[0]).data
        return builder.load(builder.gep(data, [args[1]]))

    return array.dtype(array, types.intp), codegen


@intrinsic  # type: ignore[untyped-decorator,unused-ignore]
def prefetch(typingctx: Any, array: Any, index: Any) -> Any:
    """Ask for the cache line of array[index], to be read or written soon."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = _pointer(context, builder, array, args[0], args[1], ir.IntType(8))
        _call(builder, "llvm.prefetch.p0", [place, _INT(0), _INT(3), _INT(1)], ir.VoidType())
        return context.get_dummy_value()

    return types.void(array, types.intp), codegen


@intrinsic  # type: ignore[untyped-decorator,unused-ignore]
def transpose(
    typingctx: Any, source: Any, place: Any, pitch: Any, rows: Any, target: Any, to: Any, to_pitch: Any, to_rows: Any
) -> Any:
    """target[to + j·to_pitch + i] = source[place + i·pitch + j] for i, j = 0 … 7, of flat float32 arrays.

    Of the source's `rows`, 1 … 8, the last stands for any that are missing; the target has `to_rows`, 1 … 8.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _transpose(context, builder, (source, *args[:4]), (target, *args[4:]))
        return context.get_dummy_value()

    one = (types.intp, types.intp, types.intp)
    return types.void(source, *one, target, *one), codegen


def _transpose(context: Any, builder: Any, source: Any, target: Any) -> None:
    """Eight by eight between two (array's type, array, place, pitch, rows)."""
    vector = _vector(8)

    def line(given: Any, n: int) -> Any:
        array_type, array, first, step, limit = given
        number = ir.Constant(step.type, n)
        last = builder.sub(limit, ir.Constant(step.type, 1))
        used = builder.select(builder.icmp_signed("<", number, last), number, last)
        return _pointer(context, builder, array_type, array, builder.add(first, builder.mul(step, used)), vector)

    rows = [builder.load(line(source, n), align=4) for n in range(8)]
    for distance in (4, 2, 1):  # swap the off-diagonal blocks of 4, 2 and 1
        for n in range(8):
            if not n & distance:
                a, b = rows[n], rows[n + distance]
                low = [j if not j & distance else 8 + j - distance for j in range(8)]
                high = [j + distance if not j & distance else 8 + j for j in range(8)]
                mask = ir.VectorType(_INT, 8)
                rows[n] = builder.shuffle_vector(a, b, ir.Constant(mask, low))
                rows[n + distance] = builder.shuffle_vector(a, b, ir.Constant(mask, high))
    for n in range(8):
        if n:  # beyond the last row the last is written again
            inside = builder.icmp_signed("<", ir.Constant(target[4].type, n), target[4])
            rows[n] = builder.select(inside, rows[n], rows[n - 1])
        builder.store(rows[n], line(target, n), align=4)


@intrinsic  # type: ignore[untyped-decorator,unused-ignore]
def broadcast(typingctx: Any, scalar: Any, width: Any) -> Any:
    """A row of the same float32 everywhere."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _by_parts(builder, width.lanes, lambda n, vector, first: _repeated(builder, args[0], vector))

    return RowType(width.lanes)(types.float32, width), codegen


def _lane_by_lane(operation: Any, arity: int, doc: str) -> Any:
    """An intrinsic on `arity` rows from operation(builder, vector type, vectors) → vector."""
    if arity == 1:

        @intrinsic  # type: ignore[untyped-decorator,unused-ignore]
        def apply(typingctx: Any, a: Any) -> Any:
            return a(a), _codegen(operation, a.lanes)
    elif arity == 2:

        @intrinsic  # type: ignore[untyped-decorator,unused-ignore]
        def apply(typingctx: Any, a: Any, b: Any) -> Any:
            return a(a, a), _codegen(operation, a.lanes)
    else:

        @intrinsic  # type: ignore[untyped-decorator,unused-ignore]
        def apply(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
            return c(c, c, c), _codegen(operation, c.lanes)

    apply.__doc__ = doc
    return apply


def _codegen(operation: Any, lanes: int) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _by_parts(
            builder, lanes, lambda n, vector, first: operation(builder, vector, [_part_of(builder, a, n) for a in args])
        )

    return codegen


def _fused(builder: Any, a: Any, b: Any, c: Any) -> Any:
    return _call(builder, f"llvm.fma.v{c.type.count}f32", [a, b, c], c.type)


def _larger(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


add = _lane_by_lane(lambda builder, vector, v: builder.fadd(*v), 2, "a + b")
subtract = _lane_by_lane(lambda builder, vector, v: builder.fsub(*v), 2, "a − b")
multiply = _lane_by_lane(lambda builder, vector, v: builder.fmul(*v), 2, "a·b")
multiply_add = _lane_by_lane(lambda builder, vector, v: _fused(builder, *v), 3, "a·b + c, rounded once if possible")
maximum = _lane_by_lane(
    lambda builder, vector, v: _larger(builder, *v), 2, "The larger of each lane; b where a is NaN."
)
minimum = _lane_by_lane(
    lambda builder, vector, v: builder.select(builder.fcmp_ordered("<", *v), *v),
    2,
    "The smaller of each lane; b where a is NaN.",
)
is_greater = _lane_by_lane(
    lambda builder, vector, v: builder.select(
        builder.fcmp_ordered(">", *v), _constant(1.0, vector), _constant(0.0, vector)
    ),
    2,
    "1 where a > b, else 0",
)
nearest_integer = _lane_by_lane(
    lambda builder, vector, v: _call(builder, f"llvm.rint.v{vector.count}f32", v, vector), 1, "Rounded, halves to even."
)


@intrinsic  # type: ignore[untyped-decorator,unused-ignore]
def scale_add(typingctx: Any, factor: Any, b: Any, c: Any) -> Any:
    """factor·b + c with a scalar factor."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def made(n: int, vector: Any, first: int) -> Any:
            factors = _repeated(builder, args[0], vector)
            return _fused(builder, factors, _part_of(builder, args[1], n), _part_of(builder, args[2], n))

        return _by_parts(builder, c.lanes, made)

    return c(types.float32, c, c), codegen


def _folded(builder: Any, parts: list[Any], combine: Any) -> Any:
    """The parts of a row combined into one vector of eight (or four) lanes, by halving the sixteens first."""
    narrow = []
    for vector in parts:
        if vector.type.count == 16:
            for start in (0, 8):
                chosen = ir.Constant(ir.VectorType(_INT, 8), list(range(start, start + 8)))
                narrow.append(builder.shuffle_vector(vector, vector, chosen))
        else:
            narrow.append(vector)
    fours = [vector for vector in narrow if vector.type.count == 4]
    eights = [vector for vector in narrow if vector.type.count == 8]
    while len(eights) > 1:
        eights = [combine(builder, *eights[n : n + 2]) for n in range(0, len(eights) - 1, 2)] + eights[
            len(eights) & ~1 :
        ]
    return eights[0] if eights else fours[0]


def _reduction(name: str, start: list[Any], combine: Any, flags: tuple[str, ...]) -> Any:
    @intrinsic  # type: ignore[untyped-decorator,unused-ignore]
    def apply(typingctx: Any, row: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            parts = [_part_of(builder, args[0], n) for n in range(len(_parts(row.lanes)))]
            vector = _folded(builder, parts, combine)
            whole = f"llvm.vector.reduce.{name}.v{vector.type.count}f32"
            return _call(builder, whole, [*start, vector], _FLOAT, fastmath=flags)

        return types.float32(row), codegen

    return apply


total = _reduction("fadd", [ir.Constant(_FLOAT, -0.0)], lambda builder, a, b: builder.fadd(a, b), ("reassoc",))
largest = _reduction("fmax", [], _larger, ("nnan", "reassoc"))


@intrinsic  # type: ignore[untyped-decorator,unused-ignore]
def any_above(typingctx: Any, row: Any, limit: Any) -> Any:
    """Whether a lane is above the limit."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        found = ir.Constant(ir.IntType(1), 0)
        for n, part in enumerate(_parts(row.lanes)):
            limits = _repeated(builder, args[1], _vector(part))
            above = builder.fcmp_ordered(">", _part_of(builder, args[0], n), limits)
            bits = builder.bitcast(above, ir.IntType(part))
            found = builder.or_(found, builder.icmp_unsigned("!=", bits, ir.Constant(ir.IntType(part), 0)))
        return found

    return types.boolean(row, types.float32), codegen


# exp(x) = 2^n · e^r with n = round(x / ln 2) and |r| ≤ ½ ln 2; e^r by its minimax polynomial of degree 5.
# Adding 1.5·2²³ rounds to a whole number and leaves it in the lowest bits.
_LOG2_E, _LN2_HIGH, _LN2_LOW, _ROUND = 1.44269504088896341, 0.693359375, -2.12194440e-4, 12582912.0
_POLYNOMIAL = (
    8.29761940985918e-3,
    4.191562905907631e-2,
    1.6667576134204865e-1,
    4.999889135360718e-1,
    9.999997019767761e-1,
    1.0000001192092896,
)
_LOWEST = -60.0  # e^−60 is nothing beside 1 in float32, and what is smaller makes the slow denormal numbers in products


def _exponential(builder: Any, vector: Any, arguments: list[Any]) -> Any:
    whole = ir.VectorType(_INT, vector.count)
    lowest = _constant(_LOWEST, vector)
    x = _larger(builder, arguments[0], lowest)
    shifted = _fused(builder, x, _constant(_LOG2_E, vector), _constant(_ROUND, vector))
    n = builder.fsub(shifted, _constant(_ROUND, vector))
    r = _fused(builder, n, _constant(-_LN2_HIGH, vector), x)
    r = _fused(builder, n, _constant(-_LN2_LOW, vector), r)
    p = _constant(_POLYNOMIAL[0], vector)
    for coefficient in _POLYNOMIAL[1:]:
        p = _fused(builder, p, r, _constant(coefficient, vector))
    exponent = builder.shl(builder.bitcast(shifted, whole), ir.Constant(whole, [23] * vector.count))
    grown = builder.bitcast(builder.add(builder.bitcast(p, whole), exponent), vector)
    return builder.select(builder.fcmp_ordered(">", arguments[0], lowest), grown, _constant(0.0, vector))


exponential = _lane_by_lane(_exponential, 1, "e^x of each lane, 0 below −60; not to be called above 88.")
