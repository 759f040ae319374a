"""ImageCRF against mean field with the same kernels as filters (tightly) and with every pair summed (as the lattice allows)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from segfield.crf.filters import lattice as lattice_module
from segfield.crf.filters.filter import Normalized
from segfield.crf.filters.lattice import LatticeFilter
from segfield.crf.image_crf import ImageCRF
from segfield.crf.image_kernels import bilateral_planes
from segfield.crf.mean_field import Kernel, MeanField, mean_field
from segfield.crf.threads import together
from segfield.errors import DataError

from .exact_mean_field import exact_mean_field, scene, softmax
from .filters.axis_operators import MatrixFilter, on_the_grid

SHAPE = (21, 26)
IMAGE, _, LOGITS = scene(3, *SHAPE)
UNARY = -LOGITS
BANDWIDTHS: dict[str, Any] = {"bilateral_sxy": 10.0, "bilateral_srgb": 25.0, "gaussian_sxy": 3.0}
WEIGHTS: dict[str, Any] = {"bilateral_weight": 1.5, "gaussian_weight": 0.8, "iterations": 5}
MATRIX = np.array([[-1.0, 0.4, 0.1], [0.7, -0.5, 0.2], [-0.3, 0.6, -2.0]])


@pytest.fixture
def small_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images of a few lines are worth a thread."""
    monkeypatch.setattr(lattice_module, "_PIXELS_A_THREAD", 40)


def oracle(image: np.ndarray, unary: np.ndarray, *, normalization: Any = "symmetric", fine: bool = False,
           bilateral_weight: Any = 0, gaussian_weight: Any = 0, **given: Any) -> MeanField:  # fmt: skip
    """Mean field with the lattice as a filter and the grid's operator as a matrix."""
    settings = BANDWIDTHS | given
    sxy, srgb, near = (settings.pop(name) for name in BANDWIDTHS)
    classes, height, width = unary.shape
    kernels = []
    if sxy is not None:
        features = bilateral_planes(image, sxy, srgb)[:, : height * width].T
        kernels.append(Kernel(Normalized(LatticeFilter(features, fine, threads=1), normalization), bilateral_weight))
    if near is not None:
        sigmas = tuple(np.broadcast_to(near, 2))
        grid = MatrixFilter(on_the_grid((height, width), sigmas, min(sigmas) >= 2.5))
        kernels.append(Kernel(Normalized(grid, normalization), gaussian_weight))
    return mean_field(unary.reshape(classes, -1).T.astype(np.float64), kernels, **settings)


def built(image: np.ndarray = IMAGE, threads: int | None = 1, **given: Any) -> ImageCRF:
    return ImageCRF(image, threads=threads, **(BANDWIDTHS | given))


def check(image: np.ndarray, unary: np.ndarray, build: dict[str, Any], run: dict[str, Any], threads: int = 1) -> None:
    found = built(image, threads, **build).run(unary, **run)
    expected = oracle(image, unary, **build, **run).probabilities.T.reshape(unary.shape)
    assert found.dtype == np.float32 and found.shape == unary.shape and found.flags.c_contiguous
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("build", "run"),
    [
        ({}, {}),
        ({"fine": True}, {}),
        ({"normalization": "after"}, {}),
        ({"normalization": "before"}, {}),
        ({"normalization": "none"}, {"bilateral_weight": 0.1, "gaussian_weight": 0.02}),
        ({"gaussian_sxy": None}, {}),
        ({"bilateral_sxy": None}, {}),
        ({"gaussian_sxy": 1.2}, {}),
        ({"gaussian_sxy": (1.5, 4.0), "bilateral_sxy": (5.0, 12.0), "bilateral_srgb": (60.0, 20.0, 35.0)}, {}),
        ({}, {"gaussian_weight": 0.0}),
        ({}, {"bilateral_weight": 0.0}),
        ({}, {"bilateral_weight": (0.2, 2.0, 1.0), "gaussian_weight": (0.0, 0.5, 1.5)}),
        ({}, {"bilateral_weight": -1.0, "gaussian_weight": (0.5, -0.5, 0.0)}),
        ({}, {"compatibility": MATRIX}),
        ({}, {"compatibility": MATRIX, "bilateral_weight": (0.2, 2.0, 1.0)}),
        ({}, {"damping": 0.4}),
        ({}, {"damping": 0.4, "compatibility": MATRIX}),
        ({}, {"tolerance": 0.02, "iterations": 30}),
        ({}, {"iterations": 1}),
        ({}, {"iterations": 0}),
        ({}, {"iterations": 0, "damping": 0.3}),
    ],
    ids=str,
)
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.usefixtures("small_bands")
def test_it_is_mean_field_with_its_kernels(build: dict[str, Any], run: dict[str, Any], threads: int) -> None:
    check(IMAGE, UNARY, build, WEIGHTS | run, threads)


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (30, 1), (2, 2), (3, 17), (20, 24), (23, 17)])
@pytest.mark.usefixtures("small_bands")
def test_images_of_any_size(shape: tuple[int, int]) -> None:
    image, _, logits = scene(3, *shape)
    for threads in (1, 8):
        check(image, -logits, {}, WEIGHTS, threads)


