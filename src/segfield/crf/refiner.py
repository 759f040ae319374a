"""Refiner: image + probabilities → probabilities. What one is, and how a name, a file or a table of settings becomes one."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np

from segfield.classes import Array
from segfield.crf.arrays import as_array, is_tensor, namespace
from segfield.crf.edge_aware import DomainTransform, FastBilateralSolver, GuidedFilter
from segfield.crf.unary import check_logits
from segfield.data.files import unreadable
from segfield.data.value_range import ValueRange
from segfield.errors import SegfieldError, SettingError, did_you_mean


@runtime_checkable
class Refiner(Protocol):
    """What cleans the edges of a classifier's probabilities by the image itself."""

    def __call__(self, image: Array, *, probabilities: Array) -> Any:
        """(C, H, W) in the units of its file and (K, H, W) float32 → refined (K, H, W) float32."""
        ...

    def as_dict(self) -> dict[str, Any]:
        """Its name under the key 'name' and its parameters, JSON-able; `build_refiner` takes it back."""
        ...


Chosen = TypeVar("Chosen", bound=Refiner)
Refine = str | Mapping[str, Any] | Refiner | None
"""How refinement is asked for: see `chosen_refiner`."""


def dense_crf(document: Mapping[str, Any]) -> Refiner:
    """`DenseCRF.from_dict`; its compiled filters are loaded only where it is used."""
    from segfield.crf.dense_crf import DenseCRF

    refiner: Refiner = DenseCRF.from_dict(document)
    return refiner


# name in a file → what builds it from the rest of the table
REFINERS: dict[str, Callable[[Mapping[str, Any]], Refiner]] = {
    "dense_crf": dense_crf,
    "guided_filter": GuidedFilter.from_dict,
    "domain_transform": DomainTransform.from_dict,
    "fast_bilateral_solver": FastBilateralSolver.from_dict,
}
_SWITCHES = ("auto", "off", "on")
_TOLD_BY_KIND = (("uint8", 255.0), ("uint16", 65535.0))
_GPUS = ("cuda",)  # types of torch devices; on Apple's GPUs the lattice is not known to run


def build_refiner(document: Mapping[str, Any]) -> Refiner:
    """The refiner that `as_dict` described: {"name": "dense_crf", "bilateral_weight": 4.0, …}. Missing keys are defaults.

    Raises:
        SettingError: if the name or a parameter is unknown or out of range.
    """
    name = document.get("name")
    if not isinstance(name, str) or name not in REFINERS:
        raise SettingError(f"there is no refiner '{name}'; {did_you_mean(str(name), REFINERS)}; write it as \"name\"")
    return REFINERS[name](document)


def chosen_refiner(choice: Refine, carried: Refiner | None = None, values: ValueRange | None = None) -> Refiner | None:
    """The refiner that is meant, with the white of the segmenter's images.

    Args:
        choice: 'auto': what the segmenter carries; 'off' or None: none; 'on': what it carries, else the dense CRF with
            its defaults; the name of a preset or of a refiner; a JSON file; a table for `build_refiner`; or a refiner.
        carried: the segmenter's own, if it has one.
        values: what the segmenter's images mean by their numbers.

    Raises:
        SettingError: if the name is unknown or the settings are out of range.
        DataError: if the file cannot be read.
    """
    chosen = _chosen(choice, carried)
    return chosen if chosen is None or values is None else in_range(chosen, values)


def in_range(refiner: Chosen, values: ValueRange) -> Chosen:
    """The refiner with the white of a data set's images as its `image_range`, where it has none and the kind does not tell."""
    settable = "image_range" in getattr(refiner, "__dataclass_fields__", ())
    if not settable or refiner.as_dict()["image_range"] is not None or (values.kind, values.white) in _TOLD_BY_KIND:
        return refiner
    return replace(refiner, image_range=values.span)  # type: ignore[type-var]


def _chosen(choice: Refine, carried: Refiner | None) -> Refiner | None:
    if choice is None or choice == "off":
        return None
    if choice == "auto":
        return carried
    if choice == "on":
        return carried or dense_crf({"name": "dense_crf"})
    if isinstance(choice, str):
        return named_refiner(choice, _SWITCHES)
    if isinstance(choice, Mapping):
        return build_refiner(choice)
    if isinstance(choice, Refiner):
        return choice
    raise SettingError(
        f"refine is {type(choice).__name__}; give auto, off, on, the name of a preset, or a refiner such as DenseCRF()"
    )


