"""ValueRange: what an image's numbers mean, i.e. of which kind they are and which of them count as black and as white.

Measured once over a training set and kept with its segmenter: scaling, augmentation, CRF and prediction all go by it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segfield.classes import Array
from segfield.errors import DataError, FileFormatError

DEPTHS = (255, 1023, 4095, 16383, 65535)
"""Largest values of 8, 10, 12, 14 and 16 bits: what sensors have, and files of 16 bits hold."""

KINDS = ("uint8", "uint16", "float32")
OVERSHOOT = 0.05  # of the range: what resampling may put beyond it
_PLAIN_WHITES = (1.0, 255.0)  # of floats
_ENDS = (0.1, 99.9)  # percentiles of a float image that count as its ends: single hot pixels must not decide


@dataclass(frozen=True)
class ValueRange:
    """The numbers of a data set's images.

    Attributes:
        kind: of the arrays: 'uint8', 'uint16' or 'float32'.
        white: the value that counts as white.
        black: the one that counts as black; 0 but for floats of no usual range.
    """

    kind: str
    white: float
    black: float = 0.0

    def __post_init__(self) -> None:
        known = self.kind in KINDS and math.isfinite(self.black) and math.isfinite(self.white)
        if not known or self.white <= self.black:
            raise DataError(
                f"a range of values is one of {', '.join(KINDS)} from black up to white; "
                f"found {self.kind} from {self.black} to {self.white}"
            )

    @property
    def span(self) -> float:
        """White minus black: what is 255 in the units of the CRF's colour bandwidths."""
        return self.white - self.black

    def covers(self, other: ValueRange) -> bool:
        """Whether images of the other range can be taken as they are."""
        return self.kind == other.kind and self.black <= other.black and other.white <= self.white

    def as_dict(self) -> dict[str, Any]:
        """JSON-able; `from_dict` takes it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> ValueRange:
        """The inverse of `as_dict`.

        Raises:
            DataError, KeyError, TypeError, ValueError: if it is none.
        """
        return cls(str(document["kind"]), float(document["white"]), float(document["black"]))

    def __str__(self) -> str:
        return f"{self.kind}, {self.black:.6g} (black) to {self.white:.6g} (white)"


class NotFiniteError(DataError):
    """An image holds NaN or infinity."""


class RangeMeter:
    """Finds the range of a data set, image by image; all of one kind."""

    def __init__(self) -> None:
        self._kind = ""
        self._low, self._high = math.inf, -math.inf
        self._ends = (math.inf, -math.inf)

    def add(self, image: Array, name: str) -> None:
        """Look at one image (C, H, W).

        Raises:
            DataError: if it holds NaN or infinity.
        """
        self._kind = str(image.dtype)
        if image.dtype == np.uint8:
            return
        if image.dtype.kind == "f":
            check_numbers(image, f"image '{name}'")
            low, high = (float(end) for end in np.percentile(image, _ENDS))
            self._ends = (min(self._ends[0], low), max(self._ends[1], high))
        self._low, self._high = min(self._low, float(image.min())), max(self._high, float(image.max()))

    def found(self) -> ValueRange:
        """The range of what was added: see `integer_range` and `float_range`."""
        if self._kind == "uint8":
            return ValueRange("uint8", 255.0)
        if self._kind.startswith("float"):
            return float_range(self._low, self._high, self._ends)
        return integer_range(self._high)


def integer_range(highest: float) -> ValueRange:
    """The range of 16-bit files by the largest value of the set: the least depth that holds it."""
    return ValueRange("uint16", float(next((top for top in DEPTHS if highest <= top), highest)))


def float_range(low: float, high: float, ends: tuple[float, float]) -> ValueRange:
    """The range of float images.

    Args:
        low, high: least and largest value of the set.
        ends: the same without outliers.

    Returns:
        0..1 or 0..255 where the values lie there and fill more than a quarter; else what was measured.
    """
    for white in _PLAIN_WHITES:
        if low >= -OVERSHOOT * white and white / 4 < high <= (1 + OVERSHOOT) * white:
            return ValueRange("float32", white)
    black, white = ends if ends[0] < ends[1] else (low, high)
    return ValueRange("float32", white if white > black else black + 1.0, black)


def check_numbers(image: Array, where: str) -> None:
    """Raises NotFiniteError with the number of values that are NaN or infinite in float32, if some are.

    Args:
        image: any array.
        where: the file or image, for the sentence.
    """
    if image.dtype.kind not in "fc":
        return
    with np.errstate(over="ignore"):  # float64 beyond float32 becomes infinite there
        narrow = image.astype(np.float32) if image.dtype.kind == "f" and image.itemsize > 4 else image
    wrong = image.size - int(np.count_nonzero(np.isfinite(narrow)))
    if wrong:
        raise NotFiniteError(
            f"{where} has values that are NaN or infinite ({wrong:,} of {image.size:,}); fill them before use"
        )


def values_of(document: Mapping[str, Any], file: Path) -> ValueRange | None:
    """What the numbers of the images trained on mean, where a segmenter file tells.

    Raises:
        FileFormatError: if it tells what cannot be.
    """
    described = document.get("values")
    if described is None:  # a file older than that
        return None
    try:
        return ValueRange.from_dict(described)
    except (DataError, KeyError, TypeError, ValueError) as error:
        raise FileFormatError(
            f"{file} does not tell what its images' numbers mean ({error}); the file was changed, take the original again"
        ) from error
