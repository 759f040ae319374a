"""Pictures of the report's gallery, each inside the page as a data URI: image, truth, prediction, errors."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from segfield.classes import Array, ClassTable
from segfield.data.preview import preview
from segfield.errors import DataError

LONGEST_SIDE = 560
WRONG = (255, 45, 85)
VOID = (52, 56, 74)


@dataclass(frozen=True)
class Pictures:
    """The four pictures of one image, as data URIs."""

    image: str
    truth: str
    prediction: str
    errors: str


def pictures(image: Array, labels: Array, predicted: Array, classes: ClassTable) -> Pictures:
    """The gallery row of one image.

    Args:
        image: (C, H, W) of any dtype.
        labels: (H, W) true ids; predicted: (H, W).
        classes: gives the colours.

    Raises:
        DataError: if the sizes differ.
    """
    if image.shape[1:] != labels.shape or labels.shape != predicted.shape:
        raise DataError(
            f"image {image.shape[1:]}, truth {labels.shape} and prediction {predicted.shape} of one gallery row differ "
            "in size; give all three at the image's size"
        )
    colours = classes.colour_array()
    small, small_labels, small_predicted = _shrunk(preview(image)), _shrunk_ids(labels), _shrunk_ids(predicted)
    return Pictures(
        image=_uri(small, "JPEG"),
        truth=_uri(colours[small_labels], "PNG"),
        prediction=_uri(colours[small_predicted], "PNG"),
        errors=_uri(error_picture(small, small_labels, small_predicted, classes.ignored_id), "JPEG"),
    )


def error_picture(rgb: Array, labels: Array, predicted: Array, ignored_id: int) -> npt.NDArray[np.uint8]:
    """(H, W, 3) uint8: the image in faint grey, wrong pixels red, pixels without truth slate."""
    grey = rgb.mean(axis=2, keepdims=True) * 0.45 + 60
    picture = np.repeat(grey, 3, axis=2)
    void = labels == ignored_id
    wrong = (labels != predicted) & ~void
    picture[wrong] = 0.25 * picture[wrong] + 0.75 * np.array(WRONG)
    picture[void] = VOID
    return picture.astype(np.uint8)


def _scaled(height: int, width: int) -> tuple[int, int]:
    factor = min(1.0, LONGEST_SIDE / max(height, width))
    return max(1, round(height * factor)), max(1, round(width * factor))


def _shrunk(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    height, width = _scaled(*rgb.shape[:2])
    return np.asarray(Image.fromarray(rgb).resize((width, height), Image.Resampling.LANCZOS))


def _shrunk_ids(labels: Array) -> Array:
    """Nearest pixel: ids cannot be averaged."""
    height, width = _scaled(*labels.shape)
    rows = (np.arange(height) * 2 + 1) * labels.shape[0] // (2 * height)
    columns = (np.arange(width) * 2 + 1) * labels.shape[1] // (2 * width)
    nearest: Array = labels[np.ix_(rows, columns)]
    return nearest


def _uri(rgb: npt.NDArray[np.uint8], kind: str) -> str:
    target = io.BytesIO()
    options = {"quality": 85, "subsampling": 0} if kind == "JPEG" else {"optimize": True}
    Image.fromarray(rgb).save(target, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(target.getvalue()).decode('ascii')}"
