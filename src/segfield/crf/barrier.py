"""Where threads of one computation wait for each other inside compiled code: a few microseconds, and fair to other programs.

A waiting thread asks for some microseconds and then sleeps until the last one comes. With a second program on the same cores
a thread that only asks keeps its partner from the core, and one that gives its turn away gets it back a time slice later;
one that sleeps is woken at once. Linux has the call for it (futex); elsewhere the turn is given away.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from typing import Any

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from segfield.classes import Array
from segfield.crf.filters.compiled import compiled_lean

_SPINS = 4000
_GIVE_WAY, _SYSTEM_CALL = "segfield_give_way", "segfield_system_call"
_FUTEX = {"x86_64": 202, "aarch64": 98}.get(platform.machine()) if sys.platform == "linux" else None
_WAIT, _WAKE = 128, 129  # of memory that one process alone uses


def _offer(name: str, function: Any) -> None:
    llvmlite.binding.add_symbol(name, ctypes.cast(function, ctypes.c_void_p).value)


if os.name == "nt":
    _offer(_GIVE_WAY, ctypes.WinDLL("kernel32").SwitchToThread)  # type: ignore[attr-defined, unused-ignore]
else:
    _offer(_GIVE_WAY, ctypes.CDLL(None).sched_yield)
if _FUTEX is not None:
    _offer(_SYSTEM_CALL, ctypes.CDLL(None).syscall)

ARRIVED, GENERATION = 0, 8  # places in the barrier's array, on cache lines of their own


def new_barrier() -> Array:
    """A barrier for one computation: (16,) int64 zeros."""
    return np.zeros(16, np.int64)


@intrinsic  # type: ignore[untyped-decorator,unused-ignore]
def _add_atomically(typingctx: Any, array: Any, index: Any, value: Any) -> Any:
    """Add to array[index] and return what was there, seen by all threads in one order."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.atomic_rmw("add", builder.gep(data, [args[1]]), args[2], "seq_cst")

    return types.int64(array, types.intp, types.int64), codegen


@intrinsic  # type: ignore[untyped-decorator,unused-ignore]
def _seen(typingctx: Any, array: Any, index: Any) -> Any:
    """array[index] as the other threads left it."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.load_atomic(builder.gep(data, [args[1]]), "seq_cst", 8)

    return types.int64(array, types.intp), codegen


def _futex(context: Any, builder: Any, array_type: Any, array: Any, index: Any, operation: int, value: Any) -> None:
    long, address = ir.IntType(64), ir.PointerType(ir.IntType(64))
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(long, [long], var_arg=True), _SYSTEM_CALL)
    data = context.make_array(array_type)(context, builder, array).data
    nothing = ir.Constant(address, None)
    builder.call(function, [long(_FUTEX), builder.gep(data, [index]), long(operation), value, nothing])


@intrinsic  # type: ignore[untyped-decorator,unused-ignore]
def _sleep_while(typingctx: Any, array: Any, index: Any, value: Any) -> Any:
    """Sleep until woken if array[index] is still `value`; or give the turn away."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if _FUTEX is not None:
            _futex(context, builder, array, args[0], args[1], _WAIT, args[2])
        else:
            kind = ir.FunctionType(ir.IntType(32), [])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, _GIVE_WAY), [])
        return context.get_dummy_value()

    return types.void(array, types.intp, types.int64), codegen


@intrinsic  # type: ignore[untyped-decorator,unused-ignore]
def _wake_all(typingctx: Any, array: Any, index: Any) -> Any:
    """Wake all who sleep at array[index]."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if _FUTEX is not None:
            _futex(context, builder, array, args[0], args[1], _WAKE, ir.IntType(64)(1 << 30))
        return context.get_dummy_value()

    return types.void(array, types.intp), codegen


@compiled_lean
def wait_for_all(barrier: Array, parts: int) -> None:
    """Return when all `parts` threads have called it; what each wrote before is seen by all after."""
    if parts == 1:
        return
    generation = _seen(barrier, GENERATION)
    if _add_atomically(barrier, ARRIVED, np.int64(1)) == parts - 1:
        _add_atomically(barrier, ARRIVED, np.int64(-parts))
        _add_atomically(barrier, GENERATION, np.int64(1))
        _wake_all(barrier, GENERATION)
        return
    spins = 0
    while _seen(barrier, GENERATION) == generation:
        spins += 1
        if spins > _SPINS:
            _sleep_while(barrier, GENERATION, generation)
