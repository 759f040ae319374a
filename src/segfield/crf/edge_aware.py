"""Edge-aware filters as refiners, to compare the CRF with: guided filter, domain transform, fast bilateral solver.

All three are OpenCV's (module ximgproc), which is an extra: `pip install "segfield[edge]"`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np

from segfield.classes import Array
from segfield.crf.image_range import in_byte_units, white_value
from segfield.crf.unary import check_logits
from segfield.errors import DataError, SettingError, did_you_mean

Filter = TypeVar("Filter", bound="_EdgeAware")
_AT_ONCE = 4  # channels the domain transform takes
_LEAST, _LARGEST = 1e-6, 1e9  # what OpenCV's float32 squares and divides without overflow


@dataclass(frozen=True)
class _EdgeAware:
    """Parameters, their check, and the way to and from a table; the filter itself is a subclass's `__call__`."""

    name: ClassVar[str]

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is None and field.name == "image_range":
                continue
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not (number and _LEAST <= value <= _LARGEST):
                raise SettingError(
                    f"{field.name} of {self.name} is {value}; give a number above 0, from {_LEAST:g} to {_LARGEST:g}"
                )

    def as_dict(self) -> dict[str, Any]:
        """Name and parameters; `from_dict` takes them back."""
        return {"name": self.name, **asdict(self)}

    @classmethod
    def from_dict(cls: type[Filter], document: Mapping[str, Any]) -> Filter:
        """The inverse of `as_dict`; missing parameters are defaults. Raises SettingError for an unknown one."""
        known = [field.name for field in dataclasses.fields(cls)]
        for key in document:
            if key not in (*known, "name"):
                raise SettingError(f"{cls.name} has no setting '{key}'; {did_you_mean(key, known)}")
        return cls(**{key: value for key, value in document.items() if key != "name"})


@dataclass(frozen=True)
class GuidedFilter(_EdgeAware):
    """He, Sun, Tang: Guided Image Filtering, ECCV 2010: in each window, probabilities as an affine function of the image.

    Args:
        radius: of the window, in pixels.
        eps: variance below which a window counts as flat (equation 3), in units of 0..255 squared: 100 is a standard
            deviation of 10.
        image_range: the value that counts as white; None as `white_value` finds it.
    """

    name: ClassVar[str] = "guided_filter"
    radius: int = 8
    eps: float = 100.0
    image_range: float | None = None

    def __call__(self, image: Array, *, probabilities: Array) -> Array:
        """(C, H, W) of 1 to 3 bands, (K, H, W) → (K, H, W) float32 that sum to 1.

        Raises:
            SettingError: where OpenCV's ximgproc is not installed.
            DataError: if the image has more than 3 bands or another size.
        """
        guide = _guide(image, probabilities, 3, self)
        smooth = _ximgproc().createGuidedFilter(guide, int(self.radius), float(self.eps)).filter
        return _each(probabilities, smooth, len(probabilities))


@dataclass(frozen=True)
class DomainTransform(_EdgeAware):
    """Gastal, Oliveira: Domain Transform for Edge-Aware Image and Video Processing, SIGGRAPH 2011 (normalised convolution).

    Args:
        sxy: reach along flat parts, in pixels.
        srgb: reach in colour, in units of 0..255.
        image_range: the value that counts as white; None as `white_value` finds it.
    """

    name: ClassVar[str] = "domain_transform"
    sxy: float = 20.0
    srgb: float = 40.0
    image_range: float | None = None

    def __call__(self, image: Array, *, probabilities: Array) -> Array:
        """(C, H, W) of 1 to 4 bands, (K, H, W) → (K, H, W) float32 that sum to 1.

        Raises:
            SettingError: where OpenCV's ximgproc is not installed.
            DataError: if the image has more than 4 bands or another size.
        """
        guide = _guide(image, probabilities, 4, self)
        smooth = _ximgproc().createDTFilter(guide, float(self.sxy), float(self.srgb)).filter
        return _each(probabilities, smooth, _AT_ONCE)


