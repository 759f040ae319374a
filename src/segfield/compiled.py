"""How loops become machine code: numba, without the interpreter lock, kept on disk where that can be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

Loop = TypeVar("Loop", bound=Callable[..., Any])


def compiled(loop: Loop) -> Loop:
    """Compile `loop` at its first call for each set of argument types; several threads may run it at once.

    The machine code is kept beside the source, or in the user's cache folder. Where neither can be written (a read-only
    container without a home) numba refuses to keep it, and each process compiles anew.
    """
    return compile_with(loop, {"nogil": True})


def compile_with(loop: Loop, options: dict[str, Any]) -> Loop:
    """The same with numba's `options`."""
    try:
        machine_code: Loop = numba.njit(cache=True, **options)(loop)
    except RuntimeError:
        machine_code = numba.njit(**options)(loop)
    return machine_code
