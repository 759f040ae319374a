"""The class scores a CRF is given, logits, probabilities or unaries: which one, whether sound, and on which device."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from segfield.crf.arrays import as_array, as_float32, is_tensor, namespace
from segfield.crf.unary import check_logits, check_probabilities, clipped_unary
from segfield.errors import DataError, SettingError


class Scores(NamedTuple):
    """What was given: "logits", "probabilities" or "unary", and the values, (K, H, W) or (B, K, H, W)."""

    kind: str
    values: Any


def given_scores(logits: Any, probabilities: Any, unary: Any) -> Scores:
    """The one that is not None; SettingError unless there is exactly one."""
    given = {"logits": logits, "probabilities": probabilities, "unary": unary}
    kinds = [kind for kind, scores in given.items() if scores is not None]
    if len(kinds) != 1:
        found = " and ".join(kinds) or "none of them"
        raise SettingError(f"the CRF takes exactly one of logits, probabilities and unary, but was given {found}")
    return Scores(kinds[0], given[kinds[0]])


def check_scores(scores: Scores, image_shape: tuple[int, ...]) -> None:
    """Raise DataError unless scores are what they say, for an image of shape (C, H, W) of their size."""
    if scores.kind == "probabilities":
        check_probabilities(scores.values)
    else:
        check_logits(scores.values, scores.kind)
    size, expected = tuple(scores.values.shape[1:]), tuple(image_shape[1:])
    if size == expected:
        return
    message = f"the {scores.kind} are {size[0]} × {size[1]} pixels (rows × columns), but the image {expected[0]} × {expected[1]}"
    if tuple(image_shape[:2]) == size:
        raise DataError(f"{message}; it seems to have its bands last: give image.transpose(2, 0, 1), (C, H, W)")
    raise DataError(f"{message}; resize one to the other")


def energies(scores: Scores) -> Any:
    """Unaries (K, H, W) float32 of sound scores, up to a constant at each pixel, which mean field does not see."""
    values = as_float32(scores.values)
    convert: dict[str, Callable[[Any], Any]] = {
        "logits": lambda logits: -logits,
        "probabilities": clipped_unary,
        "unary": lambda unary: unary,
    }
    return convert[scores.kind](values)


def on_one_device(image: Any, scores: Any) -> tuple[Any, Any]:
    """Image and scores where the work is done: NumPy arrays, or tensors on the device of scores that lie on another."""
    if is_tensor(scores) and scores.device.type != "cpu":
        return sys.modules["torch"].as_tensor(image, device=scores.device).detach(), scores.detach()
    return as_array(image), as_array(scores)


def back_to(given: Any, found: Any) -> Any:
    """`found` in the library of `given`."""
    return namespace(given).from_numpy(found) if is_tensor(given) and not is_tensor(found) else found
