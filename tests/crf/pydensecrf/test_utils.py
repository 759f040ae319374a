"""The functions of pydensecrf.utils give what pydensecrf's give."""

from __future__ import annotations

import numpy as np
import pytest

from segfield.crf.pydensecrf import utils as ours
from segfield.crf.pydensecrf.terms import ModelError
from segfield.errors import DataError

theirs = pytest.importorskip("pydensecrf.utils", reason="pydensecrf2 is not installed")
RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 4, (6, 7))
SOFTMAX = RNG.dirichlet([0.05, 1, 1], (6, 7)).transpose(2, 0, 1)


def same(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.dtype == expected.dtype == np.float32 and found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("classes", "unsure"), [(3, True), (4, False)])
def test_unary_from_labels(classes: int, unsure: bool) -> None:
    same(ours.unary_from_labels(LABELS, classes, 0.7, unsure), theirs.unary_from_labels(LABELS, classes, 0.7, unsure))


@pytest.mark.parametrize("options", [{}, {"scale": 0.6}, {"clip": 0.01}, {"scale": 0.5, "clip": None}])
def test_unary_from_softmax(options: dict[str, float]) -> None:
    same(ours.unary_from_softmax(SOFTMAX, **options), theirs.unary_from_softmax(SOFTMAX, **options))


def test_certain_zeros_without_a_clip_are_infinite() -> None:
    assert np.isposinf(ours.unary_from_softmax(np.array([[0.0], [1.0]]), clip=None)[0, 0])


@pytest.mark.parametrize("shape", [(9,), (5, 6), (3, 4, 5)])
def test_create_pairwise_gaussian(shape: tuple[int, ...]) -> None:
    widths = (3.0, 5.0, 2.0)[: len(shape)]
    same(ours.create_pairwise_gaussian(widths, shape), theirs.create_pairwise_gaussian(widths, shape))


@pytest.mark.parametrize(
    ("shape", "channel_axis", "channel_widths"),
    [((5, 6, 3), 2, (13.0, 7.0, 1.0)), ((3, 5, 6), 0, (13.0, 7.0, 1.0)), ((5, 6), -1, 2.0), ((4, 5, 6, 2), 3, 2.0)],
)
def test_create_pairwise_bilateral(shape: tuple[int, ...], channel_axis: int, channel_widths: object) -> None:
    image = RNG.integers(0, 255, shape, dtype=np.uint8)
    axes = len(shape) - (channel_axis >= 0)
    arguments = ((80.0, 40.0, 20.0)[:axes], channel_widths, image, channel_axis)
    same(ours.create_pairwise_bilateral(*arguments), theirs.create_pairwise_bilateral(*arguments))


def test_former_names() -> None:
    with pytest.warns(DeprecationWarning, match="unary_from_labels"):
        same(ours.compute_unary(LABELS, 3), theirs.compute_unary(LABELS, 3))
    with pytest.warns(DeprecationWarning, match="unary_from_softmax"):
        same(ours.softmax_to_unary(SOFTMAX, 0.9), theirs.softmax_to_unary(SOFTMAX, 0.9))


def test_what_does_not_fit() -> None:
    with pytest.raises(DataError, match=r"hold the id 3 at"):
        ours.unary_from_labels(LABELS, 3, 0.7, zero_unsure=False)
    with pytest.raises(ModelError, match="scale is"):
        ours.unary_from_softmax(SOFTMAX, scale=1.5)
    with pytest.raises(ModelError, match=r"expected \(classes, …\)"):
        ours.unary_from_softmax(SOFTMAX.ravel())
    with pytest.raises(ModelError, match="2 values for 3 channels"):
        ours.create_pairwise_bilateral((3, 3), (1.0, 2.0), np.zeros((3, 4, 5)), chdim=0)
