"""U-Net's border weight map (Ronneberger et al. 2015, equation 2): narrow gaps between objects weigh most."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from segfield.classes import Array
from segfield.errors import SettingError

# At d1 + d2 = 6σ the border term is w0·exp(−18), float32's resolution beside w_c: objects farther away are left out.
_REACH = 6.0


def border_weight_map(
    labels: Array,
    ignored_id: int,
    class_weights: Array | None = None,
    w0: float = 10.0,
    sigma: float = 5.0,
    background_id: int = 0,
) -> npt.NDArray[np.float32]:
    """w(x) = w_c(x) + w0·exp(−(d1(x) + d2(x))² / 2σ²), the border term on background pixels.

    d1 and d2 are the distances (pixels) to the nearest and the second-nearest object; objects are the connected
    components of every class but the background. With fewer than two objects near, the border term is 0.

    Args:
        labels: (H, W) class ids.
        ignored_id: pixels with it weigh 0.
        class_weights: (K,) w_c by class; 1 where not given.
        w0: height of the border term.
        sigma: its width, pixels.
        background_id: the class between the objects.

    Returns:
        (H, W) float32.

    Raises:
        SettingError: if sigma is not above 0.
    """
    if sigma <= 0:
        raise SettingError(f"sigma of the border weight map is {sigma}; it is a width in pixels above 0, e.g. 5")
    known = labels != ignored_id
    classes = np.where(known, labels, 0)
    weights = np.ones(labels.shape) if class_weights is None else np.asarray(class_weights, dtype=np.float64)[classes]
    instances = objects(labels, ignored_id, background_id)
    weights = weights + border_term(instances, w0, sigma) * (labels == background_id)
    return np.where(known, weights, 0).astype(np.float32)


def objects(labels: Array, ignored_id: int, background_id: int = 0) -> npt.NDArray[np.int32]:
    """Instance numbers 1, 2, … of the 8-connected components of each class but the background; 0 elsewhere. (H, W)."""
    instances = np.zeros(labels.shape, dtype=np.int32)
    count = 0
    for c in np.unique(labels):
        if c not in (ignored_id, background_id):
            components, found = ndimage.label(labels == c, structure=np.ones((3, 3)))
            instances[components > 0] = components[components > 0] + count
            count += found
    return instances


def border_term(instances: npt.NDArray[np.int32], w0: float = 10.0, sigma: float = 5.0) -> npt.NDArray[np.float64]:
    """w0·exp(−(d1 + d2)² / 2σ²) at every pixel (distance 0 inside an object).

    Args:
        instances: (H, W), 0 between objects; every number from 1 to the highest is there, as `objects` gives them.
        w0: height.
        sigma: width, pixels.
    """
    reach = math.ceil(_REACH * sigma)
    nearest = np.full(instances.shape, np.inf)
    second = np.full(instances.shape, np.inf)
    for number, box in enumerate(ndimage.find_objects(instances), start=1):
        around = tuple(slice(max(0, side.start - reach), side.stop + reach) for side in box)
        distance = ndimage.distance_transform_edt(instances[around] != number)
        first, behind = nearest[around], second[around]
        behind[...] = np.minimum(behind, np.maximum(first, distance))
        first[...] = np.minimum(first, distance)
    term: npt.NDArray[np.float64] = w0 * np.exp(-((nearest + second) ** 2) / (2 * sigma**2))
    return term
