"""Pooled counts of pieces and holes against scikit-image, and the distance of sizes against scipy's."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy.stats import wasserstein_distance
from skimage import measure

from segfield.errors import DataError
from segfield.evaluation.structure import BINS, Structure, no_structure, size_bins, structure
from tests.evaluation.label_maps import patches


def counted(seeds, **options):
    return sum((structure(*patches(seed=seed, **options), 4, 255) for seed in seeds), no_structure(4))


def pieces(labels, k):
    return [region.area for region in measure.regionprops(measure.label(labels == k, connectivity=2))]


@pytest.mark.parametrize("seed", range(4))
def test_components_and_sizes_are_scikit_images(seed):
    truth, predicted = patches(seed=seed)
    found = structure(truth, predicted, 4, 255)
    for row, labels in enumerate((truth, np.where(truth == 255, 255, predicted))):
        for k in range(4):
            areas = pieces(labels, k)
            assert found.components[row, k] == len(areas)
            bins = [math.floor(2 * math.log2(area) + 1e-12) for area in areas]
            np.testing.assert_array_equal(found.sizes[row, k], np.bincount(bins, minlength=BINS))
    assert found.images == 1 and (found.components[1] > found.components[0]).any()


@pytest.mark.parametrize("seed", range(3))
def test_holes_are_components_minus_the_euler_number(seed):
    truth, predicted = patches(seed=seed, void_share=0)
    found = structure(truth, predicted, 4, 255)
    for row, labels in enumerate((truth, predicted)):
        for k in range(4):
            euler = measure.euler_number(np.pad(labels == k, 1), connectivity=2)
            assert found.holes[row, k] == found.components[row, k] - euler
    assert found.holes[1].sum() > 0


def test_prediction_on_void_does_not_matter():
    truth, predicted = patches(seed=6)
    one = structure(truth, predicted, 4, 255)
    for elsewhere in (np.where(truth == 255, 3 - predicted, predicted), np.where(truth == 255, 200, predicted)):
        other = structure(truth, elsewhere, 4, 255)
        np.testing.assert_array_equal(one.sizes, other.sizes)
        np.testing.assert_array_equal(one.holes, other.holes)


def test_void_cuts_truth_and_prediction_alike():
    truth = np.ones((5, 9), np.int64)
    truth[:, 4] = -7
    found = structure(truth, np.ones((5, 9), np.uint8), 2, -7)
    assert found.components.tolist() == [[0, 2], [0, 2]] and found.holes.sum() == 0


def test_parts_joined_are_the_whole():
    parts, whole = [counted([seed]) for seed in range(5)], counted(range(5))
    for joined in (parts[0] + parts[1] + (parts[2] + parts[3] + parts[4]), counted([4, 2]) + counted([1, 3, 0])):
        assert joined.as_dict() == whole.as_dict()
        np.testing.assert_array_equal(joined.sizes, whole.sizes)
    np.testing.assert_array_equal(whole.components, sum(part.components for part in parts))
    np.testing.assert_allclose(whole.components_per_image, whole.components / 5)
    np.testing.assert_allclose(whole.holes_per_image, whole.holes / 5)
    with pytest.raises(DataError, match="other classes"):
        whole + no_structure(3)


@pytest.mark.parametrize("cell", [5, 9, 20])
def test_size_distance_is_scipys_over_bins(cell):
    found = counted(range(3), cell=cell)
    octaves = np.arange(BINS) / 2
    for k in range(4):
        expected = wasserstein_distance(octaves, octaves, *found.sizes[:, k])
        assert found.size_distance[k] == pytest.approx(expected)
    assert found.mean_size_distance == pytest.approx(found.size_distance.mean()) and found.mean_size_distance > 0.1


def test_size_distance_is_within_a_bin_of_scipys_over_sizes():
    pairs = [patches(seed=seed, void_share=0) for seed in range(3)]
    found = counted(range(3), void_share=0)
    for k in range(4):
        areas = [np.log2(np.concatenate([pieces(pair[row], k) for pair in pairs])) for row in range(2)]
        assert found.size_distance[k] == pytest.approx(wasserstein_distance(*areas), abs=0.5)


def test_an_object_of_four_times_the_pixels_is_two_octaves_off():
    truth, predicted = np.zeros((40, 40), np.uint8), np.zeros((40, 40), np.uint8)
    truth[4:12, 4:12] = 1
    predicted[4:20, 4:20] = 1
    found = structure(truth, predicted, 2, 255)
    assert found.size_distance[1] == 2 and found.component_ratio.tolist() == [1, 1]
    assert found.holes.tolist() == [[1, 0], [1, 0]]


def test_what_is_absent_is_undefined_and_left_out_of_means():
    truth, predicted = np.zeros((9, 9), np.uint8), np.zeros((9, 9), np.uint8)
    truth[2, 2] = 1  # missed
    predicted[5, 5] = predicted[5, 7] = 2  # not in the truth
    found = structure(truth, predicted, 4, 255)
    np.testing.assert_array_equal(found.component_ratio, [1, 0, np.nan, np.nan])
    np.testing.assert_array_equal(found.size_distance, [0, np.nan, np.nan, np.nan])
    assert found.mean_component_ratio == 0.5 and found.mean_size_distance == 0
    nothing = no_structure(4)
    assert math.isnan(nothing.mean_component_ratio) and np.isnan(nothing.components_per_image).all()
    written = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert written["size_distance"] == [0, None, None, None]
    assert written["components"] == {"truth": [1, 1, 0, 0], "predicted": [1, 0, 2, 0]}


def test_bins_are_half_octaves_to_the_pixel():
    assert size_bins(np.array([1, 2, 3, 4, 5, 6, 7, 8, 2**20, 2**31 - 1])).tolist() == [0, 2, 3, 4, 4, 5, 5, 6, 40, 61]
    edges = np.array([math.isqrt(2**i - 1) + 1 for i in range(2, 62)])  # the least n with n² ≥ 2^i
    np.testing.assert_array_equal(size_bins(edges), np.arange(2, 62))
    np.testing.assert_array_equal(size_bins(edges[1:] - 1), np.arange(2, 61))
    assert size_bins(np.array([2**40])).tolist() == [BINS - 1]


def test_maps_out_of_range():
    truth, predicted = patches()
    with pytest.raises(DataError, match="one size"):
        structure(truth, predicted[1:], 4, 255)
    with pytest.raises(DataError, match="prediction's labels hold ids"):
        structure(truth, predicted + 2, 4, 255)
    with pytest.raises(DataError, match="truth's labels hold ids"):
        structure(truth, predicted, 4, 250)


def test_no_structure_is_the_zero_of_sums():
    one = counted([0])
    assert isinstance(one, Structure) and (one + no_structure(4)).as_dict() == one.as_dict()