def named_refiner(name: str, also: tuple[str, ...] = ()) -> Refiner:
    """The refiner of a preset's name, a refiner's name with its defaults, or a JSON file.

    Args:
        name: as above.
        also: further words that are understood where this is asked, for the error's list.

    Raises:
        SettingError: if there is none of that name, or the file holds something else.
        DataError: if the file cannot be read.
    """
    from segfield.crf.presets import PRESETS

    if name in PRESETS:
        return dense_crf({"name": "dense_crf", **PRESETS[name]})
    if name in REFINERS:
        return build_refiner({"name": name})
    if not name.lower().endswith(".json"):
        near = did_you_mean(name, [*also, *PRESETS, *REFINERS])
        raise SettingError(f"there is no refiner '{name}'; {near}, or a JSON file with a refiner's settings")
    try:
        document = json.loads(Path(name).read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise unreadable(name, error, "settings") from error
    if not isinstance(document, dict):
        raise SettingError(f'{name} holds no refiner; write one as {{"name": "dense_crf", "bilateral_weight": 4}}')
    try:
        return build_refiner(document)
    except SegfieldError as error:
        raise SettingError(f"{name}: {error}") from error


def describe_refiner(refiner: Refiner | None) -> str | None:
    """A refiner in one line, for settings and reports: 'dense_crf bilateral_weight=4.0 …'; None where there is none."""
    if refiner is None:
        return None
    document = dict(refiner.as_dict())
    name = document.pop("name")
    settings = [f"{key}={json.dumps(value)}" for key, value in document.items() if value is not None]
    return " ".join([str(name), *settings])


def works_on(refiner: Refiner, device: Any) -> bool:
    """Whether a refiner takes tensors of this torch device as they are: the dense CRF does, on NVIDIA's and AMD's GPUs."""
    return bool(getattr(refiner, "takes_tensors", False)) and device is not None and device.type in _GPUS


def refined(refiner: Refiner, image: Array, probabilities: Any) -> Any:
    """Call a refiner on one image and see that what comes back fits.

    Args:
        refiner: any.
        image: (C, H, W), as its file has it.
        probabilities: (K, H, W), any float; an array, or a tensor. Where the refiner works on the tensor's device it is given
            the tensor; else, or where that device's memory does not suffice, which is told, it works on arrays.

    Returns:
        (K, H, W) float32; a tensor on that device where the refiner worked there, else an array.

    Raises:
        SettingError: if the refiner gives another shape, or NaN.
        DataError: if the probabilities hold NaN; and as the refiner does.
    """
    if is_tensor(probabilities) and works_on(refiner, probabilities.device):
        try:
            return _refined_on_device(refiner, image, probabilities)
        except namespace(probabilities).OutOfMemoryError:
            warnings.warn(
                f"the refinement does not fit into the memory of {probabilities.device}, so the processor does it",
                stacklevel=2,
            )
    given = np.ascontiguousarray(as_array(probabilities), dtype=np.float32)
    check_logits(given, "probabilities")
    found = np.asarray(refiner(np.ascontiguousarray(image), probabilities=given))
    if found.shape != given.shape:
        raise SettingError(
            f"the refiner {type(refiner).__name__} gave an array of {found.shape} where probabilities "
            f"{given.shape} were given; mend it, or refine with dense_crf"
        )
    return _sound(found.astype(np.float32, copy=False), refiner)


def _sound(found: Any, refiner: Refiner) -> Any:
    """What a refiner gave, array or tensor, if all of it are numbers."""
    xp = namespace(found)
    if not xp.isfinite(found.sum(dtype=xp.float64)):
        bad = int((~xp.isfinite(found)).any(0).sum())
        raise SettingError(
            f"the refiner made NaN or infinity of sound probabilities at {bad:,} of {math.prod(found.shape[1:]):,} pixels; its "
            f"settings are out of range ({describe_refiner(refiner)}): give others, or --refine off"
        )
    return found


def _refined_on_device(refiner: Refiner, image: Array, probabilities: Any) -> Any:
    """`refined` with tensors all along."""
    torch, device = namespace(probabilities), probabilities.device
    given = probabilities.float()
    check_logits(given, "probabilities")
    found = refiner(torch.from_numpy(np.ascontiguousarray(image)).to(device), probabilities=given)
    if not is_tensor(found) or found.device != device or found.shape != given.shape:
        raise SettingError(
            f"the refiner {type(refiner).__name__} gave {tuple(np.shape(found))} where a tensor {tuple(given.shape)} on {device} "
            "was given; mend it, or refine with dense_crf"
        )
    return _sound(found.float(), refiner)
