"""pydensecrf.utils' functions, under the module name that existing scripts import them from."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from segfield.classes import Array
from segfield.crf.pydensecrf.errors import MissingIndexError, ModelError, NoProbabilityError
from segfield.crf.pydensecrf.given import numbers, whole_number


def unary_from_labels(labels: Any, n_labels: int, gt_prob: float, zero_unsure: bool | None = True) -> Array:
    """Energies (K, N) float32 of labels that are right with probability `gt_prob`.

    Args:
        labels: integers of any shape. With `zero_unsure`, 0 means unknown and labels are 1 … n_labels; else 0 … n_labels − 1.
        n_labels: how many labels there are (K), not counting the unknown one.
        gt_prob: between 0 and 1, both excluded.
        zero_unsure: whether 0 means unknown; None is False.

    Raises:
        NoProbabilityError: gt_prob is out of range. MissingIndexError: a label that is none of them.
    """
    from segfield.crf.unary import unary_from_labels as from_labels

    count, sureness = whole_number("n_labels", n_labels), numbers("gt_prob", gt_prob, "a probability such as 0.7")
    if sureness.ndim or not 0 < sureness < 1:
        raise NoProbabilityError(f"gt_prob is {gt_prob}; give one number between 0 and 1, both excluded, such as 0.7")
    if count < 1:
        raise ModelError(f"n_labels is {n_labels}; give at least 1")
    given = np.asarray(labels).reshape(1, -1)
    flat = given.astype(np.int64)
    if given.dtype.kind not in "iub" and not np.array_equal(flat, given):
        raise MissingIndexError(f"labels are {given.dtype} and not whole numbers; give integers")
    first = 1 if zero_unsure else 0
    wrong = (flat < 0) | (flat >= first + count)
    if wrong.any():
        value = int(flat[wrong][0])
        meaning = "0 (unsure, as zero_unsure is set)" if zero_unsure else "0"
        raise MissingIndexError(
            f"labels hold {value} at {int((flat == value).sum()):,} of {flat.size:,} places, but with n_labels={count} "
            f"they go from {meaning} to {first + count - 1}; change these, or give more n_labels"
        )
    energies = from_labels(flat - first, count, float(sureness), unknown_id=-1 if zero_unsure else None)
    return energies.reshape(count, -1)


def unary_from_softmax(sm: Any, scale: float | None = None, clip: float | None = 1e-5) -> Array:
    """Energies (K, N) float32 = −log p of probabilities `sm` (K, …).

    Args:
        sm: the first axis is the classes; the others are flattened.
        scale: between 0 and 1: probabilities are mixed with the uniform distribution, this being their share.
        clip: the least probability; None leaves zeros, whose energy is infinite.

    Raises:
        NoProbabilityError: scale is out of range. ModelError: `sm` has no classes.
    """
    probabilities = np.asarray(sm)
    if probabilities.ndim < 1 or len(probabilities) == 0:
        raise ModelError(f"sm has the shape {probabilities.shape}; give (classes, …)")
    if scale is not None:
        if not 0 < scale <= 1:
            raise NoProbabilityError(f"scale is {scale}; give a number above 0, and 1 at most")
        probabilities = scale * probabilities + (1 - scale) / len(probabilities)
    if clip is not None:
        probabilities = np.clip(probabilities, clip, 1.0)
    with np.errstate(divide="ignore"):
        energies: Array = -np.log(probabilities).reshape(len(probabilities), -1).astype(np.float32)
    return energies


def create_pairwise_gaussian(sdims: Sequence[float], shape: Sequence[int]) -> Array:
    """Features (D, N) of position over an array of `shape`, each axis divided by its entry of `sdims`, in their order.

    Of fewer `sdims` than axes the first axes are divided and, as in pydensecrf, all coordinates are laid out in
    len(sdims) rows, which fits no CRF over the array's points.

    Raises:
        MissingIndexError: more `sdims` than axes. ModelError: a width of 0, or rows that do not come out even.
    """
    scales = _scales("sdims", sdims, len(shape), "axes")
    features = np.empty((len(shape), *shape), np.float32)
    _fill_positions(features, scales)
    if len(scales) == 0 or features.size % len(scales):
        raise ModelError(
            f"sdims has {len(scales)} values for {len(shape)} axes; give one for each axis of {tuple(shape)}"
        )
    return features.reshape(len(scales), -1)


def create_pairwise_bilateral(sdims: Sequence[float], schan: Any, img: Any, chdim: int = -1) -> Array:
    """Features (D + C, N) of position and channels.

    Args:
        sdims: standard deviation along each axis of the image without its channels, in their order; axes beyond the
            last are left as they are, as in pydensecrf.
        schan: of the channels: one number, or one a channel; channels beyond the last are left as they are.
        img: any number of axes; one of them, `chdim`, may be the channels. −1: there are none, the values are one channel.
        chdim: as above.

    Raises:
        MissingIndexError: more widths than axes or channels, or no axis `chdim`. ModelError: a width of 0.
    """
    image = np.asarray(img)
    if not -image.ndim <= chdim < image.ndim:
        raise MissingIndexError(
            f"chdim is {chdim}, but img has the shape {image.shape}; give an axis of it, or −1 for none"
        )
    bands = image[None] if chdim == -1 else np.moveaxis(image, chdim, 0)
    places = _scales("sdims", sdims, bands.ndim - 1, "axes")
    if np.ndim(schan) == 0:
        schan = np.full(len(bands), schan)
    colours = _scales("schan", schan, len(bands), "channels")
    features = np.empty((bands.ndim - 1 + len(bands), *bands.shape[1:]), np.float32)
    _fill_positions(features[: bands.ndim - 1], places)
    features[bands.ndim - 1 :] = bands
    for plane, scale in zip(features[bands.ndim - 1 :], colours):
        plane /= np.float32(scale)
    return features.reshape(len(features), -1)


def _scales(name: str, given: Any, most: int, what: str) -> list[float]:
    """At most so many numbers to divide by."""
    found = numbers(name, given, f"one number for each of the {most} {what}")
    if found.ndim != 1 or len(found) > most:
        raise MissingIndexError(
            f"{name} has the shape {found.shape} for {most} {what}; give one number for each of them"
        )
    if not (np.isfinite(found).all() and found.all()):
        raise ModelError(f"{name} is {given}, by which nothing can be divided; give finite numbers other than 0")
    scales: list[float] = found.tolist()
    return scales


def _fill_positions(features: Array, scales: Sequence[float]) -> None:
    """Coordinates along each axis (D, *shape), the first ones divided."""
    shape = features.shape[1:]
    for axis, plane in enumerate(features):
        along = np.arange(shape[axis], dtype=np.float32)
        if axis < len(scales):
            along /= np.float32(scales[axis])
        plane[:] = along.reshape([-1 if other == axis else 1 for other in range(len(shape))])


def compute_unary(labels: Any, M: int, GT_PROB: float = 0.5) -> Array:  # noqa: N803  pydensecrf's names
    """The former name of `unary_from_labels`."""
    warnings.warn("compute_unary is the former name of unary_from_labels", DeprecationWarning, stacklevel=2)
    return unary_from_labels(labels, M, GT_PROB)


def softmax_to_unary(sm: Any, GT_PROB: float = 1) -> Array:  # noqa: N803
    """The former form of `unary_from_softmax`, which does not clip."""
    warnings.warn("softmax_to_unary is the former name of unary_from_softmax", DeprecationWarning, stacklevel=2)
    return unary_from_softmax(sm, None if GT_PROB == 1 else GT_PROB, clip=None)
