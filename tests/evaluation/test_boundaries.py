"""Trimap curve, boundary IoU and BF score against definitions written out with scipy, and on shapes done by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy import ndimage

from segfield.errors import DataError, SettingError
from segfield.evaluation.boundaries import boundaries, no_boundaries
from segfield.evaluation.confusion import confusion_matrix
from segfield.evaluation.scores import scores_from_confusion
from tests.evaluation.label_maps import patches

WIDTHS = (1, 2, 4, 7)
SQUARE = np.ones((3, 3))


def measured(truth, predicted, **options):
    return boundaries(truth, predicted, 4, 255, widths=WIDTHS, **options)


def contour_of(labels):
    edge = np.zeros(labels.shape, bool)
    down = (labels[1:] != labels[:-1]) & (labels[1:] != 255) & (labels[:-1] != 255)
    right = (labels[:, 1:] != labels[:, :-1]) & (labels[:, 1:] != 255) & (labels[:, :-1] != 255)
    edge[1:] |= down
    edge[:-1] |= down
    edge[:, 1:] |= right
    edge[:, :-1] |= right
    return edge


@pytest.mark.parametrize("seed", range(3))
def test_trimap_bands_are_dilations(seed):
    truth, predicted = patches(seed=seed)
    found = measured(truth, predicted)
    for i, width in enumerate(WIDTHS):
        # DeepLab, MyVOCevalsegBoundary.m: void dilated by a (2w+1) square, scored where not void
        around_void = ndimage.binary_dilation(truth == 255, np.ones((2 * width + 1,) * 2)) & (truth != 255)
        about_edge = ndimage.binary_dilation(contour_of(truth), np.ones((2 * width - 1,) * 2)) & (truth != 255)
        for band, counts, curve in (
            (around_void, found.void_bands, found.void_trimap),
            (about_edge, found.edge_bands, found.trimap),
        ):
            expected = confusion_matrix(truth[band], predicted[band], 4, 255)
            np.testing.assert_array_equal(counts[i], expected)
            assert curve[i] == pytest.approx(scores_from_confusion(expected, "abcd").mean_iou)


def test_widest_band_is_the_whole_image():
    truth, predicted = patches(seed=1)
    found = boundaries(truth, predicted, 4, 255, widths=(1, 500))
    np.testing.assert_array_equal(found.edge_bands[1], confusion_matrix(truth, predicted, 4, 255))


@pytest.mark.parametrize("share", [0.01, 0.02, 0.06])
def test_boundary_iou_is_chengs(share):
    """bowenc0221/boundary-iou-api: boundary = mask − mask eroded d times by 3×3, d = round(share · diagonal)."""
    truth, predicted = patches(seed=4, void_share=0)
    depth = max(1, round(share * math.hypot(*truth.shape)))
    expected = []
    for k in range(4):
        rims = []
        for labels in (truth, predicted):
            mask = labels == k
            rims.append(mask & ~ndimage.binary_erosion(mask, SQUARE, iterations=depth, border_value=0))
        expected.append((rims[0] & rims[1]).sum() / (rims[0] | rims[1]).sum())
    found = measured(truth, predicted, boundary_iou_share=share)
    np.testing.assert_allclose(found.class_boundary_iou, expected)
    assert found.boundary_iou == pytest.approx(np.mean(expected))


@pytest.mark.parametrize("seed", range(3))
def test_bf_score_by_distance_transforms(seed):
    truth, predicted = patches(90, 110, seed=seed)
    radius = 0.02 * math.hypot(90, 110)
    masked = np.where(truth == 255, 255, predicted)
    scores = []
    for k in range(4):
        true_rim, found_rim = contour_of(truth) & (truth == k), contour_of(masked) & (masked == k)
        if not (truth == k).any():
            continue
        precision = (ndimage.distance_transform_edt(~true_rim)[found_rim] <= radius).mean()
        recall = (ndimage.distance_transform_edt(~found_rim)[true_rim] <= radius).mean()
        scores.append(2 * precision * recall / (precision + recall))
    found = measured(truth, predicted, bf_share=0.02)
    assert found.bf_score == pytest.approx(np.mean(scores)) and 0.1 < found.bf_score < 1
    np.testing.assert_allclose(found.class_bf_score[np.unique(truth[truth != 255])], scores)


def test_perfect_prediction_scores_one_everywhere():
    truth, _ = patches(seed=5)
    found = measured(truth, np.where(truth == 255, 0, truth))
    np.testing.assert_allclose(found.trimap, 1)
    np.testing.assert_allclose(found.void_trimap, 1)
    assert found.boundary_iou == 1 and found.bf_score == 1


def test_a_border_moved_by_two_pixels_by_hand():
    truth = np.zeros((40, 60), np.uint8)
    truth[:, 30:] = 1
    predicted = np.zeros((40, 60), np.uint8)
    predicted[:, 32:] = 1
    found = boundaries(truth, predicted, 2, 255, widths=(1, 2, 4))
    # width w: columns 30−w … 29+w; columns 30 and 31 are wrong
    assert found.trimap == pytest.approx([(1 / 2 + 0) / 2, (2 / 4 + 0) / 2, (4 / 6 + 2 / 4) / 2])
    assert np.isnan(found.void_trimap).all()
    near = boundaries(truth, predicted, 2, 255, bf_share=2.01 / math.hypot(40, 60))
    short = boundaries(truth, predicted, 2, 255, bf_share=1.99 / math.hypot(40, 60))
    assert (near.bf_score, short.bf_score) == (1.0, 0.0)


def test_a_class_that_is_missed_scores_zero_and_an_even_image_has_no_bf_score():
    truth = np.zeros((20, 20), np.uint8)
    truth[5:9, 5:9] = 1
    assert boundaries(truth, np.zeros_like(truth), 2, 255).bf_score == 0
    even = boundaries(np.zeros((20, 20), np.uint8), np.zeros((20, 20), np.uint8), 2, 255)
    assert math.isnan(even.bf_score) and even.boundary_iou == 1


def test_prediction_on_void_does_not_matter():
    truth, predicted = patches(seed=6)
    other = np.where(truth == 255, 3 - predicted, predicted)
    one, two = measured(truth, predicted), measured(truth, other)
    for name in ("edge_bands", "void_bands", "bands", "contours"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def test_class_bf_score_is_a_mean_over_the_images_that_have_the_class():
    stripe, shifted = np.zeros((30, 30), np.uint8), np.zeros((30, 30), np.uint8)
    stripe[:, 10:20], shifted[:, 15:25] = 1, 1
    found = boundaries(stripe, stripe, 3, 255) + boundaries(stripe, shifted, 3, 255)
    found += boundaries(np.zeros((30, 30), np.uint8), np.full((30, 30), 2, np.uint8), 3, 255)  # no contour at all
    np.testing.assert_array_equal(found.class_bf_score, [0.5, 0.5, np.nan])


def test_sums_pool_counts_and_average_bf_over_images():
    parts = [measured(*patches(seed=seed)) for seed in range(3)]
    whole = no_boundaries(4, WIDTHS) + parts[0] + parts[1] + parts[2]
    np.testing.assert_array_equal(whole.edge_bands, sum(part.edge_bands for part in parts))
    assert whole.bf_score == pytest.approx(np.mean([part.bf_score for part in parts]))
    both, true_rim, found_rim = sum(part.bands for part in parts)
    np.testing.assert_allclose(whole.class_boundary_iou, both / (true_rim + found_rim - both))
    assert json.dumps(whole.as_dict(), allow_nan=False)
    with pytest.raises(DataError, match="other widths"):
        whole + no_boundaries(4)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"widths": (3, 2)}, "rising"), ({"widths": ()}, "rising"), ({"bf_share": 0.0}, "between 0 and 1")],
)
def test_settings_out_of_range(options, message):
    with pytest.raises(SettingError, match=message):
        boundaries(*patches(), 4, 255, **options)


def test_maps_out_of_range():
    truth, predicted = patches()
    with pytest.raises(DataError, match="one size"):
        measured(truth, predicted[1:])
    with pytest.raises(DataError, match="prediction holds ids"):
        measured(truth, predicted + 2)
