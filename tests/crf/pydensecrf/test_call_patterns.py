"""How public scripts call pydensecrf: each call with either library gives the same numbers, or an error of the same type.

A few calls that pydensecrf refuses are served here; they are listed apart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import segfield.crf.pydensecrf as ours

from ..exact_mean_field import scene

theirs = pytest.importorskip("pydensecrf.densecrf", reason="pydensecrf2 is not installed")
utils = pytest.importorskip("pydensecrf.utils", reason="pydensecrf2 is not installed")
eigen = pytest.importorskip("pydensecrf.eigen", reason="pydensecrf2 is not installed")

HEIGHT, WIDTH, CLASSES = 30, 44, 3
BANDS, LABELS, LOGITS = scene(CLASSES, HEIGHT, WIDTH)
IMAGE = np.ascontiguousarray(BANDS.transpose(1, 2, 0))
EXPONENTIALS = np.exp(LOGITS - LOGITS.max(0))
SOFTMAX = (EXPONENTIALS / EXPONENTIALS.sum(0)).astype(np.float32)
UNARY = np.ascontiguousarray(-np.log(np.clip(SOFTMAX, 1e-5, 1)).reshape(CLASSES, -1))
FEATURES = np.random.default_rng(0).normal(0, 2, (3, HEIGHT * WIDTH)).astype(np.float32)
TABLE = np.float32([[-3, 0.5, 1], [0.5, -3, 0], [1, 0, -2]])


class Library:
    """One of the two, under the names that scripts import."""

    def __init__(self, dcrf: Any, tools: Any, matrices: Any) -> None:
        self.dcrf, self.utils, self.eigen = dcrf, tools, matrices

    def crf(self, unary: Any = UNARY) -> Any:
        made = self.dcrf.DenseCRF2D(WIDTH, HEIGHT, CLASSES)
        made.setUnaryEnergy(unary)
        return made

    def after(self, *calls: tuple[Any, ...], unary: Any = UNARY, **options: Any) -> np.ndarray:
        """What three iterations come to when these methods were called."""
        made = self.crf(unary)
        for name, *arguments in calls:
            getattr(made, name)(*arguments, **options)
        return np.array(made.inference(3))


THEIRS, OURS = Library(theirs, utils, eigen), Library(ours, ours, ours.eigen)
Call = Callable[[Library], Any]


def stepped(library: Library, stop: float = 0.0) -> np.ndarray:
    """The loop of the many scripts that stop when the divergence falls no more."""
    crf = library.crf()
    crf.addPairwiseGaussian(sxy=(3, 3), compat=3)
    crf.addPairwiseBilateral(sxy=(30, 30), srgb=(13, 13, 13), rgbim=IMAGE, compat=10)
    q, tmp1, tmp2 = crf.startInference()
    for _ in range(5):
        before = crf.klDivergence(q)
        crf.stepInference(q, tmp1, tmp2)
        if abs(crf.klDivergence(q) - before) < stop:
            break
    return np.array(q)


def overwritten(library: Library) -> np.ndarray:
    """Probabilities written into Q from outside between steps."""
    crf = library.crf()
    crf.addPairwiseGaussian(3, 3)
    q, tmp1, tmp2 = crf.startInference()
    np.asarray(q)[...] = np.roll(SOFTMAX.reshape(CLASSES, -1), 1, axis=0)
    crf.stepInference(q, tmp1, tmp2)
    return np.asarray(q)


def no_image(
    library: Library, *spaces: np.ndarray, compat: Any = 3, classes: int = CLASSES, **options: Any
) -> np.ndarray:
    crf = library.dcrf.DenseCRF(spaces[0].shape[1], classes)
    crf.setUnaryEnergy(np.ascontiguousarray(np.resize(UNARY, (classes, spaces[0].shape[1]))))
    for features in spaces:
        crf.addPairwiseEnergy(features, compat, **options)
    return np.array(crf.inference(4))


def volume(library: Library) -> np.ndarray:
    """As scripts on CT scans do."""
    scan = np.random.default_rng(1).normal(0, 40, (8, 9, 10)).astype(np.float32).cumsum(2)
    gaussian = library.utils.create_pairwise_gaussian(sdims=(3, 3, 3), shape=scan.shape)
    bilateral = library.utils.create_pairwise_bilateral(sdims=(5, 5, 5), schan=(30.0,), img=scan[..., None], chdim=3)
    return no_image(library, gaussian, bilateral)


def mask(values: Any, count: int, *arguments: Any) -> Call:
    return lambda library: library.utils.unary_from_labels(values, count, *arguments)


def argmaxes(library: Library) -> list[Any]:
    crf = library.crf()
    crf.addPairwiseBilateral(80, 13, IMAGE, 10)
    q = crf.inference(5)
    most = np.argmax(q, axis=0)
    return [most.reshape(HEIGHT, WIDTH), np.array(q).reshape((CLASSES, HEIGHT, WIDTH)).argmax(0), np.asarray(q).shape]


ALIKE: dict[str, Call] = {
    "argmax_and_reshape": argmaxes,
    "keywords": lambda m: m.after(
        ("addPairwiseGaussian", (3, 3), 3), kernel=m.dcrf.DIAG_KERNEL, normalization=m.dcrf.NORMALIZE_SYMMETRIC
    ),
    "lists_and_arrays_as_widths": lambda m: m.after(
        ("addPairwiseGaussian", [3, 2], 3), ("addPairwiseBilateral", np.array([20, 30]), [5, 9, 7], IMAGE, 4)
    ),
    "negative_widths": lambda m: m.after(("addPairwiseGaussian", -3, 3), ("addPairwiseBilateral", (20, -9), -13, IMAGE, 4)),
    "more_widths_than_needed": lambda m: m.after(
        ("addPairwiseGaussian", (3, 2, 9), 3), ("addPairwiseBilateral", (20, 30, 4), (5, 9, 7, 1), IMAGE, 4)
    ),
    "numpy_numbers": lambda m: m.after(("addPairwiseGaussian", np.float32(3), np.int64(3))),
    "integers_for_constants": lambda m: m.after(("addPairwiseGaussian", 3, 3, 2, 2)),
    "negative_reward": lambda m: m.after(("addPairwiseGaussian", 3, -2.5)),
    "vector": lambda m: m.after(("addPairwiseGaussian", 3, np.float32([-3, 1, -2]))),
    "table": lambda m: m.after(("addPairwiseBilateral", 30, 13, IMAGE, TABLE), ("addPairwiseGaussian", 3, TABLE)),
    "potts_table": lambda m: m.after(("addPairwiseBilateral", 30, 13, IMAGE, -4 * np.eye(3, dtype=np.float32))),
    "no_terms": lambda m: m.after(),
    "all_kinds_of_normalisation": lambda m: [
        m.after(("addPairwiseBilateral", 30, 13, IMAGE, 0.05 if kind == 0 else 3), normalization=kind) for kind in range(4)
    ],
    "no_iterations": lambda m: [np.array(m.crf().inference(n)) for n in (0, -2)],
    "iterations_of_other_types": lambda m: [np.array(m.crf().inference(n)) for n in (2.0, np.int32(2), True)],
    "sizes_of_other_types": lambda m: np.array(m.dcrf.DenseCRF2D(np.int64(4), 3.0, np.uint8(2)).inference(1)),
    "without_a_unary": lambda m: np.array(m.dcrf.DenseCRF(4, 2).inference(3)),
    "steps_without_a_unary": lambda m: np.array(m.dcrf.DenseCRF(4, 2).startInference()[0]),
    "a_unary_set_twice": lambda m: (lambda crf: (crf.setUnaryEnergy(UNARY * 2), np.array(crf.inference(2)))[1])(m.crf()),
    "unary_objects": lambda m: (
        lambda crf: (crf.setUnary(m.dcrf.ConstUnary(UNARY)), crf.addPairwiseGaussian(3, 3), np.array(crf.inference(2)))[2]
    )(m.dcrf.DenseCRF2D(WIDTH, HEIGHT, CLASSES)),
    "energies_over_features": lambda m: no_image(m, FEATURES),
    "two_feature_spaces": lambda m: no_image(m, FEATURES, FEATURES[:1] * 3, kernel=m.dcrf.FULL_KERNEL),
    "features_with_a_table": lambda m: no_image(m, FEATURES, compat=TABLE),
    "features_of_an_image": lambda m: m.after(
        ("addPairwiseEnergy", m.utils.create_pairwise_gaussian((3, 3), IMAGE.shape[:2]), 3),
        ("addPairwiseEnergy", m.utils.create_pairwise_bilateral((20, 20), (13, 13, 13), IMAGE, chdim=2), 10),
    ),
    "features_beside_an_image": lambda m: m.after(("addPairwiseGaussian", 3, 3), ("addPairwiseEnergy", FEATURES, 2)),
    "one_label": lambda m: no_image(m, FEATURES, classes=1),
    "nine_labels": lambda m: no_image(m, FEATURES, classes=9),
    "a_line": lambda m: no_image(m, m.utils.create_pairwise_gaussian((5,), (700,))),
    "a_volume": volume,
    "steps": stepped,
    "steps_until_it_settles": lambda m: stepped(m, 50.0),
    "steps_of_what_was_written_into_q": overwritten,
    "unsure_none": mask(LABELS, CLASSES, 0.7, None),
    "unsure_by_default": mask(LABELS, CLASSES - 1, 0.5),
    "flat_labels": mask(LABELS.ravel(), CLASSES, 0.9, False),
    "labels_to_refined": lambda m: m.after(
        ("addPairwiseGaussian", 3, 3), unary=m.utils.unary_from_labels(LABELS, CLASSES, gt_prob=0.7, zero_unsure=False)
    ),
    "softmax": lambda m: m.utils.unary_from_softmax(SOFTMAX),
    "softmax_scaled": lambda m: m.utils.unary_from_softmax(SOFTMAX, scale=0.5, clip=1e-8),
    "softmax_of_one_point": lambda m: m.utils.unary_from_softmax(SOFTMAX[:, 0, 0]),
    "softmax_of_integers": lambda m: m.utils.unary_from_softmax((SOFTMAX > 0.5).astype(int)),
    "two_classes_stacked": lambda m: m.utils.unary_from_softmax(np.stack([SOFTMAX[0], 1 - SOFTMAX[0]])),
    "eigen_matrix": lambda m: np.array(m.eigen.matrixXf(UNARY)),
    "eigen_vector": lambda m: np.array(m.eigen.vectorXf(UNARY[0])),
    "eigen_empty": lambda m: [np.array(m.eigen.MatrixXf()), np.array(m.eigen.VectorXf())],
    "divergence": lambda m: (
        lambda crf: (crf.addPairwiseGaussian(3, TABLE), crf.klDivergence(crf.startInference()[0]))[1]
    )(m.crf()),
}  # fmt: skip

REFUSED: dict[str, Call] = {
    "unary_of_another_shape": lambda m: m.crf(UNARY[:, :10].copy()),
    "unary_of_three_axes": lambda m: m.crf(SOFTMAX),
    "no_unary": lambda m: m.crf(None),
    "an_array_as_unary_object": lambda m: m.crf().setUnary(UNARY),
    "features_of_another_length": lambda m: m.crf().addPairwiseEnergy(FEATURES[:, :9].copy(), 3),
    "features_of_one_axis": lambda m: m.crf().addPairwiseEnergy(FEATURES[0], 3),
    "no_features": lambda m: m.crf().addPairwiseEnergy(None, 3),
    "width_and_height_changed": lambda m: m.crf().addPairwiseBilateral(3, 3, IMAGE.transpose(1, 0, 2).copy(), 3),
    "an_image_without_bands": lambda m: m.crf().addPairwiseBilateral(3, 3, IMAGE[..., 0].copy(), 3),
    "no_image": lambda m: m.crf().addPairwiseBilateral(3, 3, None, 3),
    "one_width_in_a_tuple": lambda m: m.crf().addPairwiseGaussian((3,), 3),
    "two_widths_for_three_bands": lambda m: m.crf().addPairwiseBilateral(3, (3, 3), IMAGE, 3),
    "no_width": lambda m: m.crf().addPairwiseGaussian(None, 3),
    "a_width_in_letters": lambda m: m.crf().addPairwiseGaussian("3", 3),
    "no_compat": lambda m: m.crf().addPairwiseGaussian(3, None),
    "compat_in_letters": lambda m: m.crf().addPairwiseGaussian(3, "3"),
    "compat_of_three_axes": lambda m: m.crf().addPairwiseGaussian(3, np.ones((3, 3, 3), np.float32)),
    "a_kernel_in_letters": lambda m: m.crf().addPairwiseGaussian(3, 3, "DIAG_KERNEL"),
    "iterations_in_letters": lambda m: m.crf().inference("5"),
    "no_iterations_named": lambda m: m.crf().inference(None),
    "sizes_in_letters": lambda m: m.dcrf.DenseCRF2D("8", 6, 3),
    "labels_beyond": mask(np.full((3, 4), 255), CLASSES, 0.7),
    "labels_beyond_of_all_sure": mask(np.full((3, 4), CLASSES), CLASSES, 0.7, False),
    "labels_of_halves": mask(np.full((3, 4), 0.5), CLASSES, 0.7, False),
    "certain_labels": mask(LABELS, CLASSES, 1.0, False),
    "impossible_labels": mask(LABELS, CLASSES, 0.0, False),
    "scale_of_two": lambda m: m.utils.unary_from_softmax(SOFTMAX, scale=2),
    "scale_of_nothing": lambda m: m.utils.unary_from_softmax(SOFTMAX, scale=0),
    "more_sdims_than_axes": lambda m: m.utils.create_pairwise_gaussian((3, 3, 3), (4, 5)),
    "uneven_sdims": lambda m: m.utils.create_pairwise_gaussian((3, 3), (3, 5, 7)),
    "more_sdims_than_axes_of_an_image": lambda m: m.utils.create_pairwise_bilateral((3, 3, 3), 2, IMAGE, 2),
    "more_schan_than_channels": lambda m: m.utils.create_pairwise_bilateral((3, 3), (1, 2, 3, 4), IMAGE, 2),
    "no_such_axis": lambda m: m.utils.create_pairwise_bilateral((3, 3), 2, IMAGE, 3),
    "no_schan": lambda m: m.utils.create_pairwise_bilateral((3, 3), None, IMAGE, 2),
    "eigen_of_doubles": lambda m: m.eigen.matrixXf(UNARY.astype(float)),
    "eigen_of_one_axis": lambda m: m.eigen.matrixXf(UNARY[0]),
    "eigen_of_nothing": lambda m: m.eigen.matrixXf(None),
}

SERVED: dict[str, Call] = {
    "doubles": lambda m: m.after(("addPairwiseGaussian", 3, 3), unary=UNARY.astype(np.float64)),
    "not_contiguous": lambda m: m.after(("addPairwiseGaussian", 3, 3), unary=np.asfortranarray(UNARY)),
    "lists": lambda m: m.after(("addPairwiseGaussian", 3, [-1, -2, -3]), unary=UNARY.tolist()),
    "a_float_image": lambda m: m.after(("addPairwiseBilateral", 3, 3, IMAGE.astype(float), 3)),
    "an_image_of_swapped_axes": lambda m: m.after(("addPairwiseBilateral", 3, 3, np.asfortranarray(IMAGE), 3)),
    "a_grey_image": lambda m: m.after(("addPairwiseBilateral", 3, 3, IMAGE[..., :1], 3)),
    "uint8_labels_with_unsure_ones": mask(LABELS.astype(np.uint8), CLASSES - 1, 0.7),
    "steps_of_a_plain_array": lambda m: m.crf().stepInference(UNARY.copy(), None, None),
}


def alike(found: Any, expected: Any) -> None:
    if isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected):
            alike(one, other)
        return
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    if expected.dtype.kind == "i":
        assert (found != expected).mean() <= 0.01
    elif found.ndim:
        assert found.dtype == expected.dtype
        if found.size == 0:
            return
        assert abs(found.astype(np.float64) - expected).mean() <= 0.005 * max(1, abs(expected).mean())
    else:
        assert found == pytest.approx(float(expected), rel=1e-3)


@pytest.mark.parametrize("name", ALIKE)
def test_the_same_numbers(name: str) -> None:
    alike(ALIKE[name](OURS), ALIKE[name](THEIRS))


@pytest.mark.parametrize("name", REFUSED)
def test_errors_that_a_script_may_catch(name: str) -> None:
    with pytest.raises(Exception) as expected:  # whichever type theirs is
        REFUSED[name](THEIRS)
    kind = next(
        kind for kind in (AssertionError, TypeError, ValueError, IndexError) if isinstance(expected.value, kind)
    )
    with pytest.raises(kind) as found:
        REFUSED[name](OURS)
    assert not any(word in str(found.value) for word in ("unknown_id", "confidence", "classes is"))


@pytest.mark.parametrize("name", SERVED)
def test_what_pydensecrf_refuses_and_we_serve(name: str) -> None:
    with pytest.raises((TypeError, ValueError, IndexError, AttributeError)):
        SERVED[name](THEIRS) if name != "steps_of_a_plain_array" else THEIRS.crf().stepInference(
            UNARY.copy(), THEIRS.eigen.MatrixXf(), THEIRS.eigen.MatrixXf()
        )  # None would be the end of the process
    found = SERVED[name](OURS)
    assert found is None or np.isfinite(found).all()
