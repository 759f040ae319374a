"""How the CRF's loops become machine code: with looser sums than others, and without what Python would need to call them."""

from __future__ import annotations

from typing import Any

from segfield.compiled import Loop, compile_with

_OPTIONS: dict[str, Any] = {
    "nogil": True,
    "fastmath": {"reassoc", "contract", "arcp", "nsz"},
    "error_model": "numpy",
    "no_cfunc_wrapper": True,
}


def compiled(loop: Loop) -> Loop:
    """As `segfield.compiled.compiled`, but sums may be reordered and products fused; NaN and infinities keep their meaning."""
    return compile_with(loop, _OPTIONS)


def compiled_lean(loop: Loop) -> Loop:
    """`compiled` without reference counts, for functions called from inner loops: they neither make nor return arrays.

    Numba counts the references to every array at every call, with atomic operations; between threads that costs more than
    the work of a pixel.
    """
    return compile_with(loop, {**_OPTIONS, "_nrt": False})


def compiled_inner(loop: Loop) -> Loop:
    """`compiled_lean` for functions that only compiled code calls: what Python would need to call them is left out."""
    return compile_with(loop, {**_OPTIONS, "_nrt": False, "no_cpython_wrapper": True})