@pytest.mark.parametrize("bands", [1, 3, 4, 7])
def test_images_of_any_bands_and_type(bands: int) -> None:
    image = np.random.default_rng(bands).normal(0, 0.1, (bands, *SHAPE)) + IMAGE[0] / 255
    for kind in (np.float64, np.float32):
        check(image.astype(kind), UNARY, {"bilateral_srgb": 0.3}, WEIGHTS)


@pytest.mark.parametrize(
    "classes",
    [1, 2, 3, 21, *(pytest.param(count, marks=pytest.mark.thorough) for count in (5, 8, 60, 255))],
)
@pytest.mark.usefixtures("small_bands")
def test_any_number_of_classes(classes: int) -> None:
    """Slow where each width of a row is compiled for this test alone."""
    image, _, logits = scene(classes, *SHAPE)
    check(image, -logits, {}, WEIGHTS, threads=2)


def test_21_classes_with_a_full_compatibility() -> None:
    image, _, logits = scene(21, *SHAPE)
    matrix = np.random.default_rng(0).normal(-np.eye(21), 0.3)
    check(image, -logits, {}, WEIGHTS | {"compatibility": matrix, "bilateral_weight": np.linspace(0, 2, 21)})


@pytest.mark.parametrize("kind", ["before", "after", "symmetric"])
@pytest.mark.parametrize(("fine", "mean_error"), [(False, 0.008), (True, 0.004)])
def test_it_comes_near_the_exact_sums(kind: Any, fine: bool, mean_error: float) -> None:
    exact = exact_mean_field(IMAGE, UNARY, normalization=kind, **BANDWIDTHS, **WEIGHTS)
    found = built(fine=fine, normalization=kind).run(UNARY, **WEIGHTS)
    assert abs(found - exact).mean() < mean_error
    assert abs(found - softmax(LOGITS)).mean() > 0.1


def test_unnormalised_sums_are_too_small_and_less_so_when_fine() -> None:
    """The lattice has too few vertices around the pixels to blur over; the reference code's sums are half the exact ones."""
    weights = WEIGHTS | {"bilateral_weight": 0.03, "gaussian_weight": 0.02}
    exact = exact_mean_field(IMAGE, UNARY, normalization="none", **BANDWIDTHS, **weights)
    plain, fine = (abs(built(fine=f, normalization="none").run(UNARY, **weights) - exact).mean() for f in (False, True))
    assert fine < 0.6 * plain < 0.05


def test_the_position_kernel_alone_is_nearly_exact() -> None:
    for sxy, worst in ((1.5, 1e-3), (3.0, 0.02)):
        exact = exact_mean_field(IMAGE, UNARY, **BANDWIDTHS | {"bilateral_sxy": None, "gaussian_sxy": sxy}, **WEIGHTS)
        found = built(bilateral_sxy=None, gaussian_sxy=sxy).run(UNARY, **WEIGHTS)
        assert abs(found - exact).max() < worst


