"""The parts of a pydensecrf model: unary energies, and pairwise terms with their compatibility and normalisation."""

from __future__ import annotations

import enum
from typing import Any, NamedTuple

import numpy as np

from segfield.classes import Array
from segfield.crf.filters.filter import Normalization
from segfield.crf.parameters import LARGEST_WEIGHT
from segfield.crf.points_kernels import PointKernel
from segfield.crf.pydensecrf.errors import ModelError
from segfield.crf.pydensecrf.given import matrix, numbers


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


FORBIDDEN = 1e9  # an infinite energy, of p = 0, in numbers that can be added up


class Unary:
    """Energies (K, N) of each label at each point; infinite ones are made finite.

    Raises:
        ModelError: they hold NaN or −inf.
    """

    def __init__(self, energies: Array) -> None:
        self.energies: Array = np.minimum(energies, np.float32(FORBIDDEN))
        if energies.size and not np.isfinite(self.energies.min()):
            raise ModelError("u holds NaN or −inf; give energies −log p, of probabilities p between 0 and 1")


class ConstUnary(Unary):
    """Energies as they are.

    Args:
        u: (K, N), −log probability.
    """

    def __init__(self, u: Any) -> None:
        super().__init__(matrix(u, "u", "energies (labels, points)"))


class LogisticUnary(Unary):
    """Energies that are linear in features: L·f.

    Args:
        L: (K, D).
        f: (D, N).
    """

    def __init__(self, L: Any, f: Any) -> None:  # noqa: N803  pydensecrf's name
        weights, features = matrix(L, "L", "weights (K, D)"), matrix(f, "f", "features (D, N)")
        if weights.shape[1] != features.shape[0]:
            raise ModelError(f"L {weights.shape} and f {features.shape} do not fit; give (K, D) and (D, N)")
        super().__init__(weights @ features)


class ImageKernel(NamedTuple):
    """A kernel on an image's pixels, as the fused image engine takes it."""

    sxy: tuple[float, ...]
    image: Array | None
    """(C, H, W); None for the Gaussian kernel."""
    srgb: tuple[float, ...] = ()


class Term(NamedTuple):
    """One pairwise term."""

    kernel: PointKernel
    weight: Array
    """Reward for the same label, (); for each label, (K,); or as a matrix, (K, K). pydensecrf's penalties with the sign
    turned."""
    image_kernel: ImageKernel | None = None


def reward(compat: Any, labels: int) -> Array:
    """pydensecrf's `compat` as what is subtracted from the energy.

    A number rewards the same label. A vector or a matrix is a penalty, as it stands; a matrix is made symmetric.
    """
    found = numbers("compat", compat, f"a number, ({labels},) or ({labels}, {labels})")
    if found.shape not in ((), (labels,), (labels, labels)):
        raise ModelError(f"compat has the shape {found.shape}; give a number, ({labels},) or ({labels}, {labels})")
    if not (np.abs(found) <= LARGEST_WEIGHT).all():
        raise ModelError(
            f"compat holds NaN or infinite values, or such beyond {LARGEST_WEIGHT:g}, which overflow; give smaller ones"
        )
    found = found.astype(np.float32)
    if found.ndim == 0:
        return found
    return -found if found.ndim == 1 else -(found + found.T) / 2
