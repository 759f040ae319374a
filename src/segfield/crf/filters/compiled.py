"""How the filters' loops become machine code: numba, without the interpreter lock, kept on disk where that can be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

Loop = TypeVar("Loop", bound=Callable[..., Any])


_OPTIONS: dict[str, Any] = {
    "nogil": True,
    "fastmath": {"reassoc", "contract", "arcp", "nsz"},
    "error_model": "numpy",
    "no_cfunc_wrapper": True,
}


def compiled(loop: Loop) -> Loop:
    """Compile `loop` at its first call for each set of argument types; several threads may run it at once.

    The machine code is kept beside the source, or in the user's cache folder. Where neither can be written (a read-only
    container without a home) numba refuses to keep it, and each process compiles anew. Sums may be reordered and products
    fused; NaN and infinities keep their meaning, so that bad values show.
    """
    return _compile(loop, _OPTIONS)


def compiled_lean(loop: Loop) -> Loop:
    """`compiled` without reference counts, for functions called from inner loops: they neither make nor return arrays.

    Numba counts the references to every array at every call, with atomic operations; between threads that costs more than
    the work of a pixel.
    """
    return _compile(loop, {**_OPTIONS, "_nrt": False})


def compiled_inner(loop: Loop) -> Loop:
    """`compiled_lean` for functions that only compiled code calls: what Python would need to call them is left out."""
    return _compile(loop, {**_OPTIONS, "_nrt": False, "no_cpython_wrapper": True})


def _compile(loop: Loop, options: dict[str, Any]) -> Loop:
    try:
        machine_code: Loop = numba.njit(cache=True, **options)(loop)
    except RuntimeError:
        machine_code = numba.njit(**options)(loop)
    return machine_code