def test_no_iteration_is_the_softmax() -> None:
    for run in ({}, {"damping": 0.5}, {"tolerance": 0.1}, {"compatibility": MATRIX}):
        found = built().run(UNARY, **WEIGHTS | {"iterations": 0} | run)
        np.testing.assert_allclose(found, softmax(LOGITS.astype(np.float64)), atol=1e-6)


def test_a_weight_for_an_absent_kernel_is_ignored() -> None:
    alone = built(gaussian_sxy=None)
    np.testing.assert_array_equal(alone.run(UNARY, **WEIGHTS), alone.run(UNARY, **WEIGHTS | {"gaussian_weight": 0}))
    other = built(bilateral_sxy=None)
    np.testing.assert_array_equal(other.run(UNARY, **WEIGHTS), other.run(UNARY, **WEIGHTS | {"bilateral_weight": 0}))
    nothing = built(bilateral_sxy=None, gaussian_sxy=None)
    np.testing.assert_allclose(nothing.run(UNARY, **WEIGHTS), softmax(LOGITS), atol=1e-6)


def test_tolerance_ends_the_iterations_where_mean_field_ends() -> None:
    run = WEIGHTS | {"tolerance": 0.02, "iterations": 30}
    done = oracle(IMAGE, UNARY, **run).iterations
    assert 2 < done < 30
    crf = built()
    ended = crf.run(UNARY, **run)
    np.testing.assert_allclose(ended, crf.run(UNARY, **WEIGHTS | {"iterations": done}), atol=1e-6)
    last, before = (crf.run(UNARY, **WEIGHTS | {"iterations": done - n}) for n in (1, 2))
    assert abs(ended - last).max() <= 0.02 < abs(last - before).max()


def test_a_start_is_where_the_iterations_begin() -> None:
    start = softmax(np.random.default_rng(3).normal(size=UNARY.shape))
    rows = start.reshape(3, -1).T
    found = built().run(UNARY, start=start, **WEIGHTS)
    expected = oracle(IMAGE, UNARY, start=rows, **WEIGHTS).probabilities.T.reshape(UNARY.shape)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    crf = built()
    half_way = crf.run(UNARY, **WEIGHTS | {"iterations": 2})
    whole = crf.run(UNARY, start=half_way, **WEIGHTS | {"iterations": 3})
    np.testing.assert_allclose(whole, crf.run(UNARY, **WEIGHTS), atol=1e-5)


@pytest.mark.parametrize("fine", [False, True])
@pytest.mark.parametrize("run", [{}, {"damping": 0.3, "tolerance": 1e-4, "compatibility": MATRIX}], ids=str)
@pytest.mark.usefixtures("small_bands")
def test_threads_agree_and_the_same_number_of_them_exactly(run: dict[str, Any], fine: bool) -> None:
    image, _, logits = scene(3, 45, 37)  # bands of more than one block of pixels, and a last line that is odd
    crfs = {threads: built(image, threads, fine=fine) for threads in (1, 2, 3, 11)}
    assert [len(crf._bounds) - 1 for crf in crfs.values()] == [1, 2, 3, 11]
    assert len({crf.vertices for crf in crfs.values()}) == 1
    found = {threads: crf.run(-logits, **WEIGHTS | run) for threads, crf in crfs.items()}
    for threads, crf in crfs.items():
        np.testing.assert_allclose(found[threads], found[1], atol=1e-5)
        np.testing.assert_array_equal(crf.run(-logits, **WEIGHTS | run), found[threads])
        np.testing.assert_array_equal(built(image, threads, fine=fine).run(-logits, **WEIGHTS | run), found[threads])


@pytest.mark.parametrize("scale", [1e2, 1e4, 1e8])
@pytest.mark.parametrize("run", [{}, {"bilateral_weight": -50.0}, {"compatibility": 300 * MATRIX}], ids=str)
def test_large_energies_are_safe(scale: float, run: dict[str, Any]) -> None:
    found = built().run((UNARY * scale).astype(np.float32), **WEIGHTS | run)
    assert np.isfinite(found).all() and found.min() >= 0
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)


