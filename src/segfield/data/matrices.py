"""Label maps that are not images.

Matlab files (SBD, Pascal Context), and integer matrices as text (Stanford Background).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from segfield.classes import Array
from segfield.data.files import unreadable
from segfield.errors import DataError


def read_matlab_labels(path: Path) -> Array:
    """(H, W) integers of `LabelMap` (Pascal Context) or `GTcls.Segmentation` (SBD) in a .mat file.

    Raises:
        DataError: if the file cannot be read or holds neither.
    """
    from scipy.io import loadmat

    try:
        path.open("rb").close()  # scipy hides why a file cannot be opened
        held = loadmat(str(path), simplify_cells=True)
    except NotImplementedError as error:
        raise DataError(f"{path} is a Matlab 7.3 file; save it again in Matlab with save(…, '-v7')") from error
    except Exception as error:  # scipy's reader lets whatever the damaged bytes provoke through
        raise unreadable(path, error, "label file") from error
    labels = held.get("LabelMap")
    if labels is None and isinstance(held.get("GTcls"), dict):
        labels = held["GTcls"].get("Segmentation")
    if labels is None:
        there = ", ".join(sorted(key for key in held if not key.startswith("__"))) or "nothing"
        raise DataError(f"{path} holds {there}; expected LabelMap (Pascal Context) or GTcls.Segmentation (SBD)")
    labels = np.asarray(labels)
    if labels.ndim < 2:  # simplify_cells squeezes one-pixel-wide maps; their size in the file is not kept
        raise DataError(f"{path}: a label map needs height and width, found the shape {labels.shape}")
    return labels


def read_text_labels(path: Path) -> Array:
    """(H, W) int16 or int32 from whitespace-separated whole numbers, one image row a line.

    Raises:
        DataError: if the file cannot be read, holds something else than whole numbers, or its rows differ in length.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error, "label file") from error
    rows = sum(1 for line in content.split(b"\n") if line.strip())
    if rows == 0:
        raise DataError(f"{path}: the label file is empty; copy it again from where it came, or remove it")
    numbers = _single_digits(content)
    if numbers is None:
        try:
            numbers = np.array(content.split(), dtype=np.int32)
        except (ValueError, OverflowError) as error:
            raise DataError(f"{path}: expected whole numbers, one image row a line; {error}") from error
    if numbers.size % rows:
        raise DataError(
            f"{path} holds {numbers.size:,} numbers in {rows} rows, so rows differ in length; copy it again"
        )
    return numbers.reshape(rows, -1)


def _single_digits(content: bytes) -> Array | None:
    """All numbers, if each is one digit with or without a minus (the usual case, 20 times faster); else None."""
    characters = np.frombuffer(content, np.uint8)
    digit = (characters >= 48) & (characters <= 57)
    places = np.flatnonzero(digit)
    minus = characters == 45
    blank = (characters == 32) | ((characters >= 9) & (characters <= 13))
    lone_minus = minus[:-1] & ~digit[1:]
    glued = digit[:-1] & (digit[1:] | minus[1:])
    if places.size == 0 or not (digit | minus | blank).all() or glued.any() or lone_minus.any() or minus[-1]:
        return None
    numbers = characters[places].astype(np.int16) - 48
    negative = places > 0
    negative[negative] = minus[places[negative] - 1]
    numbers[negative] *= -1
    return numbers
