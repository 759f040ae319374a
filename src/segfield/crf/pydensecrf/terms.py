"""The parts of a pydensecrf model: unary energies, and pairwise terms with their compatibility and normalisation."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from segfield.classes import Array
from segfield.crf.filters.filter import Filter, Normalization, Normalized
from segfield.crf.mean_field import Kernel
from segfield.crf.parameters import LARGEST_WEIGHT
from segfield.errors import DataError


class ModelError(DataError, ValueError):
    """What a model was given does not fit it. A ValueError as well, which is what pydensecrf raises."""


class NormalizationType(enum.IntEnum):
    """What a kernel's row sums are used for; the numbers are pydensecrf's."""

    NO_NORMALIZATION = 0
    NORMALIZE_BEFORE = 1
    NORMALIZE_AFTER = 2
    NORMALIZE_SYMMETRIC = 3


class KernelType(enum.IntEnum):
    """Which of a kernel's parameters could be learned; inference is the same for all three."""

    CONST_KERNEL = 0
    DIAG_KERNEL = 1
    FULL_KERNEL = 2


NORMALIZATIONS: dict[int, Normalization] = {0: "none", 1: "before", 2: "after", 3: "symmetric"}


class Unary:
    """Energies (K, N) of each label at each point."""

    def __init__(self, energies: Array) -> None:
        self.energies = energies


class ConstUnary(Unary):
    """Energies as they are.

    Args:
        u: (K, N), −log probability.
    """

    def __init__(self, u: Any) -> None:
        super().__init__(matrix(u, "the unary energy").copy())


class LogisticUnary(Unary):
    """Energies that are linear in features: L·f.

    Args:
        L: (K, D).
        f: (D, N).
    """

    def __init__(self, L: Any, f: Any) -> None:  # noqa: N803  pydensecrf's name
        weights, features = matrix(L, "the logistic unary's L"), matrix(f, "the logistic unary's features f")
        if weights.shape[1] != features.shape[0]:
            raise ModelError(f"L {weights.shape} and f {features.shape} do not fit: expected (K, D) and (D, N)")
        super().__init__(weights @ features)


class ImageKernel(NamedTuple):
    """A kernel on an image's pixels that the fused image engine knows."""

    sxy: tuple[float, ...]
    image: Array | None
    """(C, H, W); None for the Gaussian kernel."""
    srgb: tuple[float, ...] = ()


@dataclass(frozen=True)
class Term:
    """One pairwise term, its filter built when it is first needed."""

    build: Callable[[], Filter]
    weight: Array
    """Reward for the same label, (); for each label, (K,); or as a matrix, (K, K). pydensecrf's penalties with the sign
    turned."""
    normalization: Normalization
    image_kernel: ImageKernel | None = None

    @cached_property
    def kernel(self) -> Kernel:
        return Kernel(Normalized(self.build(), self.normalization), self.weight)

    def energy(self, probabilities: Array) -> Array:
        """What the term adds to the energies, (N, K), given the probabilities (N, K)."""
        messages = self.kernel.filter(probabilities)
        added: Array = -(messages @ self.weight.T if self.weight.ndim == 2 else messages * self.weight)
        return added


def reward(compat: Any, labels: int) -> Array:
    """pydensecrf's `compat` as what is subtracted from the energy.

    A number rewards the same label. A vector or a matrix is a penalty, as it stands; a matrix is made symmetric.
    """
    with np.errstate(over="ignore"):  # what is infinite then, is refused below
        found = np.asarray(compat, dtype=np.float32)
    if found.shape not in ((), (labels,), (labels, labels)):
        raise ModelError(f"compat has shape {found.shape}, expected a number, ({labels},) or ({labels}, {labels})")
    if not (np.abs(found) <= LARGEST_WEIGHT).all():
        raise ModelError(
            f"compat holds NaN or infinite values, or such beyond {LARGEST_WEIGHT:g}, which overflow; give smaller ones"
        )
    if found.ndim == 0:
        return found
    return -found if found.ndim == 1 else -(found + found.T) / 2


def matrix(values: Any, what: str) -> Array:
    """(rows, columns) float32, contiguous."""
    found = np.ascontiguousarray(values, dtype=np.float32)
    if found.ndim != 2:
        raise ModelError(
            f"{what} has shape {found.shape}, expected two dimensions: flatten the pixels, reshape((K, -1))"
        )
    return found
