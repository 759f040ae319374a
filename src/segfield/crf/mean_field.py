"""Mean field for a fully connected CRF: the iteration, as a pure function of unary energies and filters.

Krähenbühl & Koltun, NIPS 2011, algorithm 1; the same lines serve NumPy arrays and torch tensors (with gradients).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from segfield.crf.filters.filter import Filter
from segfield.errors import DataError, SettingError

Array = Any
"""A NumPy array or a torch tensor."""


@dataclass(frozen=True)
class Kernel:
    """One pairwise term: a filter, and how much it counts.

    Args:
        filter: K·v, normalised or not; see `segfield.crf.filters.filter`.
        weight: a number; (K,) one for each class; (K, K), where row l says what class l receives from every class; or
            (T, K, K), such a table for each iteration.
    """

    filter: Filter
    weight: Array


@dataclass(frozen=True)
class MeanField:
    """What the iteration came to.

    Args:
        probabilities: (N, K), of the unary's array type, device and precision.
        iterations: how many were done; fewer than asked for where the tolerance was met.
        change: the largest change of a probability in the last iteration; 0 where there was none.
    """

    probabilities: Array
    iterations: int
    change: float


def mean_field(
    unary: Array,
    kernels: Sequence[Kernel],
    *,
    compatibility: Array | None = None,
    iterations: int = 10,
    damping: float = 0.0,
    tolerance: float = 0.0,
    start: Array | None = None,
) -> MeanField:
    """Approximate the CRF's marginals: Q ← softmax(−U − P), P = µ · Σ_k w_k (K_k Q), from Q = softmax(−U).

    Args:
        unary: (N, K) energies −log p; +inf forbids a class. Filters of a batch take (B, N, K).
        kernels: the pairwise terms; none gives softmax(−U).
        compatibility: µ (K, K), or (T, K, K) for each iteration; positive = penalty; None is Potts, −identity: a reward
            for the same class, as the reference code has it. A constant added to all classes of a pixel changes nothing, so
            this equals the penalty [l ≠ l'].
        iterations: the most to do.
        damping: share of the old Q that is kept, 0 ≤ damping < 1. The fixed point stays the same; oscillation fades.
        tolerance: stop when no probability changed by more than this in an iteration; 0 never stops early.
        start: (N, K) probabilities to begin with instead of softmax(−U).

    Raises:
        DataError: the unary's or start's shape does not fit; a pixel's energies hold NaN or −inf, or forbid every class.
        SettingError: weights, compatibility, iterations, damping or tolerance are out of range or of the wrong shape.
    """
    classes = _check_energies(unary, kernels, start)
    if iterations < 0:
        raise SettingError(f"mean_field: iterations is {iterations}; give 0 or more")
    if not 0 <= damping < 1:
        raise SettingError(f"mean_field: damping is {damping}; give a share of the old value, 0 ≤ damping < 1")
    if not tolerance >= 0:
        raise SettingError(f"mean_field: tolerance is {tolerance}; give a largest change of probability, 0 or more")
    weights = [_matching(kernel.weight, unary, classes, iterations, "a kernel's weight") for kernel in kernels]
    penalty = None if compatibility is None else _matching(compatibility, unary, classes, iterations, "compatibility")

    probabilities = _softmax(-unary) if start is None else start
    zero = 0 * probabilities  # without kernels there are no messages
    change = 0.0
    for iteration in range(1, iterations + 1):
        filtered = [kernel.filter(probabilities) for kernel in kernels]
        messages = sum(
            (_weighted(m, _of(weight, iteration)) for m, weight in zip(filtered, weights, strict=True)), zero
        )
        pairwise = -messages if penalty is None else _weighted(messages, _of(penalty, iteration))
        updated = _softmax(-unary - pairwise)
        if damping:
            updated = (1 - damping) * updated + damping * probabilities
        if tolerance or iteration == iterations:
            change = _largest_difference(updated, probabilities)
        probabilities = updated
        if tolerance and change <= tolerance:
            return MeanField(probabilities, iteration, change)
    return MeanField(probabilities, iterations, change)


def _check_energies(unary: Array, kernels: Sequence[Kernel], start: Array | None) -> int:
    """The number of classes, after everything that iteration relies on is made sure of."""
    if unary.ndim < 2 or 0 in unary.shape:
        raise DataError(f"mean_field: the unary has the shape {tuple(unary.shape)}; give (N, K): N pixels, K classes")
    pixels, classes = unary.shape[-2:]
    for kernel in kernels:
        if kernel.filter.size != pixels:
            raise DataError(
                f"mean_field: the unary has {pixels} pixels and a kernel's filter {kernel.filter.size}; "
                "give (N, K) energies of the image that the filter was built from"
            )
    if start is not None and start.shape != unary.shape:
        raise DataError(
            f"mean_field: start has the shape {tuple(start.shape)} and the unary {tuple(unary.shape)}; give the same"
        )
    # The smallest energy of a pixel is NaN if any is NaN, and infinite if all classes are forbidden or one is −inf.
    lowest = unary.min(axis=-1) if isinstance(unary, np.ndarray) else unary.detach().amin(dim=-1)
    bad = int((~(abs(lowest) < float("inf"))).sum())
    if bad:
        raise DataError(
            f"mean_field: {bad} pixels have energies that are NaN or −inf, or forbid every class; "
            "give finite energies −log p, with p clipped above 0"
        )
    return int(classes)


def _matching(given: Array, unary: Array, classes: int, iterations: int, name: str) -> Array:
    """A number, vector or matrix in the unary's array type, precision and device; gradients go through."""
    if isinstance(unary, np.ndarray):
        array: Array = np.asarray(given, dtype=unary.dtype)
    elif hasattr(given, "detach"):
        array = given.to(unary)
    else:
        array = unary.new_tensor(given)
    tables = [(classes, classes), (iterations, classes, classes)]
    if tuple(array.shape) not in (tables if name == "compatibility" else [(), (classes,), *tables]):
        wanted = "(K, K) or (T, K, K)" if name == "compatibility" else "a number, (K,), (K, K) or (T, K, K)"
        raise SettingError(
            f"mean_field: {name} has the shape {tuple(array.shape)}; give {wanted} with K = {classes}, T = {iterations}"
        )
    return array


def _of(tables: Array, iteration: int) -> Array:
    """What counts in an iteration (the first is 1): tables (T, K, K) have one for each."""
    return tables[iteration - 1] if tables.ndim == 3 else tables


def _weighted(messages: Array, weight: Array) -> Array:
    """w·M for a number or a vector; W M_i for each pixel i for a matrix."""
    return messages @ weight.T if weight.ndim == 2 else messages * weight


def _largest_difference(one: Array, other: Array) -> float:
    difference = abs(one - other)
    return float(difference.max() if isinstance(difference, np.ndarray) else difference.detach().max())


def _softmax(scores: Array) -> Array:
    """Probabilities over the last axis."""
    if not isinstance(scores, np.ndarray):
        return scores.softmax(dim=-1)
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)
