"""DenseCRF and DenseCRF2D with pydensecrf's interface, on segfield's engines.

The usual model of an image, one Gaussian and one bilateral term, runs on the fused image engine; any other, and steps one
at a time, on lattices of the points. Beyond pydensecrf: any number of bands, any depth of image, any array type.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from segfield.classes import Array
from segfield.crf.engines import Engine, build_engine
from segfield.crf.filters.lattice import padded_planes
from segfield.crf.image_kernels import bilateral_planes
from segfield.crf.points_crf import PointsCRF
from segfield.crf.points_kernels import PointKernel
from segfield.crf.pydensecrf import eigen as eigen
from segfield.crf.pydensecrf.errors import ModelError, WrongTypeError
from segfield.crf.pydensecrf.given import Widths, matrix, numbers, whole_number, widths
from segfield.crf.pydensecrf.terms import NORMALIZATIONS, ImageKernel, Term, reward
from segfield.crf.pydensecrf.terms import ConstUnary as ConstUnary
from segfield.crf.pydensecrf.terms import KernelType as KernelType
from segfield.crf.pydensecrf.terms import LogisticUnary as LogisticUnary
from segfield.crf.pydensecrf.terms import NormalizationType as NormalizationType
from segfield.crf.pydensecrf.terms import Unary as Unary

CONST_KERNEL, DIAG_KERNEL, FULL_KERNEL = KernelType
NO_NORMALIZATION, NORMALIZE_BEFORE, NORMALIZE_AFTER, NORMALIZE_SYMMETRIC = NormalizationType


class DenseCRF:
    """A fully connected CRF over any points.

    Args:
        nvar: how many points (N).
        nlabels: how many labels (K).
    """

    def __init__(self, nvar: int, nlabels: int) -> None:
        self._points, self._labels = whole_number("nvar", nvar), whole_number("nlabels", nlabels)
        if self._points < 1 or self._labels < 1:
            raise ModelError(
                f"a CRF of {nvar} points and {nlabels} labels has nothing to infer; give at least 1 of each"
            )
        self._unary: Array | None = None
        self._terms: list[Term] = []
        self._built: PointsCRF | None = None

    def setUnaryEnergy(self, u: Any, f: Any = None) -> None:  # noqa: N802  pydensecrf's names from here on
        """Energies (K, N) = −log probability; or, with `f`, a logistic unary: u (K, D) times f (D, N)."""
        self.setUnary(ConstUnary(u) if f is None else LogisticUnary(u, f))

    def setUnary(self, u: Unary) -> None:  # noqa: N802
        """A ConstUnary or LogisticUnary."""
        if not isinstance(u, Unary):
            raise WrongTypeError(
                f"u is {type(u).__name__}; give ConstUnary(…) or LogisticUnary(…), or use setUnaryEnergy"
            )
        if u.energies.shape != (self._labels, self._points):
            raise ModelError(
                f"u has the shape {u.energies.shape}; give energies of shape {(self._labels, self._points)}: (labels, points)"
            )
        self._unary = u.energies

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
        points = matrix(features, "features", f"numbers of shape (dimensions, {self._points})")
        if points.shape[1] != self._points or len(points) == 0:
            raise ModelError(f"features have the shape {points.shape}; give (dimensions, {self._points})")
        if not np.isfinite([points.min(), points.max()]).all():
            raise ModelError("features hold NaN or infinity; give finite numbers, divided by widths other than 0")
        planes = padded_planes(points, self._points)
        self._add(PointKernel(len(planes), lambda: planes, _kind(kernel, normalization)), compat)

    def inference(self, niter: int) -> Array:
        """Mean field, `niter` iterations → probabilities (K, N) float32."""
        return self._engine().run(self._energies(), self._weights(), max(0, whole_number("niter", niter)))

    def map(self, niter: int) -> Array:
        """The most probable label of each point, (N,) int16, after `niter` iterations."""
        labels: Array = np.argmax(self.inference(niter), axis=0).astype(np.int16)
        return labels

    def startInference(self) -> tuple[Array, Array, Array]:  # noqa: N802
        """Probabilities (K, N) from the unary alone, to be stepped in place, and two arrays that are not used.

        Without a unary they are 0, as pydensecrf's.
        """
        if self._unary is None:
            begin: Array = np.zeros((self._labels, self._points), np.float32)
        else:
            begin = PointsCRF(self._points, []).run(self._unary, [], 0)
        return begin, np.empty((0, 0), np.float32), np.empty((0, 0), np.float32)

    def stepInference(self, Q: Array, tmp1: Any = None, tmp2: Any = None) -> None:  # noqa: N802, N803
        """One iteration, in place on Q (K, N)."""
        self._check_probabilities(Q)
        rows = Q if Q.dtype == np.float32 and Q.flags.c_contiguous else np.ascontiguousarray(Q, np.float32)
        self._engine().step(self._energies(), self._weights(), rows)
        if rows is not Q:
            Q[...] = rows

    def klDivergence(self, Q: Array) -> float:  # noqa: N802, N803
        """KL divergence of Q (K, N) from the model, up to a constant, as pydensecrf counts it."""
        self._check_probabilities(Q)
        return self._engine().divergence(self._energies(), self._weights(), Q)

    def _add(self, kernel: PointKernel, compat: Any, image_kernel: ImageKernel | None = None) -> None:
        self._terms.append(Term(kernel, reward(compat, self._labels), image_kernel))
        self._built = None

    def _engine(self) -> PointsCRF:
        """The lattices of all terms, built at their first use."""
        if self._built is None:
            self._built = PointsCRF(self._points, [term.kernel for term in self._terms])
        return self._built

    def _weights(self) -> list[Array]:
        return [term.weight for term in self._terms]

    def _energies(self) -> Array:
        return np.zeros((self._labels, self._points), np.float32) if self._unary is None else self._unary

    def _check_probabilities(self, probabilities: Any) -> None:
        if not isinstance(probabilities, np.ndarray):
            raise WrongTypeError(f"Q is {type(probabilities).__name__}; give an array, as startInference does")
        if probabilities.shape != (self._labels, self._points):
            raise ModelError(
                f"Q has the shape {probabilities.shape}; give {(self._labels, self._points)}: (labels, points)"
            )


class DenseCRF2D(DenseCRF):
    """A fully connected CRF over the pixels of an image, row by row.

    Args:
        w, h: width and height in pixels.
        nlabels: how many labels (K).
    """

    def __init__(self, w: int, h: int, nlabels: int) -> None:
        width, height = whole_number("w", w), whole_number("h", h)
        if width < 1 or height < 1:
            raise ModelError(f"an image of w={w} and h={h} has no pixels; give at least 1 of each")
        super().__init__(width * height, nlabels)
        self._shape = (height, width)
        self._image_engine: Engine | None = None

    def addPairwiseGaussian(  # noqa: N802
        self,
        sxy: Widths,
        compat: Any,
        kernel: int = KernelType.DIAG_KERNEL,
        normalization: int = NormalizationType.NORMALIZE_SYMMETRIC,
    ) -> None:
        """A term of position: sxy in pixels, one number or (x, y)."""
        pair = widths("sxy", sxy, 2, "of x and y, in pixels")
        blank = np.empty((0, *self._shape), np.uint8)
        points = PointKernel(2, lambda: bilateral_planes(blank, pair, 1.0), _kind(kernel, normalization))
        self._add(points, compat, ImageKernel(pair, None))

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
        wanted = f"an array (height, width, bands) with height {self._shape[0]} and width {self._shape[1]}"
        if rgbim is None:
            raise WrongTypeError(f"rgbim is None; give {wanted}")
        image = np.asarray(rgbim)
        if image.dtype.kind not in "biuf":
            numbers("rgbim", rgbim, wanted)
        if image.ndim != 3 or image.shape[:2] != self._shape or image.shape[2] == 0:
            raise ModelError(f"rgbim has the shape {image.shape}; give {wanted}")
        if image.dtype.kind == "f" and not np.isfinite([image.min(), image.max()]).all():
            raise ModelError("rgbim holds NaN or infinity; give finite numbers")
        bands = np.array(image.transpose(2, 0, 1), order="C")
        pair = widths("sxy", sxy, 2, "of x and y, in pixels")
        colours = widths("srgb", srgb, len(bands), "one for each band of rgbim, in its units")
        points = PointKernel(
            2 + len(bands), lambda: bilateral_planes(bands, pair, colours), _kind(kernel, normalization)
        )
        self._add(points, compat, ImageKernel(pair, bands, colours))

    def inference(self, niter: int) -> Array:
        """Mean field, `niter` iterations → probabilities (K, N) float32."""
        iterations = whole_number("niter", niter)
        if self._unary is None or iterations < 1 or not self._is_usual():
            return super().inference(iterations)
        kernels = {term.image_kernel.image is None: term for term in self._terms if term.image_kernel}
        bilateral, gaussian = kernels.get(False), kernels.get(True)
        if self._image_engine is None:
            self._image_engine = self._build_image_engine(bilateral, gaussian)
        found = self._image_engine.run(
            self._unary.reshape(self._labels, *self._shape),
            bilateral_weight=bilateral.weight if bilateral else 0.0,
            gaussian_weight=gaussian.weight if gaussian else 0.0,
            iterations=iterations,
        )
        probabilities: Array = np.ascontiguousarray(found.reshape(self._labels, -1))
        return probabilities

    def _add(self, kernel: PointKernel, compat: Any, image_kernel: ImageKernel | None = None) -> None:
        super()._add(kernel, compat, image_kernel)
        self._image_engine = None

    def _is_usual(self) -> bool:
        """Whether the fused engine can run these terms: at most one of position and one of colour, normalised alike."""
        images = [term.image_kernel for term in self._terms if term.image_kernel]
        bilateral = sum(kernel.image is not None for kernel in images)
        kinds = {term.kernel.normalization for term in self._terms}
        # Without normalisation the scale of the kernels shows, and pydensecrf's is the lattice's for both.
        return (
            len(images) == len(self._terms)
            and len(kinds) == 1
            and "none" not in kinds
            and max(bilateral, len(images) - bilateral) <= 1
        )

    def _build_image_engine(self, bilateral: Term | None, gaussian: Term | None) -> Engine:
        appearance = bilateral.image_kernel if bilateral else None
        position = gaussian.image_kernel if gaussian else None
        image = appearance.image if appearance else np.zeros((1, *self._shape), np.uint8)
        return build_engine(
            image,
            bilateral_sxy=appearance.sxy if appearance else None,
            bilateral_srgb=appearance.srgb if appearance else 1.0,
            gaussian_sxy=position.sxy if position else None,
            normalization=self._terms[0].kernel.normalization,
            accuracy="fast",
            epsilon=1e-3,
        )


def _kind(kernel: int, normalization: int) -> Any:
    """The filter's word for pydensecrf's constant."""
    given = whole_number("kernel", kernel), whole_number("normalization", normalization)
    if given[0] not in tuple(KernelType) or given[1] not in NORMALIZATIONS:
        raise ModelError(
            f"kernel {kernel} and normalization {normalization} must be among the module's constants, such as "
            "DIAG_KERNEL and NORMALIZE_SYMMETRIC"
        )
    return NORMALIZATIONS[given[1]]