@pytest.mark.parametrize("scale", [1e3, 1e5])
def test_large_weights_are_safe(scale: float) -> None:
    for sign in (1, -1):
        found = built().run(UNARY, bilateral_weight=sign * scale, gaussian_weight=scale)
        assert np.isfinite(found).all()
        np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)


def test_a_constant_added_to_all_classes_changes_nothing() -> None:
    offset = np.random.default_rng(0).integers(-500, 500, SHAPE).astype(np.float32)
    np.testing.assert_allclose(built().run(UNARY + offset, **WEIGHTS), built().run(UNARY, **WEIGHTS), atol=1e-3)


@pytest.mark.parametrize("run", [{}, {"compatibility": MATRIX}, {"damping": 0.3}, {"bilateral_weight": -1.0}], ids=str)
def test_forbidden_classes_stay_forbidden(run: dict[str, Any]) -> None:
    unary = UNARY.copy()
    forbidden = np.random.default_rng(1).random(SHAPE) < 0.3
    unary[1, forbidden] = np.inf
    unary[0, 4, 5] = unary[1, 4, 5] = np.inf  # one class is left
    found = built().run(unary, **WEIGHTS | run)
    assert (found[1, forbidden] == 0).all() and found[2, 4, 5] == 1
    expected = oracle(IMAGE, unary, **WEIGHTS | run).probabilities.T.reshape(unary.shape)
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("energy", [50, 300, 1e4, np.inf])
@pytest.mark.parametrize("fine", [False, True])
def test_neighbours_that_contradict_each_other_are_safe_at_half_resolution(fine: bool, energy: float) -> None:
    """Each pixel all but rules out every class except its own; means of such energies are far above 0 for all classes."""
    image, labels, _ = scene(21, 200, 208)
    labels[40:44, 50:54] = np.add.outer(np.arange(4), np.arange(4)) % 2
    unary = np.where(labels == np.arange(21)[:, None, None], np.float32(0), np.float32(energy))
    run = {"bilateral_weight": 4.0, "gaussian_weight": 3.0, "iterations": 10}
    crf = built(image, fine=fine)
    found = crf.run(unary, cheap_start=True, **run)
    assert np.isfinite(found).all()
    assert (found.argmax(0) == crf.run(unary, **run).argmax(0)).mean() > 0.99


def test_one_build_serves_many_runs() -> None:
    crf = built()
    first = crf.run(UNARY, **WEIGHTS)
    other = UNARY[::-1] * 0.5
    for run in ({"compatibility": MATRIX}, {"damping": 0.5}, {"bilateral_weight": 9.0}, {"iterations": 1}):
        changed = crf.run(other, **WEIGHTS | run)
        np.testing.assert_array_equal(changed, built().run(other, **WEIGHTS | run))
    many = scene(21, *SHAPE)[2]
    assert crf.run(many, **WEIGHTS).shape == (21, *SHAPE)
    again = crf.run(UNARY, **WEIGHTS)
    np.testing.assert_array_equal(again, first)
    assert not np.shares_memory(first, again), "results are the caller's own"


@pytest.mark.usefixtures("small_bands")
def test_several_at_once_give_the_same_as_alone() -> None:
    cases = [scene(3, 30 + n, 41, seed=n) for n in range(4)]

    def refined(n: int) -> np.ndarray:
        image, _, logits = cases[n % 4]
        return built(image, threads=2).run(-logits, **WEIGHTS)

    alone = [refined(n) for n in range(4)]
    found: dict[tuple[int, int], np.ndarray] = {}
    together(4, lambda n: [found.__setitem__((n, turn), refined(n + turn)) for turn in range(6)])  # type: ignore[func-returns-value]
    assert len(found) == 24
    for (n, turn), probabilities in found.items():
        np.testing.assert_array_equal(probabilities, alone[(n + turn) % 4])


