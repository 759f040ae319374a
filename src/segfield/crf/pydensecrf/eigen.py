"""pydensecrf.eigen: its matrices and vectors, which are NumPy arrays here.

`DenseCRF.inference` and `startInference` give such arrays; whatever takes a MatrixXf takes any array of its shape.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from segfield.classes import Array
from segfield.crf.pydensecrf.errors import ModelError, WrongTypeError


class _ArrayType(type):
    """The type of float32 arrays with so many axes."""

    axes: int

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, np.ndarray) and instance.dtype == np.float32 and instance.ndim == cls.axes

    def __call__(cls) -> Array:
        """An empty one."""
        return np.empty((0,) * cls.axes, np.float32)


class VectorXf(metaclass=_ArrayType):
    """(n,) float32."""

    axes = 1


class MatrixXf(metaclass=_ArrayType):
    """(rows, columns) float32."""

    axes = 2


def vectorXf(arr: Any) -> Array:  # noqa: N802  pydensecrf's names
    """A copy of a vector, (n,) float32."""
    return _copied(arr, 1)


def matrixXf(arr: Any) -> Array:  # noqa: N802
    """A copy of a matrix, (rows, columns) float32; such as probabilities (K, N) for `stepInference` to begin with."""
    return _copied(arr, 2)


def _copied(arr: Any, axes: int) -> Array:
    if not isinstance(arr, np.ndarray):
        raise WrongTypeError(f"arr is {type(arr).__name__}; give a NumPy array: np.asarray(arr, np.float32)")
    if arr.dtype != np.float32 or arr.ndim != axes:
        raise ModelError(
            f"arr is {arr.dtype} of shape {arr.shape}; give float32 with {axes} {'axis' if axes == 1 else 'axes'}: "
            "arr.astype(np.float32)"
        )
    return arr.copy()
