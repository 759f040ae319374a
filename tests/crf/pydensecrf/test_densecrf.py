"""The drop-in beside pydensecrf itself: the same program, run with either module."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import segfield.crf.pydensecrf as ours
import segfield.crf.pydensecrf.densecrf as ours_densecrf
from segfield.crf.pydensecrf.errors import ModelError

from ..exact_mean_field import scene

theirs = pytest.importorskip("pydensecrf.densecrf", reason="pydensecrf2 is not installed")
utils = pytest.importorskip("pydensecrf.utils", reason="pydensecrf2 is not installed")

BANDS_FIRST, LABELS, LOGITS = scene(4, 60, 80)
IMAGE = np.ascontiguousarray(BANDS_FIRST.transpose(1, 2, 0))
UNARY = np.ascontiguousarray(-LOGITS.reshape(4, -1))
VECTOR = np.array([-3, -1, 0.5, -2], np.float32)
MATRIX = np.array([[-3, 1, 0, 0], [0, -3, 0.5, 0], [0, 0, -2, 1], [0.5, 0, 0, -3]], np.float32)


def run_2d(module: Any, compat: Any = 4, iterations: int = 5, **options: Any) -> np.ndarray:
    """Width and height differ, so that a mix-up of the axes would show."""
    crf = module.DenseCRF2D(80, 60, 4)
    crf.setUnaryEnergy(UNARY)
    crf.addPairwiseGaussian(sxy=(2, 3), compat=2, **options)
    crf.addPairwiseBilateral(sxy=(20, 12), srgb=(13, 9, 20), rgbim=IMAGE, compat=compat, **options)
    return np.array(crf.inference(iterations))


def agree(found: np.ndarray, expected: np.ndarray, share: float = 0.005, mean: float = 0.005) -> None:
    assert found.shape == expected.shape and found.dtype == np.float32
    assert (found.argmax(0) != expected.argmax(0)).mean() <= share
    assert abs(found - expected).mean() <= mean


@pytest.mark.parametrize("kind", ["NORMALIZE_SYMMETRIC", "NORMALIZE_AFTER", "NORMALIZE_BEFORE", "NO_NORMALIZATION"])
def test_normalisations(kind: str) -> None:
    compat = 0.05 if kind == "NO_NORMALIZATION" else 4

    def run(module: Any) -> np.ndarray:
        return run_2d(module, compat, normalization=getattr(module, kind), kernel=module.FULL_KERNEL)

    agree(run(ours), run(theirs))


@pytest.mark.parametrize("compat", [VECTOR, MATRIX], ids=["vector", "matrix"])
def test_compatibilities(compat: np.ndarray) -> None:
    agree(run_2d(ours, compat), run_2d(theirs, compat))


def test_only_one_of_the_two_kernels() -> None:
    def run(module: Any, kernel: str) -> np.ndarray:
        crf = module.DenseCRF2D(80, 60, 4)
        crf.setUnaryEnergy(UNARY)
        if kernel == "gaussian":
            crf.addPairwiseGaussian(3, 3)
        else:
            crf.addPairwiseBilateral(30, 13, IMAGE, 5)
        return np.array(crf.inference(5))

    for kernel in ("gaussian", "bilateral"):
        agree(run(ours, kernel), run(theirs, kernel))


def test_two_bilateral_kernels_and_one_of_other_features() -> None:
    def run(module: Any) -> np.ndarray:
        crf = module.DenseCRF2D(80, 60, 4)
        crf.setUnaryEnergy(UNARY)
        crf.addPairwiseBilateral(30, 13, IMAGE, 2)
        crf.addPairwiseBilateral(10, 30, IMAGE, 2, normalization=module.NORMALIZE_AFTER)
        crf.addPairwiseEnergy(utils.create_pairwise_gaussian((4, 4), (60, 80)), compat=1)
        return np.array(crf.inference(4))

    agree(run(ours), run(theirs))


def test_points_that_are_no_image() -> None:
    rng = np.random.default_rng(1)
    features = rng.standard_normal((7, 100)).astype(np.float32)
    unary = rng.standard_normal((5, 100)).astype(np.float32)

    def run(module: Any) -> np.ndarray:
        crf = module.DenseCRF(100, 5)
        crf.setUnary(module.ConstUnary(unary))
        crf.addPairwiseEnergy(features, 3)
        return np.array(crf.inference(5))

    agree(run(ours), run(theirs), share=0, mean=1e-5)


def test_step_by_step_and_its_divergence() -> None:
    def run(module: Any) -> tuple[np.ndarray, list[float]]:
        crf = module.DenseCRF2D(80, 60, 4)
        crf.setUnaryEnergy(UNARY)
        crf.addPairwiseGaussian(sxy=3, compat=3)
        crf.addPairwiseBilateral(sxy=30, srgb=13, rgbim=IMAGE, compat=10)
        probabilities, first, second = crf.startInference()
        divergences = []
        for _ in range(4):
            divergences.append(crf.klDivergence(probabilities))
            crf.stepInference(probabilities, first, second)
        return np.array(probabilities), divergences

    (found, our_divergences), (expected, their_divergences) = run(ours), run(theirs)
    agree(found, expected, share=0, mean=1e-4)
    np.testing.assert_allclose(our_divergences, their_divergences, rtol=1e-4)


def test_steps_come_to_what_inference_gives() -> None:
    crf = ours.DenseCRF2D(80, 60, 4)
    crf.setUnaryEnergy(UNARY)
    crf.addPairwiseGaussian(sxy=3, compat=3)
    crf.addPairwiseBilateral(sxy=30, srgb=13, rgbim=IMAGE, compat=10)
    probabilities, first, second = crf.startInference()
    for _ in range(5):
        crf.stepInference(probabilities, first, second)
    agree(crf.inference(5), probabilities)
    np.testing.assert_array_equal(crf.map(5), crf.inference(5).argmax(0))


def test_logistic_unaries_and_none() -> None:
    rng = np.random.default_rng(2)
    weights = rng.standard_normal((4, 3)).astype(np.float32)
    features = rng.standard_normal((3, 4800)).astype(np.float32)

    def run(module: Any, unary: bool) -> np.ndarray:
        crf = module.DenseCRF2D(80, 60, 4)
        if unary:
            crf.setUnaryEnergy(weights, features) if module is ours else crf.setUnary(
                module.LogisticUnary(weights, features)
            )
        crf.addPairwiseGaussian(3, 3)
        return np.array(crf.inference(3))

    agree(run(ours, True), run(theirs, True), share=0.01)
    np.testing.assert_allclose(run(ours, False), 0.25)


def test_an_infinite_energy_rules_a_label_out() -> None:
    unary = UNARY.copy()
    unary[1] = np.inf
    crf = ours.DenseCRF2D(80, 60, 4)
    crf.setUnaryEnergy(unary)
    crf.addPairwiseBilateral(30, 13, IMAGE, 5)
    found = crf.inference(5)
    assert np.isfinite(found).all() and found[1].max() < 1e-30


@pytest.mark.parametrize("bands", [1, 5])
def test_images_of_other_bands_and_depths(bands: int) -> None:
    """pydensecrf takes them as features only."""
    image = np.concatenate([IMAGE, IMAGE], axis=2)[:, :, :bands].astype(np.float32) / 255
    crf = ours.DenseCRF2D(80, 60, 4)
    crf.setUnaryEnergy(UNARY)
    crf.addPairwiseBilateral(20, 0.05, image, 5)
    reference = theirs.DenseCRF(4800, 4)
    reference.setUnaryEnergy(UNARY)
    features = utils.create_pairwise_bilateral((20, 20), (0.05,) * bands, image, chdim=2)
    reference.addPairwiseEnergy(features, 5)
    agree(crf.inference(5), np.array(reference.inference(5)))


def test_both_forms_of_the_import() -> None:
    assert ours.DenseCRF2D is ours_densecrf.DenseCRF2D
    assert all(hasattr(ours, name) for name in ours.__all__)
    public = {name for name in dir(theirs) if name[0] != "_"} - {"Number"}
    assert public <= set(dir(ours_densecrf))


def test_a_table_runs_on_the_image_engine_and_steps_on_lattices() -> None:
    """Both are as near to pydensecrf; the engine is the faster."""
    crf = ours.DenseCRF2D(80, 60, 4)
    crf.setUnaryEnergy(UNARY)
    crf.addPairwiseGaussian(3, 3)
    crf.addPairwiseBilateral(30, 13, IMAGE, MATRIX)
    crf.inference(1)
    assert crf._built is None
    crf.stepInference(crf.startInference()[0])
    assert crf._built is not None


def test_terms_may_be_added_after_an_inference() -> None:
    def run(module: Any) -> np.ndarray:
        crf = module.DenseCRF2D(80, 60, 4)
        crf.setUnaryEnergy(UNARY)
        crf.addPairwiseGaussian(3, 3)
        first = np.array(crf.inference(2))
        crf.addPairwiseBilateral(30, 13, IMAGE, 5)
        crf.addPairwiseEnergy(utils.create_pairwise_gaussian((6, 6), (60, 80)), 2)
        assert abs(first - np.array(crf.inference(2))).max() > 0.01
        return np.array(crf.inference(4))

    agree(run(ours), run(theirs))


def test_what_was_given_may_change_afterwards() -> None:
    """A CRF keeps copies, as pydensecrf does."""
    unary, image = UNARY.copy(), IMAGE.copy()
    features = utils.create_pairwise_gaussian((4, 4), (60, 80))
    crf = ours.DenseCRF2D(80, 60, 4)
    crf.setUnaryEnergy(unary)
    crf.addPairwiseBilateral(30, 13, image, 5)
    crf.addPairwiseEnergy(features, 2)
    expected = ours.DenseCRF2D(80, 60, 4)
    expected.setUnaryEnergy(UNARY)
    expected.addPairwiseBilateral(30, 13, IMAGE, 5)
    expected.addPairwiseEnergy(features.copy(), 2)
    for given in (unary, image, features):
        given[:] = 0
    np.testing.assert_array_equal(crf.inference(2), expected.inference(2))


def test_numbers_that_are_not() -> None:
    crf = ours.DenseCRF2D(80, 60, 4)
    for wrong in (np.nan, -np.inf):
        with pytest.raises(ModelError, match=r"^u holds"):
            crf.setUnaryEnergy(np.full((4, 4800), wrong))
    with pytest.raises(ModelError, match=r"^features"):
        crf.addPairwiseEnergy(np.full((2, 4800), np.inf), 3)
    with pytest.raises(ModelError, match=r"^rgbim"):
        crf.addPairwiseBilateral(3, 3, np.full((60, 80, 3), np.nan), 3)
    with pytest.raises(ModelError, match=r"^compat"):
        crf.addPairwiseGaussian(3, np.inf)
    with pytest.raises(ModelError, match="constants"):
        crf.addPairwiseGaussian(3, 3, normalization=7)
    for name, call in {
        "4800 points|0 points": lambda: ours.DenseCRF(0, 3),
        "w=0": lambda: ours.DenseCRF2D(0, 5, 3),
    }.items():
        with pytest.raises(ModelError, match=name):
            call()


def annotated(folder: Path, photo: str, annotation: str) -> tuple[np.ndarray, np.ndarray, int, bool]:
    """A photo, labels of its drawn colours (black, where there is some, becomes 0: unknown), and how many there are."""
    image = np.array(Image.open(folder / photo).convert("RGB"))  # pydensecrf needs one that can be written
    colours = np.asarray(Image.open(folder / annotation).convert("RGB")).astype(np.uint32)
    codes = colours[..., 0] + (colours[..., 1] << 8) + (colours[..., 2] << 16)
    found, labels = np.unique(codes, return_inverse=True)
    return image, labels.reshape(codes.shape), len(found) - int(0 in found), 0 in found


PHOTOS = [("im1.png", "anno1.png"), ("im1.png", "anno1-b.png"), ("im2.png", "anno2.png"), ("im3.png", "anno3.png")]


@pytest.mark.shared
@pytest.mark.parametrize("use_2d", [True, False], ids=["2d", "generic"])
@pytest.mark.parametrize(("photo", "annotation"), PHOTOS)
def test_the_examples_of_pydensecrf(shared_data: Path, photo: str, annotation: str, use_2d: bool) -> None:
    image, labels, classes, unknown = annotated(shared_data / "densecrf_examples", photo, annotation)
    height, width = labels.shape

    def run(module: Any, functions: Any) -> np.ndarray:
        unary = functions.unary_from_labels(labels, classes, gt_prob=0.7, zero_unsure=unknown)
        if use_2d:
            crf = module.DenseCRF2D(width, height, classes)
            crf.setUnaryEnergy(unary)
            crf.addPairwiseGaussian(sxy=(3, 3), compat=3)
            crf.addPairwiseBilateral(sxy=(80, 80), srgb=(13, 13, 13), rgbim=image, compat=10)
        else:
            crf = module.DenseCRF(height * width, classes)
            crf.setUnaryEnergy(unary)
            crf.addPairwiseEnergy(functions.create_pairwise_gaussian((3, 3), (height, width)), compat=3)
            features = functions.create_pairwise_bilateral((80, 80), (13, 13, 13), image, chdim=2)
            crf.addPairwiseEnergy(features, compat=10)
        return np.array(crf.inference(5))

    agree(run(ours, ours), run(theirs, utils), mean=0.002)
