"""The edge-aware filters against their own definitions, and what is said where OpenCV cannot run them."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest

from segfield.crf.edge_aware import DomainTransform, FastBilateralSolver, GuidedFilter
from segfield.errors import DataError, SettingError

RANDOM = np.random.default_rng(0)
FILTERS = [GuidedFilter(radius=3), DomainTransform(sxy=5)]


@pytest.fixture
def ximgproc():
    return pytest.importorskip("cv2.ximgproc", reason="OpenCV's contributed modules are not installed (extra 'edge')")


def two_halves(height=24, width=30, noise=0.0, depth=np.uint8):
    """A dark and a bright half; probabilities that say so with salt noise; the true labels."""
    labels = np.zeros((height, width), np.intp)
    labels[:, width // 2 :] = 1
    white = 65535 if depth == np.uint16 else 255
    image = (np.stack([labels, labels, labels]) * 0.7 * white + 0.1 * white).astype(depth)
    likely = np.where(labels == 1, 0.8, 0.2)
    wrong = RANDOM.random(labels.shape) < noise
    likely[wrong] = 1 - likely[wrong]
    return image, np.stack([1 - likely, likely]).astype(np.float32), labels


def box(values, radius):
    """Mean over (2 r + 1)² windows that lie inside: (H, W) → (H − 2 r, W − 2 r)."""
    return np.lib.stride_tricks.sliding_window_view(values, (2 * radius + 1,) * 2).mean(axis=(2, 3))


def test_guided_filter_is_equations_5_6_and_8(ximgproc):
    radius, eps = 2, 40.0
    guide = RANDOM.integers(0, 256, (1, 20, 26), dtype=np.uint8)
    p = RANDOM.dirichlet((1, 1, 1), (20, 26)).transpose(2, 0, 1).astype(np.float32)
    image = guide[0].astype(float)
    mean, variance = box(image, radius), box(image**2, radius) - box(image, radius) ** 2
    expected = []
    for plane in p.astype(float):
        a = (box(image * plane, radius) - mean * box(plane, radius)) / (variance + eps)
        b = box(plane, radius) - a * mean
        inner = image[2 * radius : -2 * radius, 2 * radius : -2 * radius]
        expected.append(box(a, radius) * inner + box(b, radius))
    expected = np.maximum(expected, 0)
    found = GuidedFilter(radius=radius, eps=eps)(guide, probabilities=p)
    inside = found[:, 2 * radius : -2 * radius, 2 * radius : -2 * radius]
    np.testing.assert_allclose(inside, expected / expected.sum(axis=0), atol=2e-4)


@pytest.mark.parametrize("refiner", FILTERS, ids=lambda refiner: refiner.name)
@pytest.mark.parametrize("depth", [np.uint8, np.uint16, np.float32])
def test_salt_goes_and_the_edge_stays(ximgproc, refiner, depth):
    image, probabilities, labels = two_halves(noise=0.2, depth=depth)
    assert (probabilities.argmax(axis=0) != labels).mean() > 0.1
    found = refiner(image, probabilities=probabilities)
    assert found.dtype == np.float32 and found.shape == probabilities.shape
    assert (found.argmax(axis=0) == labels).all()


@pytest.mark.parametrize("refiner", FILTERS, ids=lambda refiner: refiner.name)
@pytest.mark.parametrize("classes", [1, 2, 3, 4, 5, 21])
def test_any_number_of_classes_sums_to_one(ximgproc, refiner, classes):
    image = RANDOM.integers(0, 256, (3, 12, 17), dtype=np.uint8)
    probabilities = RANDOM.dirichlet(np.ones(classes), (12, 17)).transpose(2, 0, 1).astype(np.float32)
    found = refiner(image, probabilities=probabilities)
    assert found.min() > 0
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-5)


@pytest.mark.parametrize("refiner", FILTERS, ids=lambda refiner: refiner.name)
def test_classes_are_filtered_each_by_itself(ximgproc, refiner):
    """In whatever groups the planes go: the order of the classes does not matter."""
    image = RANDOM.integers(0, 256, (3, 12, 17), dtype=np.uint8)
    probabilities = RANDOM.dirichlet(np.ones(7), (12, 17)).transpose(2, 0, 1).astype(np.float32)
    order = RANDOM.permutation(7)
    found = refiner(image, probabilities=probabilities)
    np.testing.assert_allclose(refiner(image, probabilities=probabilities[order]), found[order], atol=1e-5)


def test_bandwidths_are_in_units_of_255_at_any_depth(ximgproc):
    image, probabilities, _ = two_halves(noise=0.3)
    image = (image + RANDOM.integers(0, 20, image.shape)).astype(np.uint8)
    for refiner in FILTERS:
        found = refiner(image, probabilities=probabilities)
        wide = refiner((image.astype(np.uint16) * 257), probabilities=probabilities)
        np.testing.assert_allclose(wide, found, atol=2e-3)


@pytest.mark.parametrize(
    ("refiner", "bands"), [(GuidedFilter(), 4), (DomainTransform(), 5), (FastBilateralSolver(), 4)]
)
def test_bands_that_opencv_does_not_take(refiner, bands):
    with pytest.raises(DataError, match=rf"up to {bands - 1} bands.*{bands}.*dense_crf"):
        refiner(np.zeros((bands, 4, 5), np.uint8), probabilities=np.full((2, 4, 5), 0.5, np.float32))


def test_sizes_that_do_not_fit():
    with pytest.raises(DataError, match=r"image \(3, 4, 5\).*probabilities \(2, 5, 4\)"):
        GuidedFilter()(np.zeros((3, 4, 5), np.uint8), probabilities=np.full((2, 5, 4), 0.5, np.float32))


@pytest.mark.parametrize("refiner", [GuidedFilter(), DomainTransform(), FastBilateralSolver()])
def test_without_the_extra_the_line_to_install_it_is_told(refiner, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", types.ModuleType("cv2"))  # as the wheel without contributed modules
    monkeypatch.delitem(sys.modules, "cv2.ximgproc", raising=False)
    image, probabilities, _ = two_halves()
    with pytest.raises(SettingError, match=r'pip install "segfield\[edge\]"'):
        refiner(image, probabilities=probabilities)


def solver_module(solve):
    """An OpenCV whose solver is `solve(plane, confidence)`."""
    module = types.ModuleType("cv2")
    made = []

    def create(guide, *settings):
        made.append((guide, settings))
        return types.SimpleNamespace(filter=solve)

    module.ximgproc = types.SimpleNamespace(createFastBilateralSolverFilter=create)
    return module, made


def test_a_solver_without_eigen_says_so_and_what_works(monkeypatch):
    class Error(Exception):
        code = -213

    def solve(plane, confidence):
        raise Error("(-213) needs to be compiled with EIGEN")

    monkeypatch.setitem(sys.modules, "cv2", solver_module(solve)[0])
    image, probabilities, _ = two_halves()
    with pytest.raises(SettingError, match=r"compiled without Eigen.*refine with domain_transform"):
        FastBilateralSolver()(image, probabilities=probabilities)


def test_another_failure_of_the_solver_is_not_disguised(monkeypatch):
    def solve(plane, confidence):
        raise RuntimeError("(-215) assertion failed")

    monkeypatch.setitem(sys.modules, "cv2", solver_module(solve)[0])
    image, probabilities, _ = two_halves()
    with pytest.raises(RuntimeError, match="-215"):
        FastBilateralSolver()(image, probabilities=probabilities)


def test_the_solver_is_given_each_class_with_its_confidence(monkeypatch):
    seen = []

    def solve(plane, confidence):
        seen.append((plane.copy(), confidence.copy()))
        return plane * 2

    module, made = solver_module(solve)
    monkeypatch.setitem(sys.modules, "cv2", module)
    image, probabilities, _ = two_halves()
    found = FastBilateralSolver(sxy=4, iterations=9)(image, probabilities=probabilities)
    np.testing.assert_allclose(found, probabilities, atol=1e-6)  # doubled, then normalised
    assert [plane.reshape(24, 30).tolist() for plane, _ in seen] == [plane.tolist() for plane in probabilities]
    assert all((confidence == probabilities.max(axis=0)).all() for _, confidence in seen)
    assert made[0][0].dtype == np.uint8 and made[0][0].shape == (24, 30, 3)
    assert made[0][1] == (4.0, 8.0, 8.0, 128.0, 9)


def test_the_installed_solver_runs_or_says_why_not(ximgproc):
    image, probabilities, labels = two_halves(noise=0.05)
    try:
        found = FastBilateralSolver()(image, probabilities=probabilities)
    except SettingError as error:
        assert "compiled without Eigen" in str(error)
    else:
        assert (found.argmax(axis=0) == labels).mean() > 0.95


@pytest.mark.parametrize("refiner", [GuidedFilter(), DomainTransform(), FastBilateralSolver()])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_is_not_filtered(refiner, value):
    probabilities = np.full((2, 4, 5), 0.5, np.float32)
    probabilities[0, 1, 2] = value
    with pytest.raises(DataError, match=r"1 of 20 pixels .*row 1, column 2"):
        refiner(np.zeros((3, 4, 5), np.uint8), probabilities=probabilities)


@pytest.mark.parametrize("value", [0, -1, 1e300, 1e-300, np.nan, np.inf, True, "8"])
def test_settings_beyond_float32_are_refused(value):
    with pytest.raises(SettingError, match=r"eps of guided_filter .*number above 0"):
        GuidedFilter(eps=value)


@pytest.mark.parametrize(
    "refiner",
    [
        GuidedFilter(radius=3, eps=1e-6),
        GuidedFilter(radius=3, eps=1e9),
        DomainTransform(1e-6, 1e-6),
        DomainTransform(1e9, 1e9),
    ],
)
def test_settings_at_their_limits_give_probabilities(ximgproc, refiner):
    image, probabilities, _ = two_halves(noise=0.1)
    np.testing.assert_allclose(refiner(image, probabilities=probabilities).sum(axis=0), 1, atol=1e-5)
