"""The functions of pydensecrf.utils give what pydensecrf's give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from segfield.crf.pydensecrf import utils as ours
from segfield.crf.pydensecrf.errors import MissingIndexError, ModelError, NoProbabilityError

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


@pytest.mark.parametrize("unsure", [None, 0, False, np.bool_(True), 1])
def test_whatever_is_true_or_false_says_whether_zero_is_unsure(unsure: object) -> None:
    classes = 3 if unsure else 4
    same(ours.unary_from_labels(LABELS, classes, 0.7, unsure), theirs.unary_from_labels(LABELS, classes, 0.7, unsure))


def test_labels_of_small_types_do_not_wrap_round() -> None:
    """0 − 1 is 255 in pydensecrf, where it ends in an IndexError."""
    expected = theirs.unary_from_labels(LABELS, 3, 0.7)
    same(ours.unary_from_labels(LABELS.astype(np.uint8), 3, 0.7), expected)
    same(ours.unary_from_labels(LABELS.astype(float), 3, 0.7), expected)
    np.testing.assert_array_equal(ours.unary_from_labels(LABELS[:0], 3, 0.7).shape, (3, 0))


@pytest.mark.parametrize(
    ("value", "unsure"), [(255, True), (255, None), (-1, True), (4, True), (3, False), (-1, False)]
)
def test_a_label_too_many_is_named_as_it_stands_in_the_mask(value: int, unsure: bool | None) -> None:
    labels = np.zeros((4, 5), np.int64)
    labels[1, 2:4] = value
    with pytest.raises(MissingIndexError, match=rf"labels hold {value} at 2 of 20 .*n_labels=3"):
        ours.unary_from_labels(labels, 3, 0.7, unsure)


@pytest.mark.parametrize("certainty", [0, 1, 1.5, -0.1, np.nan, np.array([0.5, 0.6, 0.7])])
def test_a_certainty_out_of_range(certainty: object) -> None:
    with pytest.raises(NoProbabilityError, match="gt_prob"):
        ours.unary_from_labels(LABELS, 3, certainty)


@pytest.mark.parametrize("scale", [0, -1, 1.5, np.nan])
def test_a_scale_out_of_range(scale: float) -> None:
    with pytest.raises(NoProbabilityError, match="scale"):
        ours.unary_from_softmax(SOFTMAX, scale=scale)


@pytest.mark.parametrize(
    "sm", [SOFTMAX[:, 0, 0], SOFTMAX.transpose(0, 2, 1), SOFTMAX.tolist(), SOFTMAX.astype(np.float16)]
)
def test_softmaxes_of_other_shapes_and_types(sm: object) -> None:
    same(ours.unary_from_softmax(sm), theirs.unary_from_softmax(np.asarray(sm)))


@pytest.mark.parametrize("sdims", [(3.0,), (-2.0, 3.0, 4.0), (3, 2), np.array([2.0, 5.0, 3.0], np.float32), [5]])
def test_fewer_widths_than_axes_and_negative_ones(sdims: object) -> None:
    same(ours.create_pairwise_gaussian(sdims, (4, 5, 6)), theirs.create_pairwise_gaussian(sdims, (4, 5, 6)))
    volume = RNG.integers(0, 255, (4, 5, 6), dtype=np.uint8)
    same(ours.create_pairwise_bilateral(sdims, 3.0, volume), theirs.create_pairwise_bilateral(sdims, 3.0, volume))


@pytest.mark.parametrize("schan", [(13.0,), [-13, 7], np.array([5.0, 3.0, 2.0]), (), -4, np.float32(3)])
@pytest.mark.parametrize("chdim", [0, 1, 2, -3, -2])
def test_fewer_widths_than_channels_and_negative_ones(schan: object, chdim: int) -> None:
    image = np.moveaxis(RNG.integers(0, 255, (5, 6, 3), dtype=np.uint8), 2, chdim)
    same(
        ours.create_pairwise_bilateral((80, -40), schan, image, chdim),
        theirs.create_pairwise_bilateral((80, -40), schan, image, chdim),
    )


@pytest.mark.parametrize(
    ("name", "kind", "call"),
    [
        ("sdims", MissingIndexError, lambda: ours.create_pairwise_gaussian((3, 3, 3), (4, 5))),
        ("sdims", MissingIndexError, lambda: ours.create_pairwise_bilateral((3, 3, 3), 2, np.zeros((4, 5)))),
        ("schan", MissingIndexError, lambda: ours.create_pairwise_bilateral((3,), (1, 2), np.zeros((4, 5)))),
        ("chdim", MissingIndexError, lambda: ours.create_pairwise_bilateral((3,), 2, np.zeros((4, 5)), 2)),
        ("sdims", ModelError, lambda: ours.create_pairwise_gaussian((3, 0), (4, 5))),
        ("sdims", ModelError, lambda: ours.create_pairwise_gaussian((3, 3), (3, 5, 7))),
        ("sdims", ModelError, lambda: ours.create_pairwise_gaussian((), (3, 5, 7))),
        ("schan", ModelError, lambda: ours.create_pairwise_bilateral((3, 3), np.nan, np.zeros((4, 5)))),
        ("schan", TypeError, lambda: ours.create_pairwise_bilateral((3, 3), None, np.zeros((4, 5)))),
        ("n_labels", ModelError, lambda: ours.unary_from_labels(LABELS, 0, 0.7)),
        ("n_labels", TypeError, lambda: ours.unary_from_labels(LABELS, None, 0.7)),
        ("labels", IndexError, lambda: ours.unary_from_labels(LABELS + 0.5, 4, 0.7)),
        ("sm", ModelError, lambda: ours.unary_from_softmax(np.zeros(()))),
    ],
)
def test_what_does_not_fit_is_named_by_pydensecrfs_argument(name: str, kind: type[Exception], call: Any) -> None:
    with pytest.raises(kind, match=rf"^{name}"):
        call()
