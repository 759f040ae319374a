"""Contours and distances against scipy's morphology and distance transforms, by brute force on small maps."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from segfield.evaluation import edges
from tests.evaluation.label_maps import patches


def ids(seed, **options):
    truth, predicted = (labels.astype(np.int32) for labels in patches(25, 31, seed=seed, **options))
    truth[truth == 255] = edges.VOID
    return truth, predicted


@pytest.mark.parametrize("seed", range(4))
def test_contour_by_brute_force(seed):
    labels, _ = ids(seed)
    expected = np.zeros(labels.shape, bool)
    for y, x in np.ndindex(labels.shape):
        for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if 0 <= v < labels.shape[0] and 0 <= u < labels.shape[1] and edges.VOID not in (labels[y, x], labels[v, u]):
                expected[y, x] |= labels[y, x] != labels[v, u]
    np.testing.assert_array_equal(edges.contour(labels), expected)
    assert expected.any() and not expected.all()


@pytest.mark.parametrize("share", [0.001, 0.02, 0.3])
def test_square_distance_is_scipys_chessboard(share):
    seeds = np.random.default_rng(1).random((37, 45)) < share
    seeds[5, 7] = True
    expected = ndimage.distance_transform_cdt(~seeds, metric="chessboard")
    np.testing.assert_array_equal(edges.square_distance(seeds), expected)


def test_square_distance_without_seeds_is_far():
    assert (edges.square_distance(np.zeros((6, 9), bool)) >= edges.FAR).all()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("depth", [1, 2, 5])
def test_square_depth_is_what_erosions_take(seed, depth):
    labels, _ = ids(seed)
    near = edges.square_depth(labels) <= depth
    for k in range(4):
        mask = labels == k
        kept = ndimage.binary_erosion(mask, np.ones((3, 3)), iterations=depth, border_value=0)
        np.testing.assert_array_equal(near & mask, mask & ~kept)
    assert not near[labels == edges.VOID].any()


@pytest.mark.parametrize("radius", [0.3, 1, 1.5, 4.2])
def test_disc_is_all_within_the_radius_nearest_first(radius):
    offsets = edges.disc(radius)
    lengths = np.hypot(*offsets.T)
    expected = sum(np.hypot(v, u) <= radius for v in range(-6, 7) for u in range(-6, 7))
    assert len(offsets) == expected and (np.diff(lengths) >= 0).all() and lengths[0] == 0


@pytest.mark.parametrize("radius", [0.5, 1.5, 3.0])
def test_matched_is_the_euclidean_distance_transform(radius):
    truth, predicted = ids(2)[0], ids(3)[1]
    edge, other = edges.contour(truth), edges.contour(predicted)
    near, every = edges.matched(truth, edge, predicted, other, edges.disc(radius), 4)
    for k in range(4):
        distance = ndimage.distance_transform_edt(~(other & (predicted == k)))
        own = edge & (truth == k)
        assert (near[k], every[k]) == ((own & (distance <= radius)).sum(), own.sum())
    assert (near < every).any() and near.any()


def test_band_counts_put_each_pixel_into_its_first_band():
    truth, predicted = ids(3)
    distance = np.random.default_rng(0).integers(0, 12, truth.shape).astype(np.int32)
    limits = np.array([2, 5, 9], np.int32)
    counts = edges.band_counts(truth, predicted, distance, limits, 4)
    for band, (above, upto) in enumerate([(-1, 2), (2, 5), (5, 9)]):
        chosen = (distance > above) & (distance <= upto) & (truth != edges.VOID)
        pairs = np.bincount(truth[chosen] * 4 + predicted[chosen], minlength=16).reshape(4, 4)
        np.testing.assert_array_equal(counts[band], pairs)