@dataclass(frozen=True)
class FastBilateralSolver(_EdgeAware):
    """Barron, Poole: The Fast Bilateral Solver, ECCV 2016. A pixel's confidence is its highest probability.

    OpenCV has it only where it was compiled with Eigen, which PyPI's wheel 5.0.0 is not; there a sentence says
    so, and `DomainTransform` is what works.

    Args:
        sxy: cells of the bilateral grid, in pixels.
        sluma, schroma: the same in luma and chroma, of 0..255.
        smoothness: weight of the smoothness term, λ of equation 1.
        iterations: of the conjugate gradients.
        image_range: the value that counts as white; None as `white_value` finds it.
    """

    name: ClassVar[str] = "fast_bilateral_solver"
    sxy: float = 8.0
    sluma: float = 8.0
    schroma: float = 8.0
    smoothness: float = 128.0
    iterations: int = 25
    image_range: float | None = None

    def __call__(self, image: Array, *, probabilities: Array) -> Array:
        """(C, H, W) of 1 or 3 bands, (K, H, W) → (K, H, W) float32 that sum to 1.

        Raises:
            SettingError: where OpenCV's ximgproc is not installed, or was compiled without Eigen.
            DataError: if the image has other bands or another size.
        """
        guide = np.rint(_guide(image, probabilities, 3, self)).astype(np.uint8)
        if len(image) == 2:
            raise DataError("the fast bilateral solver takes images of 1 or 3 bands; this has 2: refine with dense_crf")
        solver = _ximgproc().createFastBilateralSolverFilter
        settings = (float(self.sxy), float(self.sluma), float(self.schroma), float(self.smoothness))
        confidence = np.ascontiguousarray(probabilities.max(axis=0), dtype=np.float32)
        try:
            solve = solver(guide, *settings, int(self.iterations)).filter
            return _each(probabilities, lambda plane: solve(plane, confidence), 1)
        except Exception as error:  # cv2.error, a class of a library that may be absent
            if getattr(error, "code", None) != -213 and "EIGEN" not in str(error):
                raise
            raise SettingError(
                "this OpenCV was compiled without Eigen, which its fast bilateral solver needs; refine with "
                "domain_transform or guided_filter, or install an OpenCV built with Eigen"
            ) from error


def _each(probabilities: Array, smooth: Callable[[Array], Array], at_once: int) -> Array:
    """Filter `at_once` classes at a time; then none below 0, and all of a pixel sum to 1 again."""
    refined = np.empty(probabilities.shape, dtype=np.float32)
    for first in range(0, len(refined), at_once):
        group = slice(first, first + at_once)
        planes = np.ascontiguousarray(probabilities[group].transpose(1, 2, 0), dtype=np.float32)
        refined[group] = smooth(planes).reshape(planes.shape).transpose(2, 0, 1)
    np.maximum(refined, np.finfo(np.float32).tiny, out=refined)
    refined /= refined.sum(axis=0)
    return refined


def _guide(image: Array, probabilities: Array, most_bands: int, filter_: _EdgeAware) -> Array:
    """(C, H, W) → (H, W, C) as OpenCV takes it, uint8 or float32 in 0..255."""
    if image.ndim != 3 or probabilities.ndim != 3 or image.shape[1:] != probabilities.shape[1:]:
        raise DataError(
            f"image {image.shape} and probabilities {probabilities.shape} do not fit; "
            "give (C, H, W) and (K, H, W) of one size"
        )
    check_logits(probabilities, "probabilities")
    if len(image) > most_bands:
        raise DataError(
            f"{filter_.name} takes images of up to {most_bands} bands, this one has {len(image)}; "
            "refine with dense_crf, which takes any number"
        )
    scaled: Array = in_byte_units(image, white_value(image, getattr(filter_, "image_range", None)))
    return np.ascontiguousarray(scaled.transpose(1, 2, 0))


def _ximgproc() -> Any:
    try:
        from cv2 import ximgproc
    except ImportError as error:
        raise SettingError(
            "edge-aware filters are OpenCV's, whose contributed modules are not installed here; "
            'pip install "segfield[edge]" (opencv-contrib-python-headless)'
        ) from error
    return ximgproc