@pytest.mark.usefixtures("small_bands")
def test_one_build_may_run_in_several_threads() -> None:
    crf = built(threads=2)
    unaries = [UNARY, UNARY[::-1].copy(), UNARY * 2]
    alone = [crf.run(unary, **WEIGHTS) for unary in unaries]
    found: list[Any] = [None] * 3
    for _ in range(4):
        together(3, lambda n: found.__setitem__(n, crf.run(unaries[n], **WEIGHTS)))
        for one, other in zip(found, alone):
            np.testing.assert_array_equal(one, other)


def test_arrays_of_other_types_and_layouts() -> None:
    expected = built().run(UNARY, **WEIGHTS)
    crf = built(np.asfortranarray(IMAGE))
    lines_last = np.ascontiguousarray(UNARY.transpose(1, 2, 0)).transpose(2, 0, 1)
    for unary in (UNARY.astype(np.float64), lines_last, np.repeat(UNARY, 2, axis=2)[:, :, ::2]):
        before = unary.copy()
        np.testing.assert_array_equal(crf.run(unary, **WEIGHTS), expected)
        np.testing.assert_array_equal(unary, before)
    listed = crf.run(UNARY, **WEIGHTS | {"bilateral_weight": [1.5] * 3, "compatibility": (-np.eye(3)).tolist()})
    np.testing.assert_allclose(listed, expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(3, 21, 25), (3, 26, 21), (21, 26), (3, 546)])
def test_a_unary_of_another_size_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"give \(K, 21, 26\)"):
        built().run(np.zeros(shape, np.float32), **WEIGHTS)


def test_a_start_of_another_size_is_refused() -> None:
    with pytest.raises(DataError, match="start has the shape"):
        built().run(UNARY, start=UNARY[:2], **WEIGHTS)


@pytest.mark.parametrize("shape", [(21, 26), (3, 0, 26), (0, 21, 26)])
def test_an_image_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"give \(C, H, W\)"):
        built(np.zeros(shape, np.uint8))


@pytest.mark.parametrize(
    ("bad", "said"), [(np.nan, "NaN or infinite"), (np.inf, "NaN or infinite"), (1e12, "larger bandwidth")]
)
def test_an_image_with_bad_values_is_refused(bad: float, said: str) -> None:
    image = IMAGE.astype(np.float32)
    image[2, 7, 8] = bad
    with pytest.raises(DataError, match=said):
        built(image)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("sxy", "srgb", "weight", "iterations"), [(67, 3, 4, 10), (80, 13, 10, 5)], ids=["DeepLab", "README"]
)
def test_labels_are_pydensecrfs(shared_data: Path, sxy: float, srgb: float, weight: float, iterations: int) -> None:
    densecrf = pytest.importorskip("pydensecrf.densecrf", reason="pydensecrf needs a C++ compiler")
    with Image.open(sorted((shared_data / "davis2016").rglob("*.jpg"))[0]) as photo:
        image = np.array(photo.convert("RGB").crop((200, 120, 520, 360)))
    rng = np.random.default_rng(0)
    scores = 60 * gaussian_filter(rng.normal(size=(3, 240, 320)), (0, 12, 12)) + rng.normal(size=(3, 240, 320))
    unary = -np.log(softmax(scores)).astype(np.float32)
    reference = densecrf.DenseCRF2D(320, 240, 3)
    reference.setUnaryEnergy(unary.reshape(3, -1).copy())
    reference.addPairwiseGaussian(sxy=3, compat=3)
    reference.addPairwiseBilateral(sxy=sxy, srgb=srgb, rgbim=np.ascontiguousarray(image), compat=weight)
    expected = np.array(reference.inference(iterations)).reshape(3, 240, 320).argmax(0)
    crf = ImageCRF(image.transpose(2, 0, 1), bilateral_sxy=sxy, bilateral_srgb=srgb, gaussian_sxy=3, threads=2)
    found = crf.run(unary, bilateral_weight=weight, gaussian_weight=3, iterations=iterations).argmax(0)
    assert (found != expected).mean() <= 0.002
    assert (unary.argmin(0) != expected).mean() > 0.02
