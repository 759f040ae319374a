"""Refinement of a whole image's segmentation: labels, probabilities and entropy all come from the refined result."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from segfield.classes import Array
from segfield.crf.arrays import as_array, is_tensor
from segfield.crf.refiner import Refiner, refined, works_on
from segfield.errors import SettingError
from segfield.segmentation import Segmentation


def refine_segmentation(
    segmentation: Segmentation,
    image: Array,
    refiner: Refiner,
    *,
    keep_probabilities: bool = False,
    keep_entropy: bool = False,
    device: Any = None,
) -> Segmentation:
    """Refine what a classifier said of an image.

    Args:
        segmentation: with its probabilities, at any precision; an array, or a tensor on the device they were computed on.
        image: (C, H, W) that was predicted, in the units of its file.
        refiner: image + probabilities → probabilities.
        keep_probabilities: keep float16 (K, H, W) of the refined ones.
        keep_entropy: keep float32 (H, W) of the refined ones.
        device: the torch device to refine on, if the refiner works there; None: where the probabilities are.

    Raises:
        SettingError: if the segmentation keeps no probabilities.
        DataError: as the refiner does.
    """
    if segmentation.probabilities is None:
        raise SettingError("this segmentation keeps no probabilities to refine; predict with keep_probabilities=True")
    probabilities: Any = segmentation.probabilities
    if device is not None and works_on(refiner, device) and not is_tensor(probabilities):
        import torch

        probabilities = torch.from_numpy(probabilities).to(device)
    found = refined(refiner, image, probabilities)
    labels = as_array(found.argmax(0)).astype(segmentation.classes.dtype)  # (K, H, W) → (H, W), where the work was done
    kept = as_array(found.half() if is_tensor(found) else found.astype(np.float16)) if keep_probabilities else None
    refined_one = Segmentation(labels, segmentation.classes, kept, segmentation.name)
    if not keep_entropy:
        return refined_one
    return replace(refined_one, kept_entropy=replace(refined_one, probabilities=as_array(found)).entropy)
