"""pydensecrf.utils' functions, under the module name that existing scripts import them from."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from segfield.classes import Array
from segfield.crf.features import position_features
from segfield.crf.pydensecrf.terms import ModelError


def unary_from_labels(labels: Any, n_labels: int, gt_prob: float, zero_unsure: bool = True) -> Array:
    """Energies (K, N) float32 of labels that are right with probability `gt_prob`.

    Args:
        labels: integers of any shape. With `zero_unsure`, 0 means unknown and labels are 1 … n_labels; else 0 … n_labels − 1.
        n_labels: how many labels there are (K), not counting the unknown one.
        gt_prob: between 0 and 1, both excluded.
        zero_unsure: whether 0 means unknown.
    """
    from segfield.crf.unary import unary_from_labels as from_labels

    flat = np.asarray(labels).reshape(1, -1).astype(np.int64)
    energies = from_labels(flat - int(zero_unsure), n_labels, gt_prob, unknown_id=-1 if zero_unsure else None)
    return energies.reshape(n_labels, -1)


def unary_from_softmax(sm: Any, scale: float | None = None, clip: float | None = 1e-5) -> Array:
    """Energies (K, N) float32 = −log p of probabilities `sm` (K, …).

    Args:
        sm: the first axis is the classes; the others are flattened.
        scale: between 0 and 1: probabilities are mixed with the uniform distribution, this being their share.
        clip: the least probability; None leaves zeros, whose energy is infinite.
    """
    probabilities = np.asarray(sm)
    if probabilities.ndim < 2:
        raise ModelError(f"the softmax has shape {probabilities.shape}, expected (classes, …)")
    if scale is not None:
        if not 0 < scale <= 1:
            raise ModelError(f"scale is {scale}, but must lie between 0 and 1")
        probabilities = scale * probabilities + (1 - scale) / len(probabilities)
    if clip is not None:
        probabilities = np.clip(probabilities, clip, 1.0)
    with np.errstate(divide="ignore"):
        energies: Array = -np.log(probabilities).reshape(len(probabilities), -1).astype(np.float32)
    return energies


def create_pairwise_gaussian(sdims: Sequence[float], shape: Sequence[int]) -> Array:
    """Features (D, N) of position over an array of `shape`, each axis divided by its entry of `sdims`, in their order."""
    return np.ascontiguousarray(position_features(tuple(shape), list(sdims)[::-1]).T[::-1])


def create_pairwise_bilateral(sdims: Sequence[float], schan: Any, img: Any, chdim: int = -1) -> Array:
    """Features (D + C, N) of position and channels.

    Args:
        sdims: standard deviation along each axis of the image without its channels, in their order.
        schan: of the channels: one number, or one a channel.
        img: any number of axes; one of them, `chdim`, may be the channels. −1: there are none, the values are one channel.
        chdim: as above.
    """
    image = np.asarray(img, dtype=np.float32)
    bands = image[None] if chdim == -1 else np.moveaxis(image, chdim, 0)
    widths = np.asarray(schan, dtype=np.float32).reshape(-1, 1)
    if len(widths) not in (1, len(bands)):
        raise ModelError(f"schan has {len(widths)} values for {len(bands)} channels; give one number, or one a channel")
    colours = bands.reshape(len(bands), -1) / widths
    return np.concatenate([create_pairwise_gaussian(sdims, bands.shape[1:]), colours])


def compute_unary(labels: Any, M: int, GT_PROB: float = 0.5) -> Array:  # noqa: N803  pydensecrf's names
    """The former name of `unary_from_labels`."""
    warnings.warn("compute_unary is the former name of unary_from_labels", DeprecationWarning, stacklevel=2)
    return unary_from_labels(labels, M, GT_PROB)


def softmax_to_unary(sm: Any, GT_PROB: float = 1) -> Array:  # noqa: N803
    """The former form of `unary_from_softmax`, which does not clip."""
    warnings.warn("softmax_to_unary is the former name of unary_from_softmax", DeprecationWarning, stacklevel=2)
    return unary_from_softmax(sm, None if GT_PROB == 1 else GT_PROB, clip=None)
