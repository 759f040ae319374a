"""What a dense CRF's parameters may be: each is checked once, and refused in a sentence that names it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, get_args

import numpy as np

from segfield.crf.filters.filter import Normalization
from segfield.errors import SettingError, did_you_mean

Number = float | tuple[float, ...]
"""One value; or one for each band (colour bandwidth) or axis x, y (bandwidth in pixels)."""

Table = tuple[tuple[float, ...], ...] | tuple[tuple[tuple[float, ...], ...], ...]
"""(K, K); or (T, K, K), one for each iteration."""

Weight = Number | Table
"""One value, one for each class, or a table."""

LEAST_BANDWIDTH = 0.001  # features beyond this are too large for float32 to tell neighbours apart


LARGEST_BANDWIDTH = (
    1e6  # in pixels or units of 0..255: beyond it everything is near, and tables of a kernel's width grow with it
)

LARGEST_WEIGHT = 1e12  # products of a weight, a compatibility and a sum over 10⁹ pixels are finite in float32 still


def frozen_numbers(value: Any) -> Any:
    """Lists and arrays, however nested, as tuples, so that parameters compare, hash and go to JSON."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    return tuple(frozen_numbers(entry) for entry in value) if isinstance(value, (list, tuple)) else value


def check_bandwidth(name: str, value: Any, unit: str, *, optional: bool = False) -> None:
    """Raise SettingError unless `value` is a number above 0, or a tuple of them; None passes where `optional`."""
    if optional and value is None:
        return
    off = " (None leaves the kernel out)" if optional else ""
    for entry in value if isinstance(value, tuple) and value else (value,):
        if not _is_number(entry) or entry <= 0:
            raise SettingError(f"{name} is {value!r}, but a bandwidth must be a number above 0, in {unit}{off}")
        if entry < LEAST_BANDWIDTH:
            raise SettingError(
                f"{name} is {value!r} {unit}, too narrow to connect any pixels; use {LEAST_BANDWIDTH} or more{off}"
            )
        if entry > LARGEST_BANDWIDTH:
            raise SettingError(
                f"{name} is {value!r} {unit}; use {LARGEST_BANDWIDTH:g} or less, which reaches everything{off}"
            )


def check_axes(name: str, value: Any) -> None:
    """Raise SettingError if a bandwidth in pixels is a tuple, but not of two numbers."""
    if isinstance(value, tuple) and len(value) != 2:
        raise SettingError(f"{name} has {len(value)} values; give one number of pixels for both axes, or two: x and y")


def check_weight(name: str, value: Any) -> None:
    """Raise SettingError unless `value` is a finite number, one a class, or a table of them or one for each iteration."""
    if not is_table(value) and _shape(value) not in ((), (_length(value),)):
        raise SettingError(
            f"{name} is {_shortened(value)}; give a number, one a class, or a table (K, K): row l tells what class l "
            "receives from every class; 0 leaves the kernel out"
        )
    _check_size(name, value)


def check_compatibility(value: Any) -> None:
    """Raise SettingError unless `value` is None or a square matrix of finite numbers, or one for each iteration."""
    if value is not None and not is_table(value):
        raise SettingError(
            "compatibility must be a square table of numbers, one row and one column a class: entry (a, b) is added to "
            "the energy of class a where a neighbour has class b; None rewards the same class (Potts)"
        )
    if value is not None:
        _check_size("compatibility", value)


def _check_size(name: str, value: Any) -> None:
    largest = float(np.abs(np.asarray(value, dtype=np.float64)).max(initial=0))
    if largest > LARGEST_WEIGHT:
        raise SettingError(
            f"{name} goes to {largest:g}, whose energies are infinite in float32; give {LARGEST_WEIGHT:g} or less"
        )


def is_table(value: Any) -> bool:
    """Whether nested tuples are a (K, K) table of finite numbers, or several, (T, K, K)."""
    shape = _shape(value)
    return shape is not None and len(shape) in (2, 3) and shape[-1] == shape[-2]


def check_fits_iterations(name: str, value: Any, iterations: int) -> None:
    """Raise SettingError if tables for each iteration are not as many as iterations."""
    shape = _shape(value)
    if shape is not None and len(shape) == 3 and shape[0] != iterations:
        raise SettingError(
            f"{name} has tables for {shape[0]} iterations, but iterations is {iterations}; give one table, or one for each"
        )


def _shape(value: Any) -> tuple[int, ...] | None:
    """() of a finite number, (K,) of a tuple of them and so on; None where parts differ or are no numbers."""
    if not isinstance(value, tuple):
        return () if _is_number(value) else None
    shapes = {_shape(entry) for entry in value}
    inner = shapes.pop() if len(shapes) == 1 else None
    return None if inner is None else (len(value), *inner)


def _length(value: Any) -> int:
    return len(value) if isinstance(value, tuple) else 0


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def check_choice(name: str, value: Any, choices: Iterable[str]) -> None:
    """Raise SettingError unless `value` is one of `choices`."""
    known = list(choices)
    if value not in known:
        raise SettingError(f"{name} '{value}' is unknown; {did_you_mean(str(value), known)}")


def check_number(name: str, value: Any, least: float, below: float = math.inf, *, excluded: bool = False) -> None:
    """Raise SettingError unless least ≤ value < below (least < value if `excluded`)."""
    if not _is_number(value) or value < least or value >= below or (excluded and value == least):
        sign = "above" if excluded else "at least"
        limit = f"{sign} {least:g}" + (f" and below {below:g}" if below < math.inf else "")
        raise SettingError(f"{name} is {value!r}, but must be a number {limit}")


def check_count(name: str, value: Any, least: int) -> None:
    """Raise SettingError unless `value` is an integer of at least `least`."""
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < least:
        raise SettingError(f"{name} is {value!r}, but must be a whole number, at least {least}")


def check_normalization(value: Any) -> None:
    check_choice("normalization", value, get_args(Normalization))


def check_fits_classes(name: str, value: Any, classes: int) -> None:
    """Raise SettingError unless a tuple has one entry a class."""
    shape = _shape(value)
    if shape and shape[-1] != classes:
        what = "rows" if len(shape) > 1 else "values"
        raise SettingError(
            f"{name} has {shape[-1]} {what}, but there are {classes} classes; give one a class, in their order"
        )


def widest(*bandwidths: Number | None) -> float:
    """The largest of these bandwidths, 0 where there is none."""
    return max((float(np.max(width)) for width in bandwidths if width is not None), default=0.0)


def is_zero(weight: Weight) -> bool:
    """Whether a weight, or every class's, is 0."""
    return not np.any(weight)


def _is_number(value: Any) -> bool:
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    return number and math.isfinite(value)
