"""DenseCRF and DenseCRF2D with pydensecrf's interface, on segfield's filters.

The usual model of an image, one Gaussian and one bilateral term, runs on the fused image engine; any other runs mean
field over lattice filters. Beyond pydensecrf: any number of bands, any depth of image, any array type.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from segfield.classes import Array
from segfield.crf.engines import Engine, build_engine
from segfield.crf.features import bilateral_features, position_features
from segfield.crf.filters.filter import Filter
from segfield.crf.mean_field import Kernel, mean_field
from segfield.crf.pydensecrf.terms import NORMALIZATIONS, ImageKernel, ModelError, Term, matrix, reward
from segfield.crf.pydensecrf.terms import ConstUnary as ConstUnary
from segfield.crf.pydensecrf.terms import KernelType as KernelType
from segfield.crf.pydensecrf.terms import LogisticUnary as LogisticUnary
from segfield.crf.pydensecrf.terms import NormalizationType as NormalizationType
from segfield.crf.pydensecrf.terms import Unary as Unary

CONST_KERNEL, DIAG_KERNEL, FULL_KERNEL = KernelType
NO_NORMALIZATION, NORMALIZE_BEFORE, NORMALIZE_AFTER, NORMALIZE_SYMMETRIC = NormalizationType

Widths = float | Sequence[float]
FORBIDDEN = 1e9  # an infinite energy, of p = 0, in numbers that can be added up


class DenseCRF:
    """A fully connected CRF over any points.

    Args:
        nvar: how many points (N).
        nlabels: how many labels (K).
    """

    def __init__(self, nvar: int, nlabels: int) -> None:
        if nvar < 1 or nlabels < 1:
            raise ModelError(
                f"a CRF of {nvar} points and {nlabels} labels has nothing to infer; both must be at least 1"
            )
        self._points = int(nvar)
        self._labels = int(nlabels)
        self._unary: Array | None = None
        self._terms: list[Term] = []

    def setUnaryEnergy(self, u: Any, f: Any = None) -> None:  # noqa: N802  pydensecrf's names from here on
        """Energies (K, N) = −log probability; or, with `f`, a logistic unary: u (K, D) times f (D, N)."""
        self.setUnary(ConstUnary(u) if f is None else LogisticUnary(u, f))

    def setUnary(self, u: Unary) -> None:  # noqa: N802
        """A ConstUnary or LogisticUnary."""
        energies = np.minimum(u.energies, FORBIDDEN)
        if energies.shape != (self._labels, self._points):
            raise ModelError(
                f"the unary energy has shape {energies.shape}, expected {(self._labels, self._points)}: (labels, points)"
            )
        if not np.isfinite(energies).all():
            raise ModelError("the unary energy holds NaN or −inf; it is −log p of probabilities p between 0 and 1")
        self._unary = energies

    def addPairwiseEnergy(  # noqa: N802
        self,
        features: Any,
        compat: Any,
        kernel: int = KernelType.DIAG_KERNEL,
        normalization: int = NormalizationType.NORMALIZE_SYMMETRIC,
    ) -> None:
        """A term whose kernel is exp(−½|f_i − f_j|²).

        Args:
            features: (D, N), divided by their standard deviations.
            compat: a number (reward for the same label), or a penalty (K,) or (K, K).
            kernel: accepted; it matters for learning alone.
            normalization: one of the four constants.
        """
        points = matrix(features, "the features").T
        if points.shape[0] != self._points:
            raise ModelError(f"the features have shape {points.T.shape}, expected (dimensions, {self._points})")
        rows = points.copy()
        self._add(lambda: _lattice(rows), compat, kernel, normalization)

    def inference(self, niter: int) -> Array:
        """Mean field, `niter` iterations → probabilities (K, N) float32."""
        return self._mean_field(niter)

    def map(self, niter: int) -> Array:
        """The most probable label of each point, (N,) int16, after `niter` iterations."""
        labels: Array = np.argmax(self.inference(niter), axis=0).astype(np.int16)
        return labels

    def startInference(self) -> tuple[Array, Array, Array]:  # noqa: N802
        """Probabilities (K, N) from the unary alone, to be stepped in place, and two arrays that are not used."""
        return self._mean_field(0), np.empty((0, 0), np.float32), np.empty((0, 0), np.float32)

    def stepInference(self, Q: Array, tmp1: Any = None, tmp2: Any = None) -> None:  # noqa: N802, N803
        """One iteration, in place on Q (K, N)."""
        Q[...] = self._mean_field(1, start=self._rows(Q))

    def klDivergence(self, Q: Array) -> float:  # noqa: N802, N803
        """KL divergence of Q (K, N) from the model, up to a constant, as pydensecrf counts it."""
        rows = self._rows(Q).astype(np.float64)
        energy = self._energies().astype(np.float64)
        for term in self._terms:
            energy = energy + term.energy(self._rows(Q))
        return float((rows * (np.log(np.maximum(rows, 1e-20)) + energy)).sum())

    def _add(
        self,
        build: Callable[[], Filter],
        compat: Any,
        kernel: int,
        normalization: int,
        image_kernel: ImageKernel | None = None,
    ) -> None:
        if kernel not in tuple(KernelType) or normalization not in NORMALIZATIONS:
            raise ModelError(
                f"kernel {kernel} and normalization {normalization} must be among the module's constants, such as "
                "DIAG_KERNEL and NORMALIZE_SYMMETRIC"
            )
        weight = reward(compat, self._labels)
        self._terms.append(Term(build, weight, NORMALIZATIONS[int(normalization)], image_kernel))

    def _mean_field(self, iterations: int, start: Array | None = None) -> Array:
        kernels: list[Kernel] = [term.kernel for term in self._terms] if iterations else []
        found = mean_field(self._energies(), kernels, iterations=int(iterations), start=start)
        return np.ascontiguousarray(found.probabilities.T, dtype=np.float32)

    def _energies(self) -> Array:
        if self._unary is None:
            return np.zeros((self._points, self._labels), np.float32)
        return np.ascontiguousarray(self._unary.T)

    def _rows(self, columns: Array) -> Array:
        if np.shape(columns) != (self._labels, self._points):
            raise ModelError(f"Q has shape {np.shape(columns)}, expected {(self._labels, self._points)}")
        return np.ascontiguousarray(np.asarray(columns, dtype=np.float32).T)


class DenseCRF2D(DenseCRF):
    """A fully connected CRF over the pixels of an image, row by row.

    Args:
        w, h: width and height in pixels.
        nlabels: how many labels (K).
    """

    def __init__(self, w: int, h: int, nlabels: int) -> None:
        super().__init__(int(w) * int(h), nlabels)
        self._shape = (int(h), int(w))
        self._built: tuple[int, Engine] | None = None

    def addPairwiseGaussian(  # noqa: N802
        self,
        sxy: Widths,
        compat: Any,
        kernel: int = KernelType.DIAG_KERNEL,
        normalization: int = NormalizationType.NORMALIZE_SYMMETRIC,
    ) -> None:
        """A term of position: sxy in pixels, one number or (x, y)."""
        features = position_features(self._shape, sxy)
        self._add(lambda: _lattice(features), compat, kernel, normalization, ImageKernel(_pair(sxy), None))

    def addPairwiseBilateral(  # noqa: N802
        self,
        sxy: Widths,
        srgb: Widths,
        rgbim: Any,
        compat: Any,
        kernel: int = KernelType.DIAG_KERNEL,
        normalization: int = NormalizationType.NORMALIZE_SYMMETRIC,
    ) -> None:
        """A term of position and colour.

        Args:
            sxy: in pixels, one number or (x, y).
            srgb: in the image's units, one number or one a band.
            rgbim: (H, W, bands), any number type.
            compat, kernel, normalization: as for `addPairwiseEnergy`.
        """
        image = np.array(rgbim)
        if image.ndim != 3 or image.shape[:2] != self._shape:
            raise ModelError(f"rgbim has shape {image.shape}, expected {(*self._shape, 3)}: (height, width, bands)")
        bands = np.ascontiguousarray(image.transpose(2, 0, 1))
        features = bilateral_features(bands, sxy, srgb)
        widths = np.broadcast_to(np.asarray(srgb, dtype=np.float64), (len(bands),)).tolist()
        image_kernel = ImageKernel(_pair(sxy), bands, tuple(widths))
        self._add(lambda: _lattice(features), compat, kernel, normalization, image_kernel)

    def inference(self, niter: int) -> Array:
        """Mean field, `niter` iterations → probabilities (K, N) float32."""
        engine = self._image_engine()
        if engine is None or self._unary is None or niter < 1:
            return self._mean_field(niter)
        weights = {term.image_kernel.image is None: term.weight for term in self._terms if term.image_kernel}
        unary = self._unary.reshape(self._labels, *self._shape)
        found = engine.run(
            unary,
            bilateral_weight=weights.get(False, 0.0),
            gaussian_weight=weights.get(True, 0.0),
            iterations=int(niter),
        )
        probabilities: Array = np.ascontiguousarray(found.reshape(self._labels, -1))
        return probabilities

    def _image_engine(self) -> Engine | None:
        """The fused engine, if it can run these terms: at most one of position and one of colour, normalised alike."""
        kernels = [term.image_kernel for term in self._terms if term.image_kernel and term.weight.ndim < 2]
        bilateral = [kernel for kernel in kernels if kernel.image is not None]
        gaussian = [kernel for kernel in kernels if kernel.image is None]
        kinds = {term.normalization for term in self._terms}
        # Without normalisation the scale of the kernels shows, and pydensecrf's is the lattice's for both.
        if (
            len(kernels) < len(self._terms)
            or len(kinds) != 1
            or "none" in kinds
            or max(len(bilateral), len(gaussian)) > 1
        ):
            return None
        if self._built is None or self._built[0] != len(self._terms):
            blank = np.zeros((1, *self._shape), np.uint8)
            engine = build_engine(
                bilateral[0].image if bilateral else blank,
                bilateral_sxy=bilateral[0].sxy if bilateral else None,
                bilateral_srgb=bilateral[0].srgb if bilateral else 1.0,
                gaussian_sxy=gaussian[0].sxy if gaussian else None,
                normalization=kinds.pop(),
                accuracy="fast",
                epsilon=1e-3,
            )
            self._built = (len(self._terms), engine)
        return self._built[1]


def _pair(widths: Widths) -> tuple[float, ...]:
    """(x, y) of one number or two."""
    return tuple(np.broadcast_to(np.asarray(widths, dtype=np.float64), (2,)).tolist())


def _lattice(features: Array) -> Filter:
    from segfield.crf.filters.lattice import LatticeFilter

    return LatticeFilter(features)
