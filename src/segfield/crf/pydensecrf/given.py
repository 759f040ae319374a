"""What scripts give as arguments, checked under the names that pydensecrf has for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from segfield.classes import Array
from segfield.crf.pydensecrf.errors import MissingIndexError, ModelError, WrongTypeError

Widths = float | Sequence[float]


def widths(name: str, given: Any, count: int, what: str) -> tuple[float, ...]:
    """`count` widths above 0 from one number or at least so many; a kernel is the same for a width and its negative.

    Args:
        name: of the argument.
        what: which numbers are wanted, for errors.

    Raises:
        WrongTypeError: not numbers. MissingIndexError: too few. ModelError: 0, NaN or infinite.
    """
    found = numbers(name, given, f"one number or {count}: {what}")
    if found.ndim == 0:
        found = np.full(count, found)
    if found.ndim > 1 or len(found) < count:
        raise MissingIndexError(f"{name} has the shape {found.shape}; give one number or {count}: {what}")
    used = found[:count]
    if not (np.isfinite(used).all() and used.all()):
        raise ModelError(
            f"{name} is {given}, by which nothing can be divided; give finite numbers other than 0: {what}"
        )
    return tuple(np.abs(used).tolist())


def numbers(name: str, given: Any, wanted: str) -> Array:
    """Any numbers as float64."""
    try:
        found = np.asarray(given)
    except ValueError as error:  # rows of different lengths
        raise WrongTypeError(f"{name} is {given!r}; give {wanted}") from error
    if found.dtype.kind not in "biuf":
        raise WrongTypeError(f"{name} is {given!r}; give {wanted}")
    return found.astype(np.float64)


def matrix(values: Any, name: str, wanted: str) -> Array:
    """(rows, columns) float32, contiguous; not copied where it is that already.

    Raises:
        WrongTypeError: None, or no numbers. ModelError: not two axes.
    """
    if values is None:
        raise WrongTypeError(f"{name} is None; give {wanted}")
    try:
        found = np.ascontiguousarray(values, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise WrongTypeError(f"{name} holds no numbers; give {wanted}") from error
    if np.ndim(values) != 2:
        raise ModelError(
            f"{name} has the shape {np.shape(values)}; give {wanted}: flatten the pixels with reshape((len({name}), -1))"
        )
    return found


def whole_number(name: str, given: Any) -> int:
    """An integer; a float loses its fraction, as in pydensecrf."""
    try:
        return int(float(numbers(name, given, "a whole number")))
    except (TypeError, ValueError, OverflowError) as error:
        raise WrongTypeError(f"{name} is {given!r}; give a whole number") from error
