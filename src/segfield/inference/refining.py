"""Refinement of a whole image's segmentation: labels, probabilities and entropy all come from the refined result."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from segfield.classes import Array
from segfield.crf.refiner import Refiner, refined
from segfield.errors import SettingError
from segfield.segmentation import Segmentation


def refine_segmentation(
    segmentation: Segmentation,
    image: Array,
    refiner: Refiner,
    *,
    keep_probabilities: bool = False,
    keep_entropy: bool = False,
) -> Segmentation:
    """Refine what a classifier said of an image.

    Args:
        segmentation: with its probabilities, at any precision.
        image: (C, H, W) that was predicted, in the units of its file.
        refiner: image + probabilities → probabilities.
        keep_probabilities: keep float16 (K, H, W) of the refined ones.
        keep_entropy: keep float32 (H, W) of the refined ones.

    Raises:
        SettingError: if the segmentation keeps no probabilities.
        DataError: as the refiner does.
    """
    if segmentation.probabilities is None:
        raise SettingError("this segmentation keeps no probabilities to refine; predict with keep_probabilities=True")
    found = refined(refiner, image, segmentation.probabilities)
    whole = Segmentation(
        found.argmax(axis=0).astype(segmentation.classes.dtype), segmentation.classes, found, segmentation.name
    )
    return replace(
        whole,
        probabilities=found.astype(np.float16) if keep_probabilities else None,
        kept_entropy=whole.entropy if keep_entropy else None,
    )
