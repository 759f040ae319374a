"""DenseCRF: the fully connected CRF of Krähenbühl & Koltun (NIPS 2011) with its parameters, called on images.

Two Gaussian kernels between all pairs of pixels, one of position and colour and one of position alone, pull the labels of
near and similar pixels together; mean field approximates the labels' probabilities.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ClassVar, get_args

import numpy as np

from segfield.crf.arrays import as_array, is_tensor, namespace
from segfield.crf.engines import Accuracy, Engine, build_engine
from segfield.crf.filters.filter import Normalization
from segfield.crf.image_range import check_image, in_byte_units, white_value
from segfield.crf.large_image import Window, refine_tiles, tile_overlap, tile_side
from segfield.crf.parameters import (
    Number,
    Table,
    Weight,
    check_axes,
    check_bandwidth,
    check_choice,
    check_compatibility,
    check_count,
    check_fits_classes,
    check_fits_iterations,
    check_normalization,
    check_number,
    check_weight,
    frozen_numbers,
    is_zero,
    widest,
)
from segfield.crf.presets import PRESETS
from segfield.crf.scores import Scores, back_to, check_scores, energies, given_scores, on_one_device
from segfield.crf.threads import usable_threads
from segfield.errors import DataError, SettingError, did_you_mean


@dataclass(frozen=True)
class DenseCRF:
    """A refiner: image and class scores in, probabilities out.

    Gradients do not flow through it: tensors that require them are detached, and so is the result.

    Raises:
        SettingError: if a parameter is out of range.
    """

    name: ClassVar[str] = "dense_crf"
    takes_tensors: ClassVar[bool] = True
    """Scores that lie on a GPU are refined there (`refiner.works_on`)."""

    bilateral_weight: Weight = 4.0
    """How strongly pixels near in position and colour are pulled together; one value, one a class, or a table (K, K) whose
    row l tells what class l receives from every class; or (T, K, K), a table for each iteration. 0: kernel off."""
    bilateral_sxy: Number | None = 67.0
    """Standard deviation in position of the bilateral kernel, in pixels: one value, or (x, y). None: kernel off."""
    bilateral_srgb: Number = 3.0
    """Standard deviation in colour, in units of 0..255 whatever the image's depth; one value, or one a band."""
    gaussian_weight: Weight = 3.0
    """How strongly near pixels are pulled together, as `bilateral_weight`. 0: kernel off."""
    gaussian_sxy: Number | None = 3.0
    """Standard deviation of the Gaussian kernel, in pixels: one value, or (x, y). None: kernel off."""
    iterations: int = 10
    """Mean-field iterations, at most."""
    normalization: Normalization = "symmetric"
    """How a kernel's row sums are divided out: symmetric as pydensecrf, after as the 2011 code and DeepLab, before, none."""
    compatibility: Table | None = None
    """(K, K): entry (a, b) is added to the energy of class a for a neighbour of class b; or (T, K, K), one for each
    iteration. None: Potts, −1 where a = b."""
    accuracy: Accuracy = "fast"
    """fast: one lattice; fine: a denser lattice, nearer to the exact sum; exact: the sum itself, to within epsilon."""
    epsilon: float = 1e-3
    """exact only: groups of pixels whose kernel value cannot exceed this are left out."""
    damping: float = 0.0
    """Share of the previous probabilities that each iteration keeps, 0 … 1."""
    tolerance: float = 0.0
    """Stop once no probability changes by more than this; 0: run all iterations."""
    cheap_start: bool | None = None
    """Early iterations on cheaper kernels, the later ones as asked: at half resolution, those of `fine` on one lattice, those
    of `exact` on `fine`. None: for fast and fine, where that saves time; True also for exact, False for none."""
    image_range: float | None = None
    """The image's value that counts as white. None: 255 for uint8, 65535 for uint16, 1 or 255 for floats by their values."""
    tile: int | None = None
    """Refine larger images in overlapping tiles of this side, in pixels. None: whole, until memory asks for tiles."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, frozen_numbers(getattr(self, field.name)))
        for name in ("bilateral_sxy", "gaussian_sxy"):
            check_bandwidth(name, getattr(self, name), "pixels", optional=True)
            check_axes(name, getattr(self, name))
        check_bandwidth("bilateral_srgb", self.bilateral_srgb, "units of 0..255")
        for name in ("bilateral_weight", "gaussian_weight"):
            check_weight(name, getattr(self, name))
        check_compatibility(self.compatibility)
        check_count("iterations", self.iterations, 0)
        check_normalization(self.normalization)
        check_choice("accuracy", self.accuracy, get_args(Accuracy))
        check_number("epsilon", self.epsilon, 0, 1, excluded=True)
        check_number("damping", self.damping, 0, 1)
        check_number("tolerance", self.tolerance, 0)
        if self.image_range is not None:
            check_number("image_range", self.image_range, 1e-30, 1e30, excluded=True)
        if self.tile is not None:
            check_count("tile", self.tile, 16)

    @classmethod
    def preset(cls, name: str, **changes: Any) -> DenseCRF:
        """Published parameters by name (see `segfield.crf.presets`), with `changes` put over them.

        >>> DenseCRF.preset("deeplab_largefov", iterations=5).bilateral_sxy
        121.0
        """
        if name not in PRESETS:
            raise SettingError(f"there is no preset '{name}' of the dense CRF; {did_you_mean(name, PRESETS)}")
        return cls.from_dict({**PRESETS[name], **changes})

    def as_dict(self) -> dict[str, Any]:
        """All parameters, JSON-able, under the name "dense_crf"; `from_dict` takes them back."""
        return {"name": self.name, **dataclasses.asdict(self)}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> DenseCRF:
        """The inverse of `as_dict`; missing parameters are defaults. Raises SettingError for an unknown one."""
        known = [field.name for field in dataclasses.fields(cls)]
        for key in document:
            if key not in (*known, "name"):
                raise SettingError(f"the dense CRF has no parameter '{key}'; {did_you_mean(key, known)}")
        return cls(**{key: value for key, value in document.items() if key != "name"})

    def __call__(self, image: Any, logits: Any = None, *, probabilities: Any = None, unary: Any = None) -> Any:
        """Refine the class scores of one image, or of a batch, whose images then run in parallel.

        Args:
            image: (C, H, W) or (B, C, H, W); any bands, any depth.
            logits, probabilities, unary: exactly one of them, (K, H, W) or (B, K, H, W); unary = −log probability.

        Returns:
            Probabilities like the scores given: (K, H, W) or (B, K, H, W) float32, NumPy or torch, on their device.

        Raises:
            DataError: if scores or image hold what no score or image can, or do not fit each other.
            SettingError: if not exactly one kind of scores is given, or a parameter does not fit the classes or bands.
        """
        given = given_scores(logits, probabilities, unary)
        image, values = on_one_device(image, given.values)
        scores = Scores(given.kind, values)
        refined = self._refine_batch(image, scores) if values.ndim == 4 else self._refine_image(image, scores)
        return back_to(given.values, refined)

    def refine(self, image: Any, probabilities: Any) -> Any:
        """As a refiner: image (C, H, W) and probabilities (K, H, W) → refined probabilities (K, H, W)."""
        return self(image, probabilities=probabilities)

    def prepare(self, image: Any, *, threads: int | None = None) -> PreparedCRF:
        """Build the filters of one image once, to run any unaries, weights and iterations on them.

        Args:
            image: (C, H, W), as in a call; refined whole, `tile` is not used.
            threads: how many the work may use; None: all.
        """
        image = image.detach() if is_tensor(image) and image.device.type != "cpu" else as_array(image)
        check_image(image)
        engine = self._engine(image, white_value(image, self.image_range), threads)
        return PreparedCRF(self, (int(image.shape[1]), int(image.shape[2])), engine)

    def _refine_batch(self, images: Any, scores: Scores) -> Any:
        """(B, C, H, W) and (B, K, H, W): on the CPU one thread an image where there are images enough."""
        kind, values = scores
        if images.ndim != 4 or len(images) != len(values):
            raise DataError(
                f"the {kind} are a batch of shape {tuple(values.shape)}, so the images must be (B, C, H, W) with as many, "
                f"but their shape is {tuple(images.shape)}"
            )
        if is_tensor(values):
            pairs = zip(images, values, strict=True)
            return namespace(values).stack([self._refine_image(image, Scores(kind, of)) for image, of in pairs])
        refined = np.empty(values.shape, np.float32)
        threads = usable_threads()
        alone = len(values) >= threads

        def work(index: int) -> None:
            refined[index] = self._refine_image(images[index], Scores(kind, values[index]), 1 if alone else None)

        if not alone or threads == 1:
            for index in range(len(values)):
                work(index)
            return refined
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, range(len(values))))
        return refined

    def _refine_image(self, image: Any, scores: Scores, threads: int | None = None) -> Any:
        """One image, checked; whole or in tiles."""
        check_image(image)
        check_scores(scores, tuple(image.shape))
        classes, height, width = (int(length) for length in scores.values.shape)
        self._check_classes(classes)
        white = white_value(image, self.image_range)
        used = self._used()

        def refine(window: Window) -> Any:
            part = (slice(None), *window)
            unary = energies(Scores(scores.kind, scores.values[part]))
            if classes == 1:
                return namespace(unary).ones_like(unary)
            return _run(used._engine(image[part], white, threads), unary, used)

        side = tile_side(height, width, classes, self.tile)
        if side is None:
            return refine((slice(None), slice(None)))
        overlap = tile_overlap(side, widest(used.bilateral_sxy, used.gaussian_sxy))
        return refine_tiles(refine, scores.values, classes, (height, width), side, overlap)

    def _used(self) -> DenseCRF:
        """The same without the kernels whose weights are 0."""
        off: dict[str, Any] = {"bilateral_sxy": None} if is_zero(self.bilateral_weight) else {}
        off |= {"gaussian_sxy": None} if is_zero(self.gaussian_weight) else {}
        return dataclasses.replace(self, **off) if off else self

    def _engine(self, image: Any, white: float, threads: int | None) -> Engine:
        bands = int(image.shape[0])
        if isinstance(self.bilateral_srgb, tuple) and len(self.bilateral_srgb) != bands:
            raise SettingError(
                f"bilateral_srgb has {len(self.bilateral_srgb)} values, but the image has {bands} bands; "
                "give one number, or one a band"
            )
        return build_engine(
            in_byte_units(image, white),
            bilateral_sxy=self.bilateral_sxy,
            bilateral_srgb=self.bilateral_srgb,
            gaussian_sxy=self.gaussian_sxy,
            normalization=self.normalization,
            accuracy=self.accuracy,
            epsilon=self.epsilon,
            threads=threads,
        )

    def _check_classes(self, classes: int) -> None:
        for field in ("bilateral_weight", "gaussian_weight", "compatibility"):
            check_fits_classes(field, getattr(self, field), classes)
            check_fits_iterations(field, getattr(self, field), self.iterations)


@dataclass(frozen=True)
class PreparedCRF:
    """A DenseCRF whose filters are built for one image; several may run in several threads."""

    crf: DenseCRF
    """Parameters; those that `run` is not given are taken from here."""
    size: tuple[int, int]
    """(H, W) of the image."""
    engine: Engine

    def run(
        self,
        unary: Any,
        *,
        bilateral_weight: Weight | None = None,
        gaussian_weight: Weight | None = None,
        compatibility: Table | None = None,
        iterations: int | None = None,
        damping: float | None = None,
        tolerance: float | None = None,
    ) -> Any:
        """Mean field of `unary` (K, H, W) → probabilities (K, H, W) float32, of the same library.

        The unary is −log probability, up to a constant at each pixel. None takes a parameter of the CRF.

        Raises:
            DataError: if the unary is not finite, or not of the image's size.
            SettingError: if a parameter is out of range or does not fit the classes.
        """
        given = {
            "bilateral_weight": bilateral_weight,
            "gaussian_weight": gaussian_weight,
            "compatibility": compatibility,
            "iterations": iterations,
            "damping": damping,
            "tolerance": tolerance,
        }
        crf = dataclasses.replace(self.crf, **{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
        on_device = is_tensor(unary) and unary.device.type != "cpu"
        values = unary.detach() if on_device else as_array(unary)
        scores = Scores("unary", values)
        check_scores(scores, (1, *self.size))
        crf._check_classes(int(values.shape[0]))
        if values.shape[0] == 1:
            return back_to(unary, namespace(values).ones_like(energies(scores)))
        return back_to(unary, _run(self.engine, energies(scores), crf))


def _run(engine: Engine, unary: Any, crf: DenseCRF) -> Any:
    return engine.run(
        unary,
        bilateral_weight=0.0 if crf.bilateral_sxy is None else crf.bilateral_weight,
        gaussian_weight=0.0 if crf.gaussian_sxy is None else crf.gaussian_weight,
        compatibility=crf.compatibility,
        iterations=crf.iterations,
        damping=crf.damping,
        tolerance=crf.tolerance,
        cheap_start=crf.accuracy != "exact" if crf.cheap_start is None else crf.cheap_start,
    )
