"""The brute-force sum against scipy's distances, in chunks and whole."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from segfield.crf.filters import exact
from segfield.crf.filters.exact import ExactFilter
from segfield.errors import DataError
from tests.crf.filters.photos import clusters, probabilities


def kernel(features: np.ndarray) -> np.ndarray:
    return np.exp(-0.5 * cdist(features.astype(np.float64), features.astype(np.float64), "sqeuclidean"))


@pytest.mark.parametrize("dimensions", [1, 3, 6])
def test_equals_the_sum_over_scipys_distances(dimensions: int) -> None:
    features, values = clusters(150, dimensions), probabilities(150, 4)
    np.testing.assert_allclose(ExactFilter(features)(values), kernel(features) @ values, rtol=1e-12)


def test_chunks_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    features, values = clusters(101, 5), probabilities(101, 3)
    whole = ExactFilter(features)(values)
    monkeypatch.setattr(exact, "CHUNK_PAIRS", 7 * 101)
    np.testing.assert_allclose(ExactFilter(features)(values), whole, rtol=1e-13)


def test_a_single_pixel_keeps_its_value() -> None:
    assert ExactFilter(np.array([[3.0, 4.0]]))(np.array([[0.25, 2.0]])).tolist() == [[0.25, 2.0]]


def test_far_from_the_origin_nothing_cancels() -> None:
    features = clusters(60, 2).astype(np.float64)
    near, far = ExactFilter(features), ExactFilter(features + 2.0**20)
    values = probabilities(60, 2)
    np.testing.assert_allclose(far(values), near(values), rtol=1e-8)


def test_is_its_own_transpose() -> None:
    filter_ = ExactFilter(clusters(90, 4))
    u, v = np.random.default_rng(3).normal(size=(2, 90, 1))
    assert np.sum(filter_(u) * v) == pytest.approx(np.sum(u * filter_.transposed(v)), rel=1e-12)


@pytest.mark.parametrize("features", [np.zeros((3,)), np.zeros((0, 2)), np.zeros((4, 0))])
def test_features_of_another_shape_are_refused(features: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"features have the shape .* give \(N, D\)"):
        ExactFilter(features)


def test_values_that_are_not_finite_are_counted_in_the_error() -> None:
    features = np.zeros((5, 2))
    features[1, 0], features[3, 1] = np.nan, np.inf
    with pytest.raises(DataError, match="2 of 5 pixels"):
        ExactFilter(features)


def test_values_of_other_pixels_are_refused() -> None:
    with pytest.raises(DataError, match=r"\(4, 2\).*5 pixels.*\(5, C\)"):
        ExactFilter(np.zeros((5, 2)))(np.zeros((4, 2)))
