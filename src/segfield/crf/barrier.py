"""Where threads of one computation wait for each other inside compiled code: a few microseconds, and fair to other programs.

A waiting thread asks a few hundred times and then gives its turn away at every question, so that a second program on the
same cores costs its share and no more (a barrier that only spins makes two threads many times slower than one there).
"""

from __future__ import annotations

import ctypes
import os
from typing import Any

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from segfield.classes import Array
from segfield.crf.filters.compiled import compiled_lean

_SPINS = 300
_GIVE_WAY = "segfield_give_way"


def _system_call() -> Any:
    if os.name == "nt":
        return ctypes.WinDLL("kernel32").SwitchToThread  # type: ignore[attr-defined, unused-ignore]
    return ctypes.CDLL(None).sched_yield


llvmlite.binding.add_symbol(_GIVE_WAY, ctypes.cast(_system_call(), ctypes.c_void_p).value)

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


@intrinsic  # type: ignore[untyped-decorator,unused-ignore]
def _give_way(typingctx: Any) -> Any:
    """Let another thread that is ready run first."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.IntType(32), []), _GIVE_WAY)
        return builder.call(function, [])

    return types.int32(), codegen


@compiled_lean
def wait_for_all(barrier: Array, parts: int) -> None:
    """Return when all `parts` threads have called it; what each wrote before is seen by all after."""
    if parts == 1:
        return
    generation = _seen(barrier, GENERATION)
    if _add_atomically(barrier, ARRIVED, np.int64(1)) == parts - 1:
        _add_atomically(barrier, ARRIVED, np.int64(-parts))
        _add_atomically(barrier, GENERATION, np.int64(1))
        return
    spins = 0
    while _seen(barrier, GENERATION) == generation:
        spins += 1
        if spins > _SPINS:
            _give_way()
